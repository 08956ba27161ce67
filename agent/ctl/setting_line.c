/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ctl/setting_line.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "agent/base/text.h"
#include "agent/ctl/ctl.h"
#include "agent/ctl/settings.h"

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

/* The pieces of a value that is no address, though one may stand in it, and keys by their names. */
static void split_value(const char *value, url_piece_fn piece, void *userdata) {
    bool in_address = false;

    while (*value) {
        size_t n = secret_name(value), secret = 0;

        if (strncmp(value, "://", 3) == 0) {
            const char *host = behind_user(value + 3);

            n = 3;
            secret = host ? (size_t) (host - 1 - (value + n)) : 0;
            in_address = true;
        } else if (in_address && strchr("?#", *value)) {
            n = 1;
            secret = strcspn(value + n, " \t");
        } else if (n > 0) {
            secret = strcspn(value + n, ";&");
        } else {
            n = 1;
            in_address = in_address && !isspace((unsigned char) *value);
        }
        piece(value, n, false, userdata);
        if (secret > 0)
            piece(value + n, secret, true, userdata);
        value += n + secret;
    }
}

void setting_value_split(setting_kind kind, const char *value, url_piece_fn piece, void *userdata) {
    if (kind == SETTING_ADDRESS)
        url_split(value, piece, userdata);
    else
        split_value(value, piece, userdata);
}

/* ---- Settings ----------------------------------------------------------------------- */

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

static bool is_address(const char *key) {
    size_t n = strlen(key), suffix = strlen("Url");

    return strcmp(key, "Proxy") == 0 || (n >= suffix && strcmp(key + n - suffix, "Url") == 0);
}

bool is_credential_name(const char *value) {
    static const char *const folders[] = {CTL_SERVICE_CREDENTIALS, CTL_CREDENTIALS};
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

static setting_kind kind_of(const char *key) {
    return !is_setting(key)        ? SETTING_UNKNOWN
           : names_credential(key) ? SETTING_CREDENTIAL
           : is_address(key)       ? SETTING_ADDRESS
                                   : SETTING_OTHER;
}

/* ---- Lines ----------------------------------------------------------------------------------- */

char *setting_trim(const char *text, size_t n) {
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

bool is_comment_line(const char *line) {
    char first = line[strspn(line, " \t")];

    return first == '#' || first == ';';
}

void setting_line_done(setting_line *s) {
    free(s->key);
    free(s->first);
    free(s->value);
}

/* What the lines behind `line` add to its value. */
static void continue_value(const char *line, char **value) {
    const char *next = strchr(line, '\n');

    for (; next; next = strchr(next, '\n')) {
        _cleanup_free_ char *more = NULL;
        size_t n = strcspn(++next, "\n");

        if (n == 0 || is_comment_line(next))
            continue;
        if (!isspace((unsigned char) *next))
            return;
        more = setting_trim(next, n);
        if (more)
            text_append(value, "", more);
    }
}

bool setting_line_read(const char *line, setting_line *ret) {
    size_t n = strcspn(line, "\n"), name = strcspn(line, "=:\n");

    *ret = (setting_line){0};
    if (name >= n || isspace((unsigned char) *line) || strchr("#;[", *line))
        return false;

    ret->key = setting_trim(line, name);
    ret->first = setting_trim(line + name + 1, n - name - 1);
    ret->value = ret->first ? strdup(ret->first) : NULL;
    if (!ret->key || !ret->value) {
        setting_line_done(ret);
        return false;
    }
    ret->kind = kind_of(ret->key);
    continue_value(line, &ret->value);
    return true;
}
