/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a controller says, and whatever a request calls an account. */

#include <string.h>

#include "ldap/answer.h"
#include "ldap/filter.h"
#include "ldap/identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void classify(int result, const char *text) {
    _cleanup_free_ char *said = answer_describe(result, text);
    unsigned long long required;
    uint32_t error;

    for (answer_kind kind = ANSWER_TO_SEARCH; kind <= ANSWER_TO_WRITE; kind++)
        if ((answer_classify(kind, result, text, &error) == OUTCOME_INVALID) != (result == 0))
            abort();

    (void) answer_policy_rule(text, &required);
    (void) answer_bind_refusal(result, text);
    if (!said || strpbrk(said, "\r\n\t"))
        abort();
}

/* What passes as an identifier makes a filter of three parentheses, and no star. */
static void identify(const char *text) {
    for (directory_identifier_type type = IDENTIFIER_IMMUTABLE_ID;
         type <= IDENTIFIER_SAM_ACCOUNT_NAME; type++) {
        directory_identifier id = {type, text};
        _cleanup_free_ char *filter = NULL;
        size_t parentheses = 0;
        const char *why;

        if (directory_identifier_check(&id, &why) < 0)
            continue;

        filter = filter_for_account(&id, ANCHOR_OBJECT_GUID);
        for (const char *p = filter; *p; p++)
            parentheses += *p == '(';
        if (parentheses != 3 || strchr(filter, '*'))
            abort();
    }
}

static void read_sid(const uint8_t *data, size_t size) {
    char text[SID_TEXT_MAX];
    uint8_t again[SID_SIZE_MAX];
    size_t again_size;

    if (sid_to_text(data, size, text) < 0 || data[1] == 0)
        return;

    if (sid_from_text(text, again, &again_size) < 0 || again_size != size ||
        memcmp(data, again, size) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _cleanup_free_ char *text = NULL;

    if (size == 0)
        return 0;

    text = strndup((const char *) data + 1, size - 1);
    if (!text)
        return 0;

    classify(data[0], text);
    identify(text);
    read_sid(data + 1, size - 1);
    return 0;
}
