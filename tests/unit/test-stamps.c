/* SPDX-License-Identifier: Apache-2.0 */
/* When an attribute was changed, from what a controller keeps for replication. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ldap/stamps.h"

/* Two stamps of a user of Samba 4.24: objectClass, and unicodePwd at 2026-11-26T20:02:57Z. */
static const uint8_t samba[] = {
    0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,

    0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x70, 0x21, 0x19, 0x21, 0x03, 0x00, 0x00, 0x00,
    0x77, 0xa7, 0xa2, 0xbf, 0x24, 0xb7, 0xc3, 0x42, 0x86, 0xd7, 0x79, 0x6b, 0xe3, 0x15, 0xbb, 0x34,
    0x69, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x69, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,

    0x5a, 0x00, 0x09, 0x00, 0x01, 0x00, 0x00, 0x00, 0x71, 0x21, 0x19, 0x21, 0x03, 0x00, 0x00, 0x00,
    0x77, 0xa7, 0xa2, 0xbf, 0x24, 0xb7, 0xc3, 0x42, 0x86, 0xd7, 0x79, 0x6b, 0xe3, 0x15, 0xbb, 0x34,
    0x69, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x69, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
};

static void the_stamp_of_the_attribute_tells(void **state) {
    (void) state;
    assert_int_equal(stamp_date(samba, sizeof(samba), STAMP_UNICODE_PWD),
                     (UINT64_C(0x0321192171) - UINT64_C(11644473600)) * USEC_PER_SEC);
    assert_int_equal(stamp_date(samba, sizeof(samba), 0x00090060), 0);
}

/* Any part of it, and any figure in it that is not as it should be. */
static void what_is_no_list_of_stamps_tells_nothing(void **state) {
    uint8_t bytes[sizeof(samba)];

    (void) state;
    for (size_t size = 0; size < sizeof(samba); size++) {
        uint8_t *part = malloc(size + 1);

        memcpy(part, samba, size);
        assert_int_equal(stamp_date(part, size, STAMP_UNICODE_PWD), 0);
        free(part);
    }

    for (size_t at = 0; at < 12; at += 8) {
        memcpy(bytes, samba, sizeof(samba));
        memset(bytes + at, 0xff, 4);
        assert_int_equal(stamp_date(bytes, sizeof(bytes), STAMP_UNICODE_PWD), 0);
    }

    memcpy(bytes, samba, sizeof(samba));
    memset(bytes + 72, 0xff, 8); /* a date beyond all dates */
    assert_int_equal(stamp_date(bytes, sizeof(bytes), STAMP_UNICODE_PWD), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_stamp_of_the_attribute_tells),
        cmocka_unit_test(what_is_no_list_of_stamps_tells_nothing),
    };

    return cmocka_run_group_tests_name("stamps", tests, NULL, NULL);
}
