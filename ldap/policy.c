/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/policy.h"

#include <locale.h>
#include <string.h>
#include <uchar.h>
#include <wctype.h>

#include "agent/base/encoding.h"
#include "ldap/answer.h"

/* What parts a display name, MS-SAMR 3.1.1.7.2. */
#define NAME_SEPARATORS u" ,.\t-_#"
#define NAME_PART_MIN 3

/* What counts as a special character there; a space does not. */
#define SYMBOLS "~!@#$%^&*_-+=`|\\(){}[]:;\"'<>,.?/"

typedef struct utf16 {
    secret *memory;
    size_t length; /* in code units */
} utf16;

static int utf16_from(const char *text, size_t size, utf16 *ret) {
    return utf8_to_utf16le(text, size, &ret->memory, &ret->length);
}

static char16_t utf16_at(const utf16 *t, size_t i) {
    const unsigned char *b = (const unsigned char *) secret_data(t->memory) + i * 2;

    return (char16_t) (b[0] | b[1] << 8);
}

/* Letters beyond the basic plane have no case that matters here. */
static locale_t unicode(void) {
    static locale_t locale;

    if (!locale)
        locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t) 0);
    return locale;
}

static bool same_letter(char16_t a, char16_t b) {
    return a == b || (unicode() && towlower_l(a, unicode()) == towlower_l(b, unicode()));
}

static bool contains(const utf16 *text, const utf16 *part, size_t start, size_t length) {
    for (size_t at = 0; at + length <= text->length; at++) {
        size_t i = 0;

        while (i < length && same_letter(utf16_at(text, at + i), utf16_at(part, start + i)))
            i++;
        if (i == length)
            return true;
    }
    return false;
}

static bool is_separator(char16_t c) {
    for (const char16_t *s = NAME_SEPARATORS; *s; s++)
        if (*s == c)
            return true;
    return false;
}

static bool contains_name(const utf16 *password, const char *name, bool in_parts) {
    utf16 n = {};
    bool found = false;
    size_t start = 0;

    if (!name || utf16_from(name, strlen(name), &n) < 0)
        return false;

    for (size_t i = 0; i <= n.length && !found; i++) {
        if (i < n.length && !(in_parts && is_separator(utf16_at(&n, i))))
            continue;

        found = i - start >= NAME_PART_MIN && contains(password, &n, start, i - start);
        start = i + 1;
    }

    secret_free(n.memory);
    return found;
}

static size_t count_classes(const utf16 *password) {
    bool upper = false, lower = false, digit = false, symbol = false, other = false;

    for (size_t i = 0; i < password->length; i++) {
        char16_t c = utf16_at(password, i);

        if (c >= '0' && c <= '9')
            digit = true;
        else if (unicode() && iswupper_l(c, unicode()))
            upper = true;
        else if (unicode() && iswlower_l(c, unicode()))
            lower = true;
        else if (c < 0x80)
            symbol |= c != 0 && strchr(SYMBOLS, c);
        else if (unicode() && iswalpha_l(c, unicode()))
            other = true;
    }

    return (size_t) upper + lower + digit + symbol + other;
}

static bool is_complex(const utf16 *password, const char *sam_account_name,
                       const char *display_name) {
    return count_classes(password) >= 3 &&
           !contains_name(password, sam_account_name, /* in_parts= */ false) &&
           !contains_name(password, display_name, /* in_parts= */ true);
}

bool policy_is_complex(const secret *password, const char *sam_account_name,
                       const char *display_name) {
    utf16 text = {};
    bool complex_enough;

    assert(password);

    if (utf16_from(secret_data(password), secret_size(password), &text) < 0)
        return false;

    complex_enough = is_complex(&text, sam_account_name, display_name);
    secret_free(text.memory);
    return complex_enough;
}

static void add_reason(directory_policy_reason *reasons, size_t *n, const char *rule,
                       unsigned long long required) {
    for (size_t i = 0; i < *n; i++)
        if (strcmp(reasons[i].rule, rule) == 0)
            return;

    assert(*n < DIRECTORY_REASONS_MAX);
    reasons[(*n)++] = (directory_policy_reason){.rule = rule, .required = required};
}

static unsigned long long figure_of(const char *rule, const password_policy *policy) {
    if (!policy)
        return 0;
    if (strcmp(rule, "minimumPasswordLength") == 0)
        return policy->min_length;
    if (strcmp(rule, "passwordHistory") == 0)
        return policy->history_length;
    if (strcmp(rule, "minimumPasswordAge") == 0)
        return policy->min_age / USEC_PER_SEC;
    return 0;
}

static void add_broken_rules(directory_policy_reason *reasons, size_t *n,
                             const password_policy *policy, const policy_subject *subject,
                             const utf16 *password) {
    if (!subject->may_be_simple && password->length < policy->min_length)
        add_reason(reasons, n, "minimumPasswordLength", policy->min_length);
    if (!subject->may_be_simple && policy->complexity &&
        !is_complex(password, subject->sam_account_name, subject->display_name))
        add_reason(reasons, n, "passwordComplexity", 0);
    if (subject->history_enforced && subject->password_last_set != 0 &&
        subject->now < subject->password_last_set + policy->min_age)
        add_reason(reasons, n, "minimumPasswordAge", policy->min_age / USEC_PER_SEC);
}

size_t policy_reasons(const char *text, const password_policy *policy,
                      const policy_subject *subject, const secret *password,
                      directory_policy_reason ret[static DIRECTORY_REASONS_MAX]) {
    unsigned long long figure;
    const char *named;
    utf16 units = {};
    size_t n = 0;

    assert(text);
    assert(subject);
    assert(password);

    named = answer_policy_rule(text, &figure);
    if (named)
        add_reason(ret, &n, named, figure != 0 ? figure : figure_of(named, policy));
    if (!policy || utf16_from(secret_data(password), secret_size(password), &units) < 0)
        return n;

    add_broken_rules(ret, &n, policy, subject, &units);
    secret_free(units.memory);
    if (n > 0)
        return n;

    if (subject->history_enforced && policy->history_length > 0)
        add_reason(ret, &n, "passwordHistory", policy->history_length);
    add_reason(ret, &n, "passwordFilter", 0);
    return n;
}
