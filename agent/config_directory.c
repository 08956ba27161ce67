/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "agent/base/file.h"
#include "agent/base/redact_url.h"
#include "agent/config_sections.h"

static bool get_preference(config_reader *r, config_section *s) {
    config_setting *setting = config_take(r, s, "Prefer");

    if (!setting || setting->value[0] == '\0')
        return false;
    if (strcmp(setting->value, "pdc") != 0)
        config_fail(r, -EINVAL, &setting->place, "Prefer=%s: expected is pdc, or nothing",
                    setting->value);
    return true;
}

/* One label of a name in DNS. */
static bool is_label(const char *text) {
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");

    return n > 0 && n <= 63 && text[n] == '\0';
}

/* What is misspelt must not pass for a place where nobody is. */
static char **get_targets(config_reader *r, config_section *s, const char *key) {
    for (size_t i = 0; i < s->n_settings; i++)
        if (strcmp(s->settings[i].key, key) == 0 && !directory_dn_check(s->settings[i].value))
            config_fail(r, -EINVAL, &s->settings[i].place,
                        "%s=%s: expected is the name of one unit or group, such as "
                        "OU=Staff,DC=corp,DC=example; write a line for each",
                        key, s->settings[i].value);

    return config_get_repeated(r, s, key);
}

/* Where it has no realm, it is the domain's own: its name in capitals. */
static char *get_principal(config_reader *r, config_section *s) {
    char *name = config_need_text(r, s, "Principal", "the agent's account, as NAME@REALM"), *full;

    if (!name || strchr(name, '@'))
        return name;

    if (asprintf(&full, "%s@%s", name, s->name) < 0) {
        config_fail_for_memory(r);
        return name;
    }
    for (char *p = strrchr(full, '@'); *p; p++)
        *p = (char) toupper((unsigned char) *p);
    free(name);
    return full;
}

static void check_controllers(config_reader *r, config_section *s, char *const *names) {
    const config_setting *setting = config_take(r, s, "Controllers");
    size_t n = 0;

    for (; names && names[n]; n++) {
        _cleanup_free_ char *shown = redact_url(names[n]);

        if (strncasecmp(names[n], "localhost", 9) == 0 || !directory_controller_check(names[n]))
            config_fail(
                r, -EINVAL, &setting->place,
                "Controllers=%s: expected is the name that the controller's certificate bears, with an "
                "optional :port (1 to 65535); neither localhost nor an address with ldaps://, and spaces "
                "between names",
                shown ? shown : "");
    }

    if (n > DIRECTORY_CONTROLLERS_MAX)
        config_fail(r, -E2BIG, &setting->place,
                    "Controllers=: more than %d controllers are named; a few of them that are near "
                    "will do",
                    DIRECTORY_CONTROLLERS_MAX);
}

/* The path of the keytab; it is libkrb5 that reads it. */
static char *get_keytab(config_reader *r, config_section *s, const char *principal) {
    const config_setting *setting = config_take(r, s, "Keytab");
    const char *name = setting && setting->value[0] ? setting->value : "keytab";
    const config_place *place = setting ? &setting->place : &s->place;
    _cleanup_(secret_freep) secret *content = NULL;
    _cleanup_free_ char *why = NULL;
    char *path = NULL;
    int error;

    error = credential_read(name, &content, &path);
    if (error < 0)
        config_fail(
            r, error, place,
            "Keytab=%s: the keytab %s cannot be read (%s); expected is the name of a credential that the "
            "service is given (LoadCredential=) or an absolute path",
            name, path ? path : "", strerror(-error));
    else if (principal && directory_keytab_check(path, principal, &why) < 0)
        config_fail(r, -EINVAL, place, "Keytab=%s: %s", name, why ? why : "memory is short");
    return path;
}

static const char *const bind_methods[] = {
    [BIND_SIMPLE] = "simple",
    [BIND_KERBEROS] = "kerberos",
    NULL,
};

static void read_account(config_reader *r, config_section *s, directory_config *d) {
    static const char *const of_simple[] = {"BindDn", "BindPasswordCredential", NULL};
    static const char *const of_kerberos[] = {"Principal", "Keytab", NULL};

    d->bind_method = (directory_bind_method) config_get_choice(r, s, "BindMethod", bind_methods);
    if (d->bind_method == BIND_KERBEROS) {
        config_refuse(
            r, s, of_simple,
            "BindMethod=kerberos, where the account is Principal= and its secret Keytab=");
        d->bind_dn = get_principal(r, s);
        d->keytab = get_keytab(r, s, d->bind_dn);
    } else {
        config_refuse(r, s, of_kerberos, "a simple bind; did you mean BindMethod=kerberos?");
        d->bind_dn = config_need_text(r, s, "BindDn", "the agent's account, as DN or user@domain");
        d->bind_password = config_get_credential(r, s, "BindPasswordCredential", "bind-password");
    }
}

static const char *const policy_hints[] = {
    [POLICY_HINTS_REQUIRE] = "require",
    [POLICY_HINTS_PREFER] = "prefer",
    [POLICY_HINTS_OFF] = "off",
    NULL,
};

void config_read_directory(config_reader *r, config_section *s) {
    directory_config *d = &r->into->directories[r->into->n_directories++];

    if (!s->name) {
        config_fail(
            r, -EINVAL, &s->place,
            "[Directory] has no name; expected is [Directory \"corp.example\"] with the domain's DNS name");
        return;
    }

    d->domain = strdup(s->name);
    if (!d->domain)
        config_fail_for_memory(r);
    d->controllers = config_get_list(r, s, "Controllers", " \t\n");
    d->discovers = config_get_boolean(r, s, "Discover", !d->controllers);
    if (!d->controllers && !d->discovers)
        config_fail(
            r, -EINVAL, &s->place,
            "[Directory \"%s\"] has no Controllers=, and Discover=no; expected are host names such "
            "as dc1.%s, or that DNS is asked for them",
            s->name, s->name);
    check_controllers(r, s, d->controllers);

    d->site = config_get_text(r, s, "Site");
    if (d->site && !is_label(d->site))
        config_fail(r, -EINVAL, &config_take(r, s, "Site")->place,
                    "Site=%s is no name of a site; expected is one such as Default-First-Site-Name",
                    d->site);
    d->prefers_pdc = get_preference(r, s);

    read_account(r, s, d);
    d->base_dn = config_get_text(r, s, "BaseDn");
    d->ca_file = config_get_text(r, s, "CaFile");
    d->ca_directory = config_get_text(r, s, "CaDirectory");
    d->policy_hints = (directory_policy_hints) config_get_choice(r, s, "PolicyHints", policy_hints);
    d->privileged_groups = config_get_repeated(r, s, "PrivilegedGroup");
    d->allowed_targets = get_targets(r, s, "AllowedTargets");
    d->denied_targets = get_targets(r, s, "DeniedTargets");
}
