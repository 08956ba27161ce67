/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/redact_url.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Behind "scheme://"; all of it where there is none. */
static const char *behind_scheme(const char *url) {
    size_t n = 0;

    while (isalnum((unsigned char) url[n]) || (url[n] && strchr("+-.", url[n])))
        n++;
    return n > 0 && strncmp(url + n, "://", 3) == 0 ? url + n + 3 : url;
}

/* A name without a value may be a value without a name, and the = behind it base64's padding. */
static void split_parameter(const char *text, size_t size, url_piece_fn piece, void *userdata) {
    const char *equals = memchr(text, '=', size);
    size_t name = equals ? (size_t) (equals + 1 - text) : 0;

    if (name > 0 && strspn(equals, "=") >= size - (name - 1))
        name = 0;
    if (name > 0)
        piece(text, name, false, userdata);
    if (size > name)
        piece(text + name, size - name, true, userdata);
}

static const char *split_query(const char *text, url_piece_fn piece, void *userdata) {
    while (*text && *text != '#') {
        size_t n;

        piece(text++, 1, false, userdata); /* ? or & */
        n = strcspn(text, "&#");
        split_parameter(text, n, piece, userdata);
        text += n;
    }
    return text;
}

void url_split(const char *url, url_piece_fn piece, void *userdata) {
    const char *rest = behind_scheme(url), *at = strrchr(rest, '@');
    size_t n = strcspn(rest, "?#");

    piece(url, (size_t) (rest - url), false, userdata);
    if (at && at > rest + n) {
        /* A password with ? or # in it, or a query with an @. */
        piece(rest, strlen(rest), true, userdata);
        return;
    }
    if (at) {
        piece(rest, (size_t) (at - rest), true, userdata);
        n -= (size_t) (at - rest);
        rest = at;
    }
    piece(rest, n, false, userdata);
    rest = rest[n] == '?' ? split_query(rest + n, piece, userdata) : rest + n;
    if (*rest == '#') {
        piece(rest++, 1, false, userdata);
        piece(rest, strlen(rest), true, userdata);
    }
}

static void put_piece(const char *text, size_t size, bool is_secret, void *userdata) {
    if (is_secret)
        fputs(REDACTED, userdata);
    else
        (void) fwrite(text, 1, size, userdata);
}

char *redact_url(const char *url) {
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);

    if (!f)
        return NULL;
    url_split(url, put_piece, f);
    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

char *url_without_query(const char *url) {
    return strndup(url, strcspn(url, "?#"));
}
