/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A keytab for tests, made by libkrb5. */

#include <krb5.h>

#include <cmocka.h>

/* Adds a random AES key of the principal to the file, which need not be there yet. */
static inline void keytab_add(const char *path, const char *principal, unsigned version) {
    krb5_context krb5;
    krb5_keytab keytab;
    krb5_keytab_entry entry = {.vno = version};
    char name[4096];

    (void) snprintf(name, sizeof(name), "WRFILE:%s", path);
    assert_int_equal(krb5_init_context(&krb5), 0);
    assert_int_equal(krb5_kt_resolve(krb5, name, &keytab), 0);
    assert_int_equal(krb5_parse_name(krb5, principal, &entry.principal), 0);
    assert_int_equal(krb5_c_make_random_key(krb5, ENCTYPE_AES256_CTS_HMAC_SHA1_96, &entry.key), 0);
    assert_int_equal(krb5_kt_add_entry(krb5, keytab, &entry), 0);
    (void) krb5_free_keytab_entry_contents(krb5, &entry);
    (void) krb5_kt_close(krb5, keytab);
    krb5_free_context(krb5);
}
