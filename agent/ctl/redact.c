/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ctl/redact.h"

#include <ctype.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "agent/base/file.h"
#include "agent/base/text.h"
#include "agent/config.h"
#include "agent/ctl/ctl.h"
#include "agent/ctl/say.h"
#include "agent/ctl/settings.h"

#define CREDENTIALS SYSCONFDIR "/writeback/credentials"
#define CONFIG_MAX ((size_t) 1024 * 1024)

/* ---- Values ---------------------------------------------------------------------------------- */

/* What stands for a secret within a value; its length up to and with the "=", else 0. */
static size_t secret_name(const char *text) {
    static const char *const names[] = {
        "SharedAccessKey", "SharedAccessSignature", "password", "secret", "sig", "token"};

    for (size_t i = 0; i < ELEMENTSOF(names); i++) {
        size_t n = strlen(names[i]);

        if (strncasecmp(text, names[i], n) != 0)
            continue;
        n += strspn(text + n, " \t");
        if (text[n] == '=')
            return n + 1;
    }
    return 0;
}

/* Of "user:password@host": where host begins; NULL where there is no @ in it. A password may hold
 * what an address may not. */
static const char *behind_user(const char *url) {
    const char *at = memrchr(url, '@', strcspn(url, " \t"));

    return at ? at + 1 : NULL;
}

static void put_value(FILE *f, const char *value) {
    while (*value) {
        size_t n = secret_name(value);
        const char *host = strncmp(value, "://", 3) == 0 ? behind_user(value + 3) : NULL;

        if (host) {
            fputs("://" REDACTED "@", f);
            value = host;
        } else if (n > 0) {
            fwrite(value, 1, n, f);
            fputs(REDACTED, f);
            value += n;
            value += strcspn(value, ";&");
        } else {
            fputc(*value++, f);
        }
    }
}

char *redact_url(const char *url) {
    char *text = NULL;
    size_t size = 0;
    const char *host = strstr(url, "://") ? NULL : behind_user(url);
    FILE *f = open_memstream(&text, &size);

    if (!f)
        return NULL;
    if (host)
        fputs(REDACTED "@", f);
    put_value(f, host ? host : url);
    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* ---- The configuration ----------------------------------------------------------------------- */

static bool is_setting(const char *key) {
    for (const char *const *setting = ctl_settings; *setting; setting++)
        if (strcmp(key, *setting) == 0)
            return true;
    return false;
}

static bool names_credential(const char *key) {
    size_t n = strlen(key), suffix = strlen("Credential");

    return strcmp(key, "Keytab") == 0 ||
           (n > suffix && strcmp(key + n - suffix, "Credential") == 0);
}

/* Somebody may have written the secret where its credential's name should be. */
static bool is_credential(const char *value) {
    static const char *const folders[] = {CTL_SERVICE_CREDENTIALS, CREDENTIALS};
    static const char *const defaults[] = {"relay-key", "bind-password", "keytab", "state-key"};

    for (size_t i = 0; i < ELEMENTSOF(defaults); i++)
        if (strcmp(value, defaults[i]) == 0)
            return true;
    if (*value == '/')
        return access(value, F_OK) == 0;
    for (size_t i = 0; i < ELEMENTSOF(folders); i++) {
        _cleanup_free_ char *path = text_format("%s/%s", folders[i], value);

        if (*value && path && access(path, F_OK) == 0)
            return true;
    }
    return false;
}

/* Without white space around it, and without a comment behind it. */
static char *trim(const char *text, size_t n) {
    for (size_t i = 1; i < n; i++)
        if (text[i] == ';' && isspace((unsigned char) text[i - 1]))
            n = i;
    while (n > 0 && isspace((unsigned char) *text)) {
        text++;
        n--;
    }
    while (n > 0 && isspace((unsigned char) text[n - 1]))
        n--;
    return strndup(text, n);
}

/* The line's setting; *shown tells from then on whether the lines that continue it may be seen. */
static void put_setting(FILE *f, const char *line, size_t n, const char *equals, bool *shown) {
    _cleanup_free_ char *key = trim(line, (size_t) (equals - line));
    _cleanup_free_ char *value = trim(equals + 1, n - (size_t) (equals + 1 - line));

    *shown = false;
    if (!key || !value || !is_setting(key)) {
        fputs("# (masked: no setting of writebackd.conf)", f);
        return;
    }
    fprintf(f, "%s=", key);
    if (names_credential(key)) {
        fputs(*value == '\0' || is_credential(value) ? value : REDACTED, f);
        return;
    }
    /* A connection string may be split anywhere, also within a key's name. */
    *shown = strcmp(key, "ConnectionString") != 0;
    if (strcmp(key, "Proxy") == 0) {
        _cleanup_free_ char *proxy = redact_url(value);

        fputs(proxy ? proxy : REDACTED, f);
        return;
    }
    put_value(f, value);
}

static void put_line(FILE *f, const char *line, size_t n, bool *shown) {
    const char *equals = memchr(line, '=', n), *bracket = memchr(line, ']', n);

    if (n == 0)
        return;
    if (isspace((unsigned char) *line)) {
        _cleanup_free_ char *more = trim(line, n);

        if (more && *more) {
            fputs("    ", f);
            put_value(f, *shown ? more : REDACTED);
        }
    } else if (*line == '[' && bracket) {
        fwrite(line, 1, (size_t) (bracket + 1 - line), f);
    } else if (*line == '#' || *line == ';') {
        fputc('#', f);
    } else if (equals) {
        put_setting(f, line, n, equals, shown);
    } else {
        fputs("# " REDACTED, f);
    }
}

char *redact_config(const char *text) {
    bool shown = false;
    char *redacted = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&redacted, &size);

    if (!f)
        return NULL;
    while (*text) {
        size_t n = strcspn(text, "\n");

        put_line(f, text, n, &shown);
        fputc('\n', f);
        text += n + (text[n] == '\n');
    }
    if (fclose(f) != 0) {
        free(redacted);
        return NULL;
    }
    return redacted;
}

/* ---- What is known to be secret -------------------------------------------------------------- */

#define SECRETS_MAX 64
/* Shorter ones would be found everywhere, and are hardly anybody's. */
#define SECRET_SIZE_MIN 4

struct known_secrets {
    secret *secrets[SECRETS_MAX];
    size_t n;
};

static void take(known_secrets *k, secret *s) {
    /* What holds a NUL, such as a keytab, cannot stand in a text. */
    if (k->n == SECRETS_MAX || secret_size(s) < SECRET_SIZE_MIN ||
        memchr(secret_data(s), '\0', secret_size(s)))
        (void) secret_free(s);
    else
        k->secrets[k->n++] = s;
}

static void add_credential(known_secrets *k, const char *name) {
    secret *s = NULL;

    if (credential_read(name, &s, NULL) >= 0)
        take(k, s);
}

static void add_text(known_secrets *k, const char *text) {
    secret *s = NULL;

    if (secret_new(text, strlen(text), &s) >= 0)
        take(k, s);
}

static void add_folder(known_secrets *k, const char *folder) {
    DIR *d = opendir(folder);
    struct dirent *entry;

    while (d && (entry = readdir(d))) {
        _cleanup_free_ char *path = text_format("%s/%s", folder, entry->d_name);

        if (path && *entry->d_name != '.')
            add_credential(k, path);
    }
    if (d)
        (void) closedir(d);
}

/* What a line names, or is itself where it should name something. Complaints about a wrong line may
 * quote it. */
static void add_line(known_secrets *k, const char *line, size_t n) {
    const char *equals = memchr(line, '=', n);
    _cleanup_free_ char *key = equals ? trim(line, (size_t) (equals - line)) : NULL;
    _cleanup_free_ char *value = equals ? trim(equals + 1, n - (size_t) (equals + 1 - line)) : NULL;

    if (!key || !value || strchr("#;[", *line))
        return;
    if (names_credential(key) && is_credential(value))
        add_credential(k, value);
    else if (names_credential(key) || !is_setting(key))
        add_text(k, value);
}

/* Line by line, since the configuration may be so wrong that it cannot be read otherwise. */
static void add_file(known_secrets *k, const char *path) {
    _cleanup_(secret_freep) secret *content = NULL;
    const char *text;

    if (file_read(path, CONFIG_MAX, &content) < 0)
        return;
    text = secret_data(content);
    while (*text) {
        size_t n = strcspn(text, "\n");

        if (n > 0)
            add_line(k, text, n);
        text += n + (text[n] == '\n');
    }
}

known_secrets *known_secrets_read(const char *const *files) {
    known_secrets *k = calloc(1, sizeof(known_secrets));

    if (!k)
        return NULL;

    add_folder(k, CREDENTIALS);
    add_folder(k, CTL_SERVICE_CREDENTIALS);
    for (; *files; files++)
        add_file(k, *files);
    return k;
}

known_secrets *known_secrets_free(known_secrets *k) {
    if (!k)
        return NULL;

    for (size_t i = 0; i < k->n; i++)
        (void) secret_free(k->secrets[i]);
    free(k);
    return NULL;
}

static size_t secret_at(const known_secrets *k, const char *text) {
    for (size_t i = 0; i < k->n; i++)
        if (strncmp(text, secret_data(k->secrets[i]), secret_size(k->secrets[i])) == 0)
            return secret_size(k->secrets[i]);
    return 0;
}

char *known_secrets_mask(const known_secrets *k, const char *text) {
    char *masked = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&masked, &size);

    if (!f)
        return NULL;
    while (*text) {
        size_t n = secret_at(k, text);

        if (n > 0)
            fputs(REDACTED, f);
        else
            fputc(*text, f);
        text += n > 0 ? n : 1;
    }
    if (fclose(f) != 0) {
        free(masked);
        return NULL;
    }
    return masked;
}
