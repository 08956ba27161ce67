/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a directory gives as nTSecurityDescriptor. */

#include "ldap/security_descriptor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const who[] = {"S-1-5-11", "S-1-1-0",
                                      "S-1-5-21-234090908-1577702896-2303152125-1103"};
    static const char *const types[] = {"bf967a0a-0de6-11d0-a285-00aa003049e2",
                                        "4c164200-20c0-11d0-a768-00aa006e0529"};
    static const uint32_t masks[] = {ACCESS_CONTROL, ACCESS_WRITE_PROPERTY};
    security_id token[ELEMENTSOF(who)], denied = {.size = 0};
    access_wish wish = {.n_types = ELEMENTSOF(types)};
    security_descriptor sd;

    if (security_descriptor_parse(data, size, &sd) < 0)
        return 0;

    for (size_t i = 0; i < ELEMENTSOF(who); i++)
        if (sid_from_text(who[i], token[i].bytes, &token[i].size) < 0)
            abort();
    for (size_t i = 0; i < ELEMENTSOF(types); i++)
        if (guid_from_text(types[i], wish.types[i]) < 0)
            abort();

    for (size_t i = 0; i < ELEMENTSOF(masks); i++) {
        char text[SID_TEXT_MAX];

        wish.mask = masks[i];
        if (security_descriptor_check(&sd, &wish, token, ELEMENTSOF(token), &token[2], &denied) ==
                ACCESS_DENIED &&
            sid_to_text(denied.bytes, denied.size, text) < 0)
            abort();
        if (security_descriptor_check(&sd, &wish, NULL, 0, NULL, &denied) == ACCESS_GRANTED &&
            sd.entries)
            abort();
    }
    return 0;
}
