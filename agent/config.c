/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "agent/base/clock.h"
#include "agent/base/encoding.h"
#include "agent/base/file.h"
#include "agent/config_file.h"
#include "agent/duration.h"

#define DEFAULT_HEALTH_LISTEN "127.0.0.1:8404"
/* As Microsoft's own agent reports. */
#define DEFAULT_REPORT_INTERVAL (5 * USEC_PER_MINUTE)

static const rate default_request_rate = {3000, USEC_PER_MINUTE};
static const rate default_account_rate = {10, 10 * USEC_PER_MINUTE};

/* What is being read, and the first thing found wrong with it. */
typedef struct reader {
    config_file file;
    config *into;
    char *why;
    int r;
} reader;

static void _printf_(4, 5)
    fail(reader *r, int error, const config_place *place, const char *format, ...) {
    _cleanup_free_ char *text = NULL;
    va_list args;
    int n;

    if (r->r < 0)
        return;

    r->r = error;
    va_start(args, format);
    n = vasprintf(&text, format, args);
    va_end(args);
    if (n < 0 || asprintf(&r->why, "%s:%d: %s", place->file, place->line, text) < 0)
        r->why = NULL;
}

static void fail_for_memory(reader *r) {
    if (r->r == 0)
        r->r = -ENOMEM;
}

/* ---- Values
 * -------------------------------------------------------------------------------------- */

/* The setting, which must not stand there twice; NULL where it is not there. */
static config_setting *take(reader *r, config_section *s, const char *key) {
    config_setting *found = NULL;

    for (size_t i = 0; i < s->n_settings; i++) {
        config_setting *setting = &s->settings[i];

        if (strcmp(setting->key, key) != 0)
            continue;
        if (found)
            fail(r, -EINVAL, &setting->place,
                 "%s= stands here again; it was set in line %d already", key, found->place.line);
        setting->used = true;
        found = setting;
    }
    return found;
}

/* A value of one piece: continuation lines are joined without a gap. An empty value counts as not
 * set. */
static char *get_text(reader *r, config_section *s, const char *key) {
    config_setting *setting = take(r, s, key);
    char *text, *to;

    if (!setting || setting->value[0] == '\0')
        return NULL;

    text = to = strdup(setting->value);
    if (!text) {
        fail_for_memory(r);
        return NULL;
    }

    for (const char *from = setting->value; *from; from++)
        if (*from != '\n')
            *to++ = *from;
    *to = '\0';
    return text;
}

static char *need_text(reader *r, config_section *s, const char *key, const char *expected) {
    char *text = get_text(r, s, key);

    if (!text)
        fail(r, -EINVAL, &s->place, "[%s%s%s%s] has no %s=; expected is %s", s->type,
             s->name ? " \"" : "", s->name ? s->name : "", s->name ? "\"" : "", key, expected);
    return text;
}

/* A list: words between any of `separators`, and a new line. NULL-terminated; NULL where it is
 * empty. */
static char **get_list(reader *r, config_section *s, const char *key, const char *separators) {
    config_setting *setting = take(r, s, key);
    _cleanup_free_ char *copy = NULL;
    char **list = NULL, *rest = NULL;
    size_t n = 0;

    if (!setting)
        return NULL;

    copy = strdup(setting->value);
    if (!copy) {
        fail_for_memory(r);
        return NULL;
    }

    for (char *word = strtok_r(copy, separators, &rest); word;
         word = strtok_r(NULL, separators, &rest)) {
        char **larger = reallocarray(list, n + 2, sizeof(char *));

        if (!larger || !(larger[n] = strdup(word))) {
            fail_for_memory(r);
            return larger ? larger : list;
        }
        list = larger;
        list[++n] = NULL;
    }
    return list;
}

/* A setting that may stand there several times, one value each. NULL where it is not there. */
static char **get_repeated(reader *r, config_section *s, const char *key) {
    char **list = calloc(s->n_settings + 1, sizeof(char *));
    size_t n = 0;

    for (size_t i = 0; list && i < s->n_settings; i++) {
        if (strcmp(s->settings[i].key, key) != 0)
            continue;

        s->settings[i].used = true;
        list[n] = strdup(s->settings[i].value);
        if (!list[n++])
            fail_for_memory(r);
    }
    if (!list)
        fail_for_memory(r);
    return list;
}

static bool get_boolean(reader *r, config_section *s, const char *key, bool otherwise) {
    config_setting *setting = take(r, s, key);

    if (!setting || setting->value[0] == '\0')
        return otherwise;
    if (strcmp(setting->value, "yes") != 0 && strcmp(setting->value, "no") != 0)
        fail(r, -EINVAL, &setting->place, "%s=%s: expected is yes or no", key, setting->value);
    return strcmp(setting->value, "yes") == 0;
}

static void list_free(char **list) {
    for (char **p = list; p && *p; p++)
        free(*p);
    free(list);
}

static secret *read_credential(reader *r, config_section *s, const char *key,
                               const char *fallback) {
    config_setting *setting = take(r, s, key);
    const char *name = setting && setting->value[0] ? setting->value : fallback;
    _cleanup_free_ char *path = NULL;
    secret *value = NULL;
    int error;

    error = credential_read(name, &value, &path);
    if (error == -ENODATA)
        fail(r, error, setting ? &setting->place : &s->place,
             "%s=%s: the credential %s is empty; put the secret into it", key, name, path);
    else if (error < 0)
        fail(
            r, error, setting ? &setting->place : &s->place,
            "%s=%s: the credential %s cannot be read (%s); expected is the name of a credential that the "
            "service is given (LoadCredential=) or an absolute path",
            key, name, path ? path : "", strerror(-error));
    return value;
}

static bool is_guid(const char *text) {
    for (size_t i = 0; i < 36; i++)
        if (i == 8 || i == 13 || i == 18 || i == 23 ? text[i] != '-'
                                                    : !isxdigit((unsigned char) text[i]))
            return false;

    return text[36] == '\0';
}

static bool is_https(const char *url) {
    return strncmp(url, "https://", 8) == 0 && url[8] != '\0' && url[8] != '/' &&
           !strpbrk(url, " \t@#");
}

/* ---- Sections
 * ------------------------------------------------------------------------------------ */

static identity_form get_identity_form(reader *r, config_section *s) {
    config_setting *setting = take(r, s, "LogUserIdentity");

    if (!setting || strcmp(setting->value, "upn") == 0)
        return IDENTITY_UPN;
    if (strcmp(setting->value, "sid") == 0)
        return IDENTITY_SID;
    if (strcmp(setting->value, "hash") == 0)
        return IDENTITY_HASH;

    fail(r, -EINVAL, &setting->place, "LogUserIdentity=%s: expected is upn, sid or hash",
         setting->value);
    return IDENTITY_HASH;
}

static void read_agent(reader *r, config_section *s) {
    config *c = r->into;
    const char *state = getenv("STATE_DIRECTORY");

    c->agent_id =
        need_text(r, s, "Id", "the agent's name, as portals put it into `aud` of a request");
    c->tenant_id = get_text(r, s, "TenantId");
    if (c->tenant_id && !is_guid(c->tenant_id))
        fail(r, -EINVAL, &take(r, s, "TenantId")->place,
             "TenantId=%s is no tenant id; expected is a GUID such as "
             "72f988bf-86f1-41af-91ab-2d7cd011db47",
             c->tenant_id);

    c->state_directory = get_text(r, s, "StateDirectory");
    if (c->state_directory && c->state_directory[0] != '/')
        fail(r, -EINVAL, &take(r, s, "StateDirectory")->place,
             "StateDirectory=%s: expected is an absolute path", c->state_directory);
    if (!c->state_directory)
        c->state_directory = strdup(state ? state : CONFIG_STATE_DIRECTORY);
    if (!c->state_directory)
        fail_for_memory(r);
    c->log_user_identity = get_identity_form(r, s);
}

static void read_relay(reader *r, config_section *s) {
    relay_config *c = &r->into->relays[r->into->n_relays++];
    _cleanup_free_ char *string = NULL, *why = NULL;
    int error;

    string = need_text(r, s, "ConnectionString",
                       "Endpoint=sb://NAMESPACE.servicebus.windows.net/;SharedAccessKeyName=RULE;"
                       "EntityPath=HYBRID-CONNECTION");
    if (!string)
        return;

    error = relay_config_parse(string, c, &why);
    explicit_bzero(string, strlen(string));
    if (error < 0) {
        fail(r, error, &take(r, s, "ConnectionString")->place, "ConnectionString=: %s",
             why ? why : strerror(-error));
        return;
    }
    if (c->key) {
        fail(
            r, -EINVAL, &take(r, s, "ConnectionString")->place,
            "ConnectionString= holds the key itself; take `SharedAccessKey=…` out, put the key into a "
            "credential and name that in SharedAccessKeyCredential=");
        return;
    }

    c->name = strdup(s->name ? s->name : "primary");
    if (!c->name)
        fail_for_memory(r);
    c->key = read_credential(r, s, "SharedAccessKeyCredential", "relay-key");
    c->ca_file = get_text(r, s, "CaFile");
    c->proxy = get_text(r, s, "Proxy");
}

static directory_policy_hints get_policy_hints(reader *r, config_section *s) {
    config_setting *setting = take(r, s, "PolicyHints");

    if (!setting || strcmp(setting->value, "require") == 0)
        return POLICY_HINTS_REQUIRE;
    if (strcmp(setting->value, "prefer") == 0)
        return POLICY_HINTS_PREFER;
    if (strcmp(setting->value, "off") == 0)
        return POLICY_HINTS_OFF;

    fail(r, -EINVAL, &setting->place, "PolicyHints=%s: expected is require, prefer or off",
         setting->value);
    return POLICY_HINTS_REQUIRE;
}

static bool get_preference(reader *r, config_section *s) {
    config_setting *setting = take(r, s, "Prefer");

    if (!setting || setting->value[0] == '\0')
        return false;
    if (strcmp(setting->value, "pdc") != 0)
        fail(r, -EINVAL, &setting->place, "Prefer=%s: expected is pdc, or nothing", setting->value);
    return true;
}

/* One label of a name in DNS. */
static bool is_label(const char *text) {
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");

    return n > 0 && n <= 63 && text[n] == '\0';
}

/* What is misspelt must not pass for a place where nobody is. */
static char **get_targets(reader *r, config_section *s, const char *key) {
    for (size_t i = 0; i < s->n_settings; i++)
        if (strcmp(s->settings[i].key, key) == 0 && !directory_dn_check(s->settings[i].value))
            fail(r, -EINVAL, &s->settings[i].place,
                 "%s=%s: expected is the name of one unit or group, such as "
                 "OU=Staff,DC=corp,DC=example; write a line for each",
                 key, s->settings[i].value);

    return get_repeated(r, s, key);
}

static directory_bind_method get_bind_method(reader *r, config_section *s) {
    config_setting *setting = take(r, s, "BindMethod");

    if (!setting || strcmp(setting->value, "simple") == 0)
        return BIND_SIMPLE;
    if (strcmp(setting->value, "kerberos") != 0)
        fail(r, -EINVAL, &setting->place, "BindMethod=%s: expected is simple or kerberos",
             setting->value);
    return BIND_KERBEROS;
}

/* Settings that mean something with the other way of binding only. NULL-terminated. */
static void refuse_settings(reader *r, config_section *s, const char *const *keys,
                            const char *why) {
    for (; *keys; keys++) {
        const config_setting *setting = take(r, s, *keys);

        if (setting)
            fail(r, -EINVAL, &setting->place, "%s= contradicts %s", *keys, why);
    }
}

/* Where it has no realm, it is the domain's own: its name in capitals. */
static char *get_principal(reader *r, config_section *s) {
    char *name = need_text(r, s, "Principal", "the agent's account, as NAME@REALM"), *full;

    if (!name || strchr(name, '@'))
        return name;

    if (asprintf(&full, "%s@%s", name, s->name) < 0) {
        fail_for_memory(r);
        return name;
    }
    for (char *p = strrchr(full, '@'); *p; p++)
        *p = (char) toupper((unsigned char) *p);
    free(name);
    return full;
}

/* The path of the keytab; it is libkrb5 that reads it. */
static char *get_keytab(reader *r, config_section *s, const char *principal) {
    const config_setting *setting = take(r, s, "Keytab");
    const char *name = setting && setting->value[0] ? setting->value : "keytab";
    const config_place *place = setting ? &setting->place : &s->place;
    _cleanup_(secret_freep) secret *content = NULL;
    _cleanup_free_ char *why = NULL;
    char *path = NULL;
    int error;

    error = credential_read(name, &content, &path);
    if (error < 0)
        fail(
            r, error, place,
            "Keytab=%s: the keytab %s cannot be read (%s); expected is the name of a credential that the "
            "service is given (LoadCredential=) or an absolute path",
            name, path ? path : "", strerror(-error));
    else if (principal && directory_keytab_check(path, principal, &why) < 0)
        fail(r, -EINVAL, place, "Keytab=%s: %s", name, why ? why : "memory is short");
    return path;
}

static void read_account(reader *r, config_section *s, directory_config *d) {
    static const char *const of_simple[] = {"BindDn", "BindPasswordCredential", NULL};
    static const char *const of_kerberos[] = {"Principal", "Keytab", NULL};

    d->bind_method = get_bind_method(r, s);
    if (d->bind_method == BIND_KERBEROS) {
        refuse_settings(
            r, s, of_simple,
            "BindMethod=kerberos, where the account is Principal= and its secret Keytab=");
        d->bind_dn = get_principal(r, s);
        d->keytab = get_keytab(r, s, d->bind_dn);
    } else {
        refuse_settings(r, s, of_kerberos, "a simple bind; did you mean BindMethod=kerberos?");
        d->bind_dn = need_text(r, s, "BindDn", "the agent's account, as DN or user@domain");
        d->bind_password = read_credential(r, s, "BindPasswordCredential", "bind-password");
    }
}

static void read_directory(reader *r, config_section *s) {
    directory_config *d = &r->into->directories[r->into->n_directories++];

    if (!s->name) {
        fail(
            r, -EINVAL, &s->place,
            "[Directory] has no name; expected is [Directory \"corp.example\"] with the domain's DNS name");
        return;
    }

    d->domain = strdup(s->name);
    if (!d->domain)
        fail_for_memory(r);
    d->controllers = get_list(r, s, "Controllers", " \t\n");
    d->discovers = get_boolean(r, s, "Discover", !d->controllers);
    if (!d->controllers && !d->discovers)
        fail(
            r, -EINVAL, &s->place,
            "[Directory \"%s\"] has no Controllers=, and Discover=no; expected are host names such "
            "as dc1.%s, or that DNS is asked for them",
            s->name, s->name);
    for (char **name = d->controllers; name && *name; name++)
        if (strncasecmp(*name, "localhost", 9) == 0 || strstr(*name, "://"))
            fail(
                r, -EINVAL, &take(r, s, "Controllers")->place,
                "Controllers=%s: expected is the name that the controller's certificate bears, with an "
                "optional :port; neither localhost nor an address with ldaps://",
                *name);

    d->site = get_text(r, s, "Site");
    if (d->site && !is_label(d->site))
        fail(r, -EINVAL, &take(r, s, "Site")->place,
             "Site=%s is no name of a site; expected is one such as Default-First-Site-Name",
             d->site);
    d->prefers_pdc = get_preference(r, s);

    read_account(r, s, d);
    d->base_dn = get_text(r, s, "BaseDn");
    d->ca_file = get_text(r, s, "CaFile");
    d->ca_directory = get_text(r, s, "CaDirectory");
    d->policy_hints = get_policy_hints(r, s);
    d->privileged_groups = get_repeated(r, s, "PrivilegedGroup");
    d->allowed_targets = get_targets(r, s, "AllowedTargets");
    d->denied_targets = get_targets(r, s, "DeniedTargets");
}

static void pin_keys(reader *r, config_section *s, issuer_config *i) {
    _cleanup_free_ char *path = get_text(r, s, "JwksFile");
    const char *why = NULL;
    int error;

    if (!path || r->r < 0)
        return;
    if (i->metadata_url) {
        fail(r, -EINVAL, &take(r, s, "JwksFile")->place,
             "JwksFile=%s: with keys from a file none are fetched; take MetadataUrl= out", path);
        return;
    }

    error = issuer_config_pin_keys(i, path, &why);
    if (error < 0)
        fail(r, error, &take(r, s, "JwksFile")->place, "JwksFile=%s: %s", path,
             why ? why : strerror(-error));
}

static void complete_issuer(reader *r, config_section *s, issuer_config *i) {
    const config *c = r->into;
    const char *why = NULL;
    int error = issuer_config_complete(i, &why);

    if (error < 0)
        fail(r, error, &take(r, s, "Url")->place, "Url=%s: %s", i->url,
             why ? why : strerror(-error));
    for (size_t k = 0; k + 1 < c->n_issuers; k++)
        if (strcmp(c->issuers[k].url, i->url) == 0)
            fail(
                r, -EINVAL, &take(r, s, "Url")->place,
                "Url=%s: [Issuer \"%s\"] has it already; list several values of `aud` in one Audience=",
                i->url, c->issuers[k].name);
}

static void read_issuer(reader *r, config_section *s) {
    issuer_config *i = &r->into->issuers[r->into->n_issuers++];

    i->name = strdup(s->name ? s->name : "default");
    if (!i->name)
        fail_for_memory(r);

    i->url = need_text(r, s, "Url",
                       "the token's `iss`, such as https://login.microsoftonline.com/TENANT/v2.0");
    if (i->url && !is_https(i->url))
        fail(r, -EINVAL, &take(r, s, "Url")->place, "Url=%s: expected is an https:// address",
             i->url);

    i->audiences = get_list(r, s, "Audience", " \t\n");
    if (!i->audiences)
        fail(
            r, -EINVAL, &s->place,
            "[Issuer \"%s\"] has no Audience=; expected is the token's `aud`: the application id of "
            "this agent's API",
            i->name);
    i->tenant = get_text(r, s, "TenantId");
    i->metadata_url = get_text(r, s, "MetadataUrl");
    if (i->metadata_url && !is_https(i->metadata_url))
        fail(r, -EINVAL, &take(r, s, "MetadataUrl")->place,
             "MetadataUrl=%s: expected is an https:// address", i->metadata_url);
    i->ca_file = get_text(r, s, "CaFile");
    i->proxy = get_text(r, s, "Proxy");
    pin_keys(r, s, i);
    if (r->r == 0)
        complete_issuer(r, s, i);
}

/* Leaves *ret as it is where the setting is not there. */
static void get_rate(reader *r, config_section *s, const char *key, rate *ret) {
    config_setting *setting = take(r, s, key);

    if (setting && rate_parse(setting->value, ret) < 0)
        fail(r, -EINVAL, &setting->place,
             "%s=%s: expected is a number per time, such as 10/10min, 3000/min or 5/h, or off", key,
             setting->value);
}

static usec_t get_duration(reader *r, config_section *s, const char *key, usec_t fallback) {
    config_setting *setting = take(r, s, key);
    usec_t duration = fallback;

    if (setting && setting->value[0] && duration_parse(setting->value, &duration) < 0)
        fail(
            r, -EINVAL, &setting->place,
            "%s=%s: expected is a span of time such as 180d: a number and its unit, one of s, min, "
            "h, d, w",
            key, setting->value);
    return duration;
}

/* 32 bytes in base64, as `openssl rand -base64 32` writes them. */
static secret *decode_seal(reader *r, const config_place *place, const secret *text) {
    secret *seal = NULL;
    size_t size = 0;

    if (secret_new_empty(AGENT_KEYS_SEAL_SIZE, &seal) < 0) {
        fail_for_memory(r);
        return NULL;
    }
    if (base64_decode(secret_data(text), secret_size(text), secret_buffer(seal),
                      AGENT_KEYS_SEAL_SIZE, &size) < 0 ||
        size != AGENT_KEYS_SEAL_SIZE)
        fail(r, -EINVAL, place,
             "SealCredential=: the credential does not hold 32 bytes in base64; make one with: "
             "openssl rand -base64 32");
    return seal;
}

/* The credential need not be there where nobody named it. */
static secret *read_seal(reader *r, config_section *s) {
    _cleanup_(secret_freep) secret *found = NULL, *text = NULL;

    if (!take(r, s, "SealCredential") &&
        credential_read(CONFIG_SEAL_CREDENTIAL, &found, NULL) == -ENOENT)
        return NULL;

    text = read_credential(r, s, "SealCredential", CONFIG_SEAL_CREDENTIAL);
    return text ? decode_seal(r, &s->place, text) : NULL;
}

static void read_keys(reader *r, config_section *s) {
    config *c = r->into;

    c->keys_lifetime = get_duration(r, s, "Lifetime", AGENT_KEYS_LIFETIME);
    c->keys_roll_after = get_duration(r, s, "RollAfter", AGENT_KEYS_ROLL_AFTER);
    c->keys_grace = get_duration(r, s, "Grace", AGENT_KEYS_GRACE);
    c->keys_seal = read_seal(r, s);
    if (r->r == 0 && c->keys_roll_after + c->keys_grace > c->keys_lifetime)
        fail(r, -EINVAL, &s->place,
             "[Keys]: RollAfter= and Grace= together are longer than Lifetime=, so a replaced key "
             "would end before its grace does");
}

/* Where there is no such section: the defaults. */
static void read_no_keys(reader *r) {
    char type[] = "Keys";

    read_keys(r, &(config_section){.type = type, .place = r->file.sections[0].place});
}

static void read_authorization(reader *r, config_section *s) {
    get_rate(r, s, "RequestRate", &r->into->request_rate);
    get_rate(r, s, "AccountRate", &r->into->account_rate);

    r->into->allowed_clients = get_list(r, s, "AllowedClients", " \t\n");
    for (char **id = r->into->allowed_clients; id && *id; id++)
        if (!is_guid(*id))
            fail(r, -EINVAL, &take(r, s, "AllowedClients")->place,
                 "AllowedClients=: %s is no application id; expected are GUIDs separated by spaces",
                 *id);
}

static void read_health(reader *r, config_section *s) {
    r->into->health_listen = get_text(r, s, "Listen");
}

static usec_t get_report_interval(reader *r, config_section *s) {
    config_setting *setting = take(r, s, "Interval");
    usec_t interval;

    if (!setting || setting->value[0] == '\0')
        return DEFAULT_REPORT_INTERVAL;
    if (usec_parse(setting->value, &interval) == 0 && interval >= 10 * USEC_PER_SEC &&
        interval <= USEC_PER_DAY)
        return interval;

    fail(r, -EINVAL, &setting->place,
         "Interval=%s: expected is a time between 10s and 1d, such as 5min", setting->value);
    return DEFAULT_REPORT_INTERVAL;
}

static void read_report(reader *r, config_section *s) {
    report_config *c = &r->into->report;

    c->url = need_text(r, s, "Url", "the https:// address that reports are posted to");
    if (c->url && !is_https(c->url))
        fail(r, -EINVAL, &take(r, s, "Url")->place, "Url=%s: expected is an https:// address",
             c->url);
    c->ca_file = get_text(r, s, "CaFile");
    c->proxy = get_text(r, s, "Proxy");
    c->interval = get_report_interval(r, s);
}

typedef struct section_reader {
    const char *type;
    void (*read)(reader *r, config_section *s);
    bool needed;
    bool repeatable; /* one a name */
} section_reader;

static const section_reader section_readers[] = {
    {"Agent", read_agent, true, false},        {"Relay", read_relay, true, true},
    {"Directory", read_directory, true, true}, {"Issuer", read_issuer, true, true},
    {"Keys", read_keys, false, false},         {"Authorization", read_authorization, false, false},
    {"Health", read_health, false, false},     {"Report", read_report, false, false},
};

static const section_reader *find_reader(const char *type) {
    for (size_t i = 0; i < ELEMENTSOF(section_readers); i++)
        if (strcmp(section_readers[i].type, type) == 0)
            return &section_readers[i];

    return NULL;
}

static void refuse_what_nobody_asked_for(reader *r, const config_section *s) {
    for (size_t i = 0; i < s->n_settings; i++)
        if (!s->settings[i].used)
            fail(r, -EINVAL, &s->settings[i].place,
                 "[%s] has no setting %s=; see writebackd.conf(5) for those it has", s->type,
                 s->settings[i].key);
}

static void read_section(reader *r, config_section *s) {
    const section_reader *known = find_reader(s->type);

    if (!known) {
        fail(r, -EINVAL, &s->place,
             "[%s] is unknown; expected are Agent, Relay, Directory, Issuer, Keys, Authorization, "
             "Health, Report",
             s->type);
        return;
    }
    if (s->name && !known->repeatable) {
        fail(r, -EINVAL, &s->place, "[%s] takes no name; expected is [%s] alone", s->type, s->type);
        return;
    }

    known->read(r, s);
    if (r->r == 0)
        refuse_what_nobody_asked_for(r, s);
}

static void need_sections(reader *r, const char *path) {
    for (size_t i = 0; i < ELEMENTSOF(section_readers); i++) {
        bool found = !section_readers[i].needed;

        for (size_t k = 0; k < r->file.n_sections; k++)
            if (strcmp(r->file.sections[k].type, section_readers[i].type) == 0)
                found = true;

        if (!found) {
            _cleanup_free_ char *file = strdup(path);

            fail(r, -EINVAL, &(config_place){file, 1}, "a section [%s] is missing",
                 section_readers[i].type);
        }
    }
}

static int make_room(config *c, size_t n) {
    c->relays = calloc(n + 1, sizeof(relay_config));
    c->directories = calloc(n + 1, sizeof(directory_config));
    c->issuers = calloc(n + 1, sizeof(issuer_config));
    return c->relays && c->directories && c->issuers ? 0 : -ENOMEM;
}

static int set_defaults(config *c) {
    if (!c->health_listen)
        c->health_listen = strdup(DEFAULT_HEALTH_LISTEN);
    return c->health_listen ? 0 : -ENOMEM;
}

int config_load(const char *path, config **ret, char **ret_why) {
    _cleanup_(config_freep) config *c = calloc(1, sizeof(config));
    reader r = {.into = c};

    assert(path);
    assert(ret);
    assert(ret_why);

    *ret_why = NULL;
    if (!c)
        return -ENOMEM;

    c->request_rate = default_request_rate;
    c->account_rate = default_account_rate;
    r.r = config_file_read(path, &r.file, &r.why);
    if (r.r == 0)
        r.r = make_room(c, r.file.n_sections);
    if (r.r == 0)
        need_sections(&r, path);
    for (size_t i = 0; i < r.file.n_sections && r.r == 0; i++)
        read_section(&r, &r.file.sections[i]);
    if (r.r == 0 && c->keys_lifetime == 0)
        read_no_keys(&r);
    if (r.r == 0)
        r.r = set_defaults(c);

    config_file_done(&r.file);
    if (r.r < 0) {
        *ret_why = r.why;
        return r.r;
    }

    *ret = TAKE_PTR(c);
    return 0;
}

config *config_free(config *c) {
    if (!c)
        return NULL;

    for (size_t i = 0; i < c->n_relays; i++)
        relay_config_done(&c->relays[i]);
    for (size_t i = 0; i < c->n_directories; i++)
        directory_config_done(&c->directories[i]);
    for (size_t i = 0; i < c->n_issuers; i++)
        issuer_config_done(&c->issuers[i]);

    free(c->relays);
    free(c->directories);
    free(c->issuers);
    list_free(c->allowed_clients);
    free(c->agent_id);
    free(c->tenant_id);
    free(c->state_directory);
    free(c->health_listen);
    report_config_done(&c->report);
    (void) secret_free(c->keys_seal);
    free(c);
    return NULL;
}
