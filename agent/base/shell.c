/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/shell.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/encoding.h"
#include "agent/base/macro.h"
#include "agent/base/redact_url.h"
#include "agent/base/text.h"

/* In the C locale, whatever the reader's shell thinks of other letters. */
static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                            "@%_+=:,./-";

static bool can_be_word(const char *value) {
    size_t size = strlen(value);

    if (size == 0 || size > SHELL_WORD_MAX || *value == '-' || !utf8_is_valid(value, size))
        return false;
    for (; *value; value++)
        if ((unsigned char) *value < 0x20 || *value == 0x7f || *value == '`')
            return false;
    return true;
}

char *shell_word(const char *value) {
    char *word, *p;

    assert(value);

    if (!can_be_word(value))
        return NULL;
    if (value[strspn(value, plain)] == '\0')
        return strdup(value);

    /* Each ' becomes '\''. */
    p = word = malloc(4 * strlen(value) + sizeof("''"));
    if (!word)
        return NULL;

    *p++ = '\'';
    for (; *value; value++)
        if (*value == '\'')
            p = mempcpy(p, "'\\''", strlen("'\\''"));
        else
            *p++ = *value;
    *p++ = '\'';
    *p = '\0';
    return word;
}

char *shell_curl_options(const char *ca_file, const char *proxy) {
    _cleanup_free_ char *shown = proxy ? redact_url(proxy) : NULL;
    _cleanup_free_ char *proxy_word = shown ? shell_word(shown) : NULL;
    _cleanup_free_ char *file_word = ca_file ? shell_word(ca_file) : NULL;

    if ((ca_file && !file_word) || (proxy && !proxy_word))
        return NULL;
    return text_format("%s%s%s%s", proxy ? "--proxy " : "--noproxy '*'", proxy ? proxy_word : "",
                       ca_file ? " --cacert " : "", ca_file ? file_word : "");
}
