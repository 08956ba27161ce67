/* SPDX-License-Identifier: Apache-2.0 */
/* Distinguished names: what is below what, however it is spelled. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/base/macro.h"
#include "ldap/dn.h"

static void below_is_told_part_by_part(void **state) {
    static const struct {
        const char *dn, *base;
        bool below;
    } cases[] = {
        {"CN=alice,OU=Staff,DC=corp,DC=example", "OU=Staff,DC=corp,DC=example", true},
        {"CN=alice,OU=Sub,OU=Staff,DC=corp,DC=example", "OU=Staff,DC=corp,DC=example", true},
        {"OU=Staff,DC=corp,DC=example", "OU=Staff,DC=corp,DC=example", true},
        {"cn=Alice,ou=STAFF, dc=Corp , dc=example", "OU=staff,DC=corp,DC=example", true},
        {"CN=a,OU=Smith\\, Anna,DC=x", "OU=Smith\\2c Anna,DC=x", true},
        {"CN=a,OU=\\C3\\9Cbung,DC=x", "OU=Übung,DC=x", true},

        /* A text that ends like the other is not below it. */
        {"CN=a,OU=NotStaff,DC=x", "OU=Staff,DC=x", false},
        {"CN=a\\,OU=Staff,DC=x", "OU=Staff,DC=x", false},
        {"CN=a,OU=Staff,DC=x", "CN=Staff,DC=x", false},
        {"CN=a,OU=Staff,DC=x,DC=y", "OU=Staff,DC=x", false},
        {"DC=x", "OU=Staff,DC=x", false},
        {"CN=a,OU=Staf,DC=x", "OU=Staff,DC=x", false},
        {"CN=a+OU=Staff,DC=x", "OU=Staff,DC=x", false},
        {"alice", "OU=Staff,DC=x", false},
        {"CN=a,OU=Staff,DC=x", "staff", false},
    };

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(cases); i++)
        if (dn_is_below(cases[i].dn, cases[i].base) != cases[i].below)
            fail_msg("%s below %s", cases[i].dn, cases[i].base);
}

static void what_is_no_name_is_told(void **state) {
    (void) state;

    assert_true(dn_is_valid("OU=Staff,DC=corp,DC=example"));
    assert_false(dn_is_valid(""));
    assert_false(dn_is_valid("Staff"));
    assert_false(dn_is_valid("OU=Staff DC"
                             ",=x"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(below_is_told_part_by_part),
        cmocka_unit_test(what_is_no_name_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
