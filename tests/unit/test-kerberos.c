/* SPDX-License-Identifier: Apache-2.0 */
/* Kerberos where it needs no controller: the keytab, the words for what goes wrong, and when
 * tickets are renewed. With a controller: tests/integration/kerberos.c. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ldap/kerberos.h"
#include "ldap/spnego.h"
#include "tests/unit/keytab.h"

#define PRINCIPAL "svc-writeback@CORP.EXAMPLE"

static char folder[] = "/tmp/test-kerberos-XXXXXX";

static const char *in_folder(const char *name) {
    static char path[64];

    (void) snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const char *content) {
    FILE *f = fopen(in_folder(name), "we");

    assert_non_null(f);
    assert_true(fputs(content, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static int set_up(void **state) {
    (void) state;

    if (!mkdtemp(folder))
        return -1;
    keytab_add(in_folder("keytab"), PRINCIPAL, 2);
    keytab_add(in_folder("keytab"), PRINCIPAL, 3);
    keytab_add(in_folder("keytab"), "host/agent.corp.example@CORP.EXAMPLE", 3);
    write_file("text", "Passw0rd!\n");
    write_file("nothing", "");
    return 0;
}

static int tear_down(void **state) {
    char command[128];

    (void) state;
    (void) snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command);
}

/* ---- The keytab ------------------------------------------------------------------------------ */

static void a_keytab_with_the_accounts_key_is_good(void **state) {
    _cleanup_free_ char *why = NULL;

    (void) state;

    assert_int_equal(spnego_keytab_check(in_folder("keytab"), PRINCIPAL, &why), 0);
    assert_null(why);
}

static void a_keytab_that_is_none_is_told(void **state) {
    static const struct {
        const char *file, *principal;
        const char *expected;
    } rows[] = {
        {"nowhere", PRINCIPAL, "cannot be read: No such file or directory"},
        {"text", PRINCIPAL, "is no keytab"},
        {"nothing", PRINCIPAL, "is no keytab"},
        {"keytab", "svc-writeback@corp.example",
         "has no key of svc-writeback@corp.example, but of svc-writeback@CORP.EXAMPLE, "
         "host/agent.corp.example@CORP.EXAMPLE; write Principal= as klist -k shows it"},
        {"keytab", "a@b@c", "a@b@c is no name of an account such as svc@CORP.EXAMPLE"},
    };

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        _cleanup_free_ char *why = NULL;

        assert_int_equal(spnego_keytab_check(in_folder(rows[i].file), rows[i].principal, &why),
                         -EINVAL);
        if (!why || !strstr(why, rows[i].expected))
            fail_msg("expected: %s\ngot:      %s", rows[i].expected, why ? why : "(nothing)");
    }
}

/* ---- Words ----------------------------------------------------------------------------------- */

static void each_trouble_has_its_words_and_its_care(void **state) {
    enum { REFUSED = 1, WRONG_PASSWORD = 2 };
    static const struct {
        kerberos_stage stage;
        int code, network_error;
        unsigned kind;
        outcome outcome;
        const char *expected;
    } rows[] = {
        {STAGE_KEYTAB, ENOENT, 0, 0, OUTCOME_AD_CONFIGURATION, "is not signed in to: WORDS"},
        {STAGE_ACCOUNT, KRB5KDC_ERR_PREAUTH_FAILED, 0, REFUSED | WRONG_PASSWORD,
         OUTCOME_AD_CONFIGURATION, "in the keytab /k (version 7) is not the account's"},
        {STAGE_ACCOUNT, KRB5_KT_KVNONOTFOUND, 0, REFUSED | WRONG_PASSWORD, OUTCOME_AD_CONFIGURATION,
         "make a new one"},
        {STAGE_ACCOUNT, KRB5KDC_ERR_C_PRINCIPAL_UNKNOWN, 0, REFUSED | WRONG_PASSWORD,
         OUTCOME_AD_CONFIGURATION, "no account " PRINCIPAL},
        {STAGE_ACCOUNT, KRB5KDC_ERR_CLIENT_REVOKED, 0, REFUSED, OUTCOME_AD_CONFIGURATION,
         "disabled, locked out"},
        {STAGE_ACCOUNT, KRB5KDC_ERR_KEY_EXP, 0, REFUSED, OUTCOME_AD_CONFIGURATION,
         "password has expired"},
        {STAGE_ACCOUNT, KRB5KDC_ERR_ETYPE_NOSUPP, 0, REFUSED, OUTCOME_AD_CONFIGURATION,
         "keytab with AES keys"},
        {STAGE_ACCOUNT, KRB5KRB_AP_ERR_SKEW, 0, 0, OUTCOME_AD_CONFIGURATION,
         "clocks must agree within five minutes"},
        {STAGE_SERVICE, KRB5KRB_AP_ERR_TKT_NYV, 0, 0, OUTCOME_AD_CONFIGURATION, "timedatectl"},
        {STAGE_ACCOUNT, KRB5_KDC_UNREACH, ECONNREFUSED, 0, OUTCOME_AD_NOT_REACHABLE,
         "on port 88: Connection refused"},
        {STAGE_ACCOUNT, KRB5_REALM_UNKNOWN, 0, 0, OUTCOME_AD_NOT_REACHABLE,
         "no KDC of the realm of " PRINCIPAL},
        {STAGE_SERVICE, KRB5KDC_ERR_S_PRINCIPAL_UNKNOWN, 0, 0, OUTCOME_AD_CONFIGURATION,
         "is not known to the KDC as ldap/dc1.corp.example@CORP.EXAMPLE"},
        /* Of the controller's account, not of ours. */
        {STAGE_SERVICE, KRB5KDC_ERR_ETYPE_NOSUPP, 0, 0, OUTCOME_AD_CONFIGURATION, "WORDS"},
        {STAGE_ACCOUNT, KRB5KRB_ERR_GENERIC, 0, 0, OUTCOME_AD_CONFIGURATION, "WORDS"},
    };

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        const kerberos_subject subject = {.principal = PRINCIPAL,
                                          .keytab = "/k",
                                          .key_version = 7,
                                          .service = "ldap/dc1.corp.example@CORP.EXAMPLE",
                                          .network_error = rows[i].network_error};
        kerberos_trouble t = kerberos_trouble_of(rows[i].stage, rows[i].code, "WORDS", &subject);

        assert_int_equal(t.is_refusal, !!(rows[i].kind & REFUSED));
        assert_int_equal(t.is_wrong_password, !!(rows[i].kind & WRONG_PASSWORD));
        assert_int_equal(t.outcome, rows[i].outcome);
        if (!t.reason || !strstr(t.reason, rows[i].expected))
            fail_msg("expected: %s\ngot:      %s", rows[i].expected, t.reason);
        if (t.is_refusal)
            assert_string_equal(t.said, "Kerberos: WORDS");
        free(t.reason);
        free(t.said);
    }
}

/* The controller is not to blame for a realm that is not its own. */
static void whose_kdc_is_silent_is_told(void **state) {
    (void) state;

    assert_non_null(strstr(kerberos_silence("svc@CORP.EXAMPLE", "CORP.EXAMPLE"), "its KDC"));
    assert_null(strstr(kerberos_silence("svc@CORP.EXAMPLE", "EMEA.EXAMPLE"), "its KDC"));
    assert_non_null(strstr(kerberos_silence("svc@CORP.EXAMPLE", "EMEA.EXAMPLE"),
                           "no KDC of the account's realm"));
}

/* ---- When ------------------------------------------------------------------------------------ */

static void connections_are_renewed_late_and_never_too_late(void **state) {
    (void) state;

    assert_int_equal(kerberos_renewal(10 * USEC_PER_HOUR),
                     10 * USEC_PER_HOUR - 5 * USEC_PER_MINUTE);
    assert_int_equal(kerberos_renewal(20 * USEC_PER_MINUTE), 15 * USEC_PER_MINUTE);
    assert_int_equal(kerberos_renewal(40 * USEC_PER_SEC), 30 * USEC_PER_SEC);
    assert_int_equal(kerberos_renewal(0), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_keytab_with_the_accounts_key_is_good),
        cmocka_unit_test(a_keytab_that_is_none_is_told),
        cmocka_unit_test(each_trouble_has_its_words_and_its_care),
        cmocka_unit_test(whose_kdc_is_silent_is_told),
        cmocka_unit_test(connections_are_renewed_late_and_never_too_late),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
