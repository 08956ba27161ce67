/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/config_reader.h"

#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/file.h"
#include "agent/base/redact_url.h"

void config_fail(config_reader *r, int error, const config_place *place, const char *format, ...) {
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

void config_fail_for_memory(config_reader *r) {
    if (r->r == 0)
        r->r = -ENOMEM;
}

const char *config_peek(const config_reader *r, const char *section, const char *key) {
    for (size_t i = 0; i < r->file.n_sections; i++) {
        const config_section *s = &r->file.sections[i];

        for (size_t k = 0; strcmp(s->type, section) == 0 && k < s->n_settings; k++)
            if (strcmp(s->settings[k].key, key) == 0 && s->settings[k].value[0])
                return s->settings[k].value;
    }
    return NULL;
}

config_setting *config_take(config_reader *r, config_section *s, const char *key) {
    config_setting *found = NULL;

    for (size_t i = 0; i < s->n_settings; i++) {
        config_setting *setting = &s->settings[i];

        if (strcmp(setting->key, key) != 0)
            continue;
        if (found)
            config_fail(r, -EINVAL, &setting->place,
                        "%s= stands here again; it was set in line %d already", key,
                        found->place.line);
        setting->used = true;
        found = setting;
    }
    return found;
}

char *config_get_text(config_reader *r, config_section *s, const char *key) {
    config_setting *setting = config_take(r, s, key);
    char *text, *to;

    if (!setting || setting->value[0] == '\0')
        return NULL;

    text = to = strdup(setting->value);
    if (!text) {
        config_fail_for_memory(r);
        return NULL;
    }

    for (const char *from = setting->value; *from; from++)
        if (*from != '\n')
            *to++ = *from;
    *to = '\0';
    return text;
}

char *config_need_text(config_reader *r, config_section *s, const char *key, const char *expected) {
    char *text = config_get_text(r, s, key);

    if (!text)
        config_fail(r, -EINVAL, &s->place, "[%s%s%s%s] has no %s=; expected is %s", s->type,
                    s->name ? " \"" : "", s->name ? s->name : "", s->name ? "\"" : "", key,
                    expected);
    return text;
}

/* ---- Addresses ------------------------------------------------------------------------------- */

static void fail_for_address(config_reader *r, config_section *s, const char *key, const char *url,
                             const char *expected) {
    _cleanup_free_ char *shown = redact_url(url);

    config_fail(r, -EINVAL, &config_take(r, s, key)->place, "%s=%s: expected is %s", key,
                shown ? shown : "", expected);
}

static bool is_https(const char *url) {
    return strncmp(url, "https://", 8) == 0 && url[8] != '\0' && url[8] != '/' &&
           !strpbrk(url, " \t@#");
}

char *config_get_https(config_reader *r, config_section *s, const char *key) {
    char *url = config_get_text(r, s, key);

    if (url && !is_https(url))
        fail_for_address(r, s, key, url, "an https:// address, without a user, a password or a #");
    return url;
}

char *config_need_https(config_reader *r, config_section *s, const char *key,
                        const char *expected) {
    _cleanup_free_ char *url = config_need_text(r, s, key, expected);

    return url ? config_get_https(r, s, key) : NULL;
}

char *config_need_plain_https(config_reader *r, config_section *s, const char *key,
                              const char *expected) {
    char *url = config_need_https(r, s, key, expected);

    if (url && strchr(url, '?'))
        fail_for_address(r, s, key, url, "an address without a ?");
    return url;
}

static inline void curl_url_cleanupp(CURLU **url) {
    curl_url_cleanup(*url);
}

static inline void curl_textp(char **text) {
    curl_free(*text);
}

/* libcurl takes one without a scheme for http. What it does not take, it would quote whole. */
static bool is_proxy(const char *text) {
    static const char *const schemes[] = {"http",    "https",  "socks4",
                                          "socks4a", "socks5", "socks5h"};
    _cleanup_(curl_url_cleanupp) CURLU *url = curl_url();
    _cleanup_(curl_textp) char *scheme = NULL;

    if (curl_url_set(url, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME | CURLU_GUESS_SCHEME) !=
            CURLUE_OK ||
        curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK)
        return false;
    for (size_t i = 0; i < ELEMENTSOF(schemes); i++)
        if (strcmp(scheme, schemes[i]) == 0)
            return true;
    return false;
}

char *config_get_proxy(config_reader *r, config_section *s) {
    char *proxy = config_get_text(r, s, "Proxy");

    if (proxy && !is_proxy(proxy))
        fail_for_address(
            r, s, "Proxy", proxy,
            "the address of a proxy, such as http://proxy.corp.example:3128; within its "
            "user and password / stands as %2F, ? as %3F, # as %23, @ as %40");
    return proxy;
}

/* ---- Lists and words ------------------------------------------------------------------------- */

char **config_get_list(config_reader *r, config_section *s, const char *key,
                       const char *separators) {
    config_setting *setting = config_take(r, s, key);
    _cleanup_free_ char *copy = NULL;
    char **list = NULL, *rest = NULL;
    size_t n = 0;

    if (!setting)
        return NULL;

    copy = strdup(setting->value);
    if (!copy) {
        config_fail_for_memory(r);
        return NULL;
    }

    for (char *word = strtok_r(copy, separators, &rest); word;
         word = strtok_r(NULL, separators, &rest)) {
        char **larger = reallocarray(list, n + 2, sizeof(char *));

        if (!larger || !(larger[n] = strdup(word))) {
            config_fail_for_memory(r);
            return larger ? larger : list;
        }
        list = larger;
        list[++n] = NULL;
    }
    return list;
}

char **config_get_repeated(config_reader *r, config_section *s, const char *key) {
    char **list = calloc(s->n_settings + 1, sizeof(char *));
    size_t n = 0;

    for (size_t i = 0; list && i < s->n_settings; i++) {
        if (strcmp(s->settings[i].key, key) != 0)
            continue;

        s->settings[i].used = true;
        list[n] = strdup(s->settings[i].value);
        if (!list[n++])
            config_fail_for_memory(r);
    }
    if (!list)
        config_fail_for_memory(r);
    return list;
}

void config_refuse(config_reader *r, config_section *s, const char *const *keys, const char *why) {
    for (; *keys; keys++) {
        const config_setting *setting = config_take(r, s, *keys);

        if (setting && setting->value[0])
            config_fail(r, -EINVAL, &setting->place, "%s= contradicts %s", *keys, why);
    }
}

bool config_get_boolean(config_reader *r, config_section *s, const char *key, bool otherwise) {
    config_setting *setting = config_take(r, s, key);

    if (!setting || setting->value[0] == '\0')
        return otherwise;
    if (strcmp(setting->value, "yes") != 0 && strcmp(setting->value, "no") != 0)
        config_fail(r, -EINVAL, &setting->place, "%s=%s: expected is yes or no", key,
                    setting->value);
    return strcmp(setting->value, "yes") == 0;
}

/* "a, b or c", malloc(3)ed. */
static char *join(const char *const *words) {
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);

    if (!f)
        return NULL;

    for (size_t i = 0; words[i]; i++)
        fprintf(f, "%s%s", i == 0 ? "" : words[i + 1] ? ", " : " or ", words[i]);
    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

int config_get_choice(config_reader *r, config_section *s, const char *key,
                      const char *const *words) {
    const config_setting *setting = config_take(r, s, key);
    _cleanup_free_ char *expected = NULL;

    if (!setting || setting->value[0] == '\0')
        return 0;

    for (int i = 0; words[i]; i++)
        if (strcmp(setting->value, words[i]) == 0)
            return i;

    expected = join(words);
    config_fail(r, -EINVAL, &setting->place, "%s=%s: expected is %s", key, setting->value,
                expected ? expected : words[0]);
    return 0;
}

char **config_list_free(char **list) {
    for (char **p = list; p && *p; p++)
        free(*p);
    free(list);
    return NULL;
}

/* Somebody may have written the secret itself where its name should be. Keys are base64 with a = at
 * their end, and passwords of a domain have capitals or other characters. */
static bool looks_like_credential_name(const char *name) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";

    return name[strspn(name, plain)] == '\0' || (*name == '/' && !strpbrk(name, "=+"));
}

static void fail_for_credential(config_reader *r, const config_place *place, int error,
                                const char *key, const char *name, const char *path) {
    static const char expected[] =
        "expected is the name of a credential that the service is given (LoadCredential=) or an "
        "absolute path";

    if (!looks_like_credential_name(name))
        config_fail(
            r, error, place,
            "%s= names no credential that can be read (%s); what stands there is not shown, since "
            "it may be the secret itself; %s",
            key, strerror(-error), expected);
    else if (error == -ENODATA)
        config_fail(r, error, place, "%s=%s: the credential %s is empty; put the secret into it",
                    key, name, path);
    else
        config_fail(r, error, place, "%s=%s: the credential %s cannot be read (%s); %s", key, name,
                    path ? path : "", strerror(-error), expected);
}

secret *config_get_credential(config_reader *r, config_section *s, const char *key,
                              const char *fallback) {
    config_setting *setting = config_take(r, s, key);
    const char *name = setting && setting->value[0] ? setting->value : fallback;
    _cleanup_free_ char *path = NULL;
    secret *value = NULL;
    int error;

    error = credential_read(name, &value, &path);
    if (error < 0)
        fail_for_credential(r, setting ? &setting->place : &s->place, error, key, name, path);
    return value;
}

bool config_is_guid(const char *text) {
    for (size_t i = 0; i < 36; i++)
        if (i == 8 || i == 13 || i == 18 || i == 23 ? text[i] != '-'
                                                    : !isxdigit((unsigned char) text[i]))
            return false;

    return text[36] == '\0';
}

usec_t config_get_duration(config_reader *r, config_section *s, const char *key, usec_t fallback) {
    config_setting *setting = config_take(r, s, key);
    usec_t duration = fallback;

    if (setting && setting->value[0] && usec_parse(setting->value, &duration) < 0)
        config_fail(
            r, -EINVAL, &setting->place,
            "%s=%s: expected is a span of time such as 180d: a number and its unit, one of s, min, "
            "h, d, w",
            key, setting->value);
    return duration;
}

usec_t config_get_interval(config_reader *r, config_section *s, const char *key, usec_t fallback,
                           const char *most) {
    const config_setting *setting = config_take(r, s, key);
    usec_t interval, limit = 0;

    (void) usec_parse(most, &limit);
    if (!setting || setting->value[0] == '\0')
        return fallback;
    if (usec_parse(setting->value, &interval) == 0 && interval >= 10 * USEC_PER_SEC &&
        interval <= limit)
        return interval;

    config_fail(r, -EINVAL, &setting->place,
                "%s=%s: expected is a time between 10s and %s, such as 5min", key, setting->value,
                most);
    return fallback;
}
