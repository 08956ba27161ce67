/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ctl/known_secrets.h"

#include <curl/curl.h>
#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/file.h"
#include "agent/base/text.h"
#include "agent/config.h"
#include "agent/ctl/ctl.h"
#include "agent/ctl/setting_line.h"

#define CONFIG_MAX ((size_t) 1024 * 1024)
/* Shorter ones would be found everywhere, and are hardly anybody's. */
#define SECRET_SIZE_MIN 4

struct known_secrets {
    secret **secrets;
    size_t n;
    bool is_first[UCHAR_MAX + 1]; /* bytes that one of them begins with */
    bool is_short_of_memory;
};

static void take(known_secrets *k, secret *s) {
    secret **larger;

    /* What holds a NUL, such as a keytab, cannot stand in a text. */
    if (secret_size(s) < SECRET_SIZE_MIN || memchr(secret_data(s), '\0', secret_size(s))) {
        (void) secret_free(s);
        return;
    }

    larger = reallocarray(k->secrets, k->n + 1, sizeof(secret *));
    if (!larger) {
        k->is_short_of_memory = true;
        (void) secret_free(s);
        return;
    }
    k->secrets = larger;
    k->secrets[k->n++] = s;
    k->is_first[(unsigned char) *secret_data(s)] = true;
}

static void add_credential(known_secrets *k, const char *name) {
    secret *s = NULL;

    if (credential_read(name, &s, NULL) >= 0)
        take(k, s);
}

static void add_bytes(known_secrets *k, const char *text, size_t size) {
    secret *s = NULL;

    if (secret_new(text, size, &s) < 0)
        k->is_short_of_memory = true;
    else
        take(k, s);
}

/* As it stands in an address, and as it is meant. */
static void add_piece(known_secrets *k, const char *text, size_t size) {
    int n = 0;
    char *meant = size > 0 ? curl_easy_unescape(NULL, text, (int) size, &n) : NULL;

    add_bytes(k, text, size);
    if (meant && ((size_t) n != size || memcmp(meant, text, size) != 0))
        add_bytes(k, meant, (size_t) n);
    curl_free(meant);
}

static void collect_piece(const char *text, size_t size, bool is_secret, void *userdata) {
    const char *colon = memchr(text, ':', size);

    if (!is_secret)
        return;
    add_piece(userdata, text, size);
    if (text[size] == '@' && colon)
        add_piece(userdata, colon + 1, size - (size_t) (colon + 1 - text));
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

/* What a setting names, or is itself where it should name something. Complaints about a wrong one
 * may quote it, and so may journals that an older version wrote. */
static void add_setting(known_secrets *k, const setting_line *s) {
    bool may_name = s->kind == SETTING_CREDENTIAL || s->kind == SETTING_UNKNOWN;

    if (may_name && is_credential_name(s->value))
        add_credential(k, s->value);
    else if (may_name)
        add_bytes(k, s->value, strlen(s->value));
    else
        setting_value_split(s->kind, s->value, collect_piece, k);
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
        _cleanup_(setting_line_done) setting_line s = {0};

        if (setting_line_read(text, &s))
            add_setting(k, &s);
        text += n + (text[n] == '\n');
    }
}

known_secrets *known_secrets_read(const char *const *files) {
    known_secrets *k = calloc(1, sizeof(known_secrets));

    if (!k)
        return NULL;

    add_folder(k, CTL_CREDENTIALS);
    add_folder(k, CTL_SERVICE_CREDENTIALS);
    for (; *files; files++)
        add_file(k, *files);
    return k->is_short_of_memory ? known_secrets_free(k) : k;
}

known_secrets *known_secrets_free(known_secrets *k) {
    if (!k)
        return NULL;

    for (size_t i = 0; i < k->n; i++)
        (void) secret_free(k->secrets[i]);
    free(k->secrets);
    free(k);
    return NULL;
}

/* How long the longest is that begins here. */
static size_t secret_at(const known_secrets *k, const char *text) {
    size_t longest = 0;

    if (!k->is_first[(unsigned char) *text])
        return 0;
    for (size_t i = 0; i < k->n; i++) {
        size_t size = secret_size(k->secrets[i]);

        if (size > longest && strncmp(text, secret_data(k->secrets[i]), size) == 0)
            longest = size;
    }
    return longest;
}

/* Where one ends within another, both go. */
static size_t secrets_at(const known_secrets *k, const char *text) {
    size_t end = secret_at(k, text);

    for (size_t i = 1; i < end; i++) {
        size_t n = secret_at(k, text + i);

        if (i + n > end)
            end = i + n;
    }
    return end;
}

/* Of an address that begins with its "://" here, whosever it is. */
static size_t user_at(const char *text) {
    static const char scheme[] = "://";
    size_t begin = strlen(scheme);
    const char *at;

    if (strncmp(text, scheme, begin) != 0)
        return 0;
    at = memrchr(text + begin, '@', strcspn(text + begin, "/?#\"'<> \t\r\n"));
    return at ? (size_t) (at - text) - begin : 0;
}

char *known_secrets_mask(const known_secrets *k, const char *text) {
    char *masked = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&masked, &size);

    if (!f)
        return NULL;
    while (*text) {
        size_t n = secrets_at(k, text), user = n > 0 ? 0 : user_at(text);

        if (user > 0)
            fputs("://" REDACTED, f);
        else if (n > 0)
            fputs(REDACTED, f);
        else
            fputc(*text, f);
        text += user > 0 ? strlen("://") + user : n > 0 ? n : 1;
    }
    if (fclose(f) != 0) {
        free(masked);
        return NULL;
    }
    return masked;
}

static json_t *mask_string(const known_secrets *k, const char *text) {
    _cleanup_free_ char *masked = known_secrets_mask(k, text);

    return masked ? json_string(masked) : NULL;
}

static json_t *mask_object(const known_secrets *k, const json_t *object) {
    json_t *masked = json_object(), *value;
    const char *name;

    json_object_foreach((json_t *) (uintptr_t) object, name, value) {
        _cleanup_free_ char *masked_name = known_secrets_mask(k, name);

        /* Sets nothing where either is NULL. */
        if (json_object_set_new(masked, masked_name, known_secrets_mask_json(k, value)) < 0) {
            json_decref(masked);
            return NULL;
        }
    }
    return masked;
}

static json_t *mask_array(const known_secrets *k, const json_t *array) {
    json_t *masked = json_array();

    for (size_t i = 0; i < json_array_size(array); i++) {
        if (json_array_append_new(masked, known_secrets_mask_json(k, json_array_get(array, i))) <
            0) {
            json_decref(masked);
            return NULL;
        }
    }
    return masked;
}

json_t *known_secrets_mask_json(const known_secrets *k, const json_t *document) {
    if (json_is_string(document))
        return mask_string(k, json_string_value(document));
    if (json_is_object(document))
        return mask_object(k, document);
    if (json_is_array(document))
        return mask_array(k, document);
    return json_copy((json_t *) (uintptr_t) document);
}
