/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/text.h"

#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <wchar.h>
#include <wctype.h>

/* The next character, folded; 0 at the end. Returns false where it is no UTF-8. */
static bool next_folded(const char **text, mbstate_t *state, wint_t *ret) {
    wchar_t c;
    size_t size = mbrtowc(&c, *text, strlen(*text) + 1, state);

    if (size == (size_t) -1 || size == (size_t) -2)
        return false;

    *text += size;
    /* Up and down again: some letters have two small forms. */
    *ret = towlower(towupper((wint_t) c));
    return true;
}

static bool is_same_folded(const char *a, const char *b) {
    const char *x = a, *y = b;
    mbstate_t x_state = {0}, y_state = {0};
    wint_t c, d;

    do
        if (!next_folded(&x, &x_state, &c) || !next_folded(&y, &y_state, &d))
            return strcasecmp(a, b) == 0;
    while (c == d && c != 0);
    return c == d;
}

bool text_is_same_but_for_case(const char *a, const char *b) {
    locale_t unicode, before;
    bool is_same;

    assert(a);
    assert(b);

    unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t) 0);
    if (!unicode)
        return strcasecmp(a, b) == 0;

    before = uselocale(unicode);
    is_same = is_same_folded(a, b);
    (void) uselocale(before);
    freelocale(unicode);
    return is_same;
}

char *text_format(const char *format, ...) {
    char *text;
    va_list args;
    int n;

    va_start(args, format);
    n = vasprintf(&text, format, args);
    va_end(args);
    return n < 0 ? NULL : text;
}

void text_replace(char **place, const char *text) {
    char *copy = text ? strdup(text) : NULL;

    free(*place);
    *place = copy;
}

void text_append(char **place, const char *separator, const char *text) {
    char *longer = *place ? text_format("%s%s%s", *place, separator, text) : strdup(text);

    if (!longer)
        return;

    free(*place);
    *place = longer;
}

void text_put_escaped(FILE *f, const char *text, size_t max) {
    size_t n = strnlen(text, max);

    /* Not in the middle of a UTF-8 sequence. */
    if (text[n] != '\0')
        while (n > 0 && ((unsigned char) text[n] & 0xc0) == 0x80)
            n--;

    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char) text[i];

        if (c < 0x20 || c == 0x7f)
            fprintf(f, "\\x%02x", c);
        else
            fputc(c, f);
    }

    if (text[n] != '\0')
        fputs("…", f);
}

char *text_escaped(const char *text, size_t max) {
    char *escaped = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&escaped, &size);

    if (!f)
        return NULL;

    text_put_escaped(f, text, max);
    if (fclose(f) != 0) {
        free(escaped);
        return NULL;
    }
    return escaped;
}
