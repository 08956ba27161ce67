/* SPDX-License-Identifier: Apache-2.0 */

/* Signing in by Kerberos, against a real controller and its real KDC:
 *
 *     tests/lab/run --no-agent tests/integration/kerberos
 *
 * What happens where the KDC is not there: tests/integration/kerberos.test.mjs. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#ifdef WRITEBACK_SANITIZERS
#include <sanitizer/lsan_interface.h>
#else
#define __lsan_disable()
#define __lsan_enable()
#endif

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "ldap/kerberos.h"
#include "ldap/spnego.h"
#include "tests/unit/keytab.h"

#define DOMAIN "corp.example"
#define REALM "CORP.EXAMPLE"
#define PATIENCE (20 * USEC_PER_SEC)

/* ---- The lab --------------------------------------------------------------------------------- */

static const char *lab(const char *name) {
    char variable[64];
    const char *value;

    (void) snprintf(variable, sizeof(variable), "WRITEBACK_LAB_%s", name);
    value = getenv(variable);
    if (!value)
        fail_msg("%s is not set: run this in tests/lab/run --no-agent", variable);
    return value;
}

/* A user's attribute, as the administrator sees it. Static; "" where there is none. */
static const char *attribute(const char *user, const char *name) {
    static char output[4096];
    FILE *pipe;
    size_t n;

    (void) setenv("TEST_USER", user, 1);
    (void) setenv("TEST_ATTRIBUTE", name, 1);
    pipe = popen("LDAPTLS_CACERT=$WRITEBACK_LAB_DC_CA ldapsearch -LLL -o ldif-wrap=no -x "
                 "-H ldaps://$WRITEBACK_LAB_DC -D \"$WRITEBACK_LAB_ADMIN_DN\" "
                 "-w \"$WRITEBACK_LAB_ADMIN_PASSWORD\" -b \"$WRITEBACK_LAB_BASE_DN\" "
                 "\"(sAMAccountName=$TEST_USER)\" \"$TEST_ATTRIBUTE\" 2>/dev/null | "
                 "sed -n \"s/^$TEST_ATTRIBUTE::* //p\" | tr -d '\\n'",
                 "r");
    assert_non_null(pipe);
    n = fread(output, 1, sizeof(output) - 1, pipe);
    output[n] = '\0';
    assert_int_equal(pclose(pipe), 0);
    return output;
}

static const char *scratch(const char *name) {
    static char path[512];

    (void) snprintf(path, sizeof(path), "%s/%s", lab("SCRATCH"), name);
    return path;
}

/* How long tickets for controllers shall live, in seconds; 0: as long as the KDC likes. A KDC may
 * be asked for less, but krb5.conf has a setting for the account's own ticket only, and Samba takes
 * none of those that live less than two minutes. */
static krb5_deltat ticket_lifetime;

/* When tickets were asked for. */
static _Atomic usec_t asked_at[8];
static _Atomic size_t n_asked;

krb5_error_code __real_krb5_tkt_creds_init(krb5_context krb5, krb5_ccache tickets,
                                           krb5_creds *wanted, krb5_flags options,
                                           krb5_tkt_creds_context *ret);
krb5_error_code __wrap_krb5_tkt_creds_init(krb5_context krb5, krb5_ccache tickets,
                                           krb5_creds *wanted, krb5_flags options,
                                           krb5_tkt_creds_context *ret);

/* The linker puts it into the place of libkrb5's. */
krb5_error_code __wrap_krb5_tkt_creds_init(krb5_context krb5, krb5_ccache tickets,
                                           krb5_creds *wanted, krb5_flags options,
                                           krb5_tkt_creds_context *ret) {
    if (n_asked < ELEMENTSOF(asked_at))
        asked_at[n_asked++] = now_monotonic();
    if (ticket_lifetime != 0)
        wanted->times.endtime = (krb5_timestamp) (now_realtime() / USEC_PER_SEC) + ticket_lifetime;
    return __real_krb5_tkt_creds_init(krb5, tickets, wanted, options, ret);
}

/* ---- The room -------------------------------------------------------------------------------- */

typedef struct fixture {
    sd_event *event;
    directory_config config;
    directory *directory;
    worker *resolver;
    connection *connection;
    kerberos *kerberos;

    bool opened, lost, bound, done;
    char reason[1024];
    int result;
    char text[1024];
    directory_reply reply;
    directory_account *account;
    char detail[1024];
} fixture;

static void wait_for(fixture *f, const bool *done) {
    usec_t until = now_monotonic() + 2 * PATIENCE;

    while (!*done) {
        assert_true(sd_event_run(f->event, USEC_PER_SEC) >= 0);
        if (now_monotonic() > until)
            fail_msg("waited in vain");
    }
}

static void run_for(fixture *f, usec_t span) {
    usec_t until = now_monotonic() + span;

    while (now_monotonic() < until)
        assert_true(sd_event_run(f->event, 20 * USEC_PER_MSEC) >= 0);
}

static int set_up(void **state) {
    fixture *f = calloc(1, sizeof(fixture));

    assert_int_equal(sd_event_new(&f->event), 0);
    f->config = (directory_config){
        .domain = strdup(DOMAIN),
        .controllers = calloc(2, sizeof(char *)),
        .bind_method = BIND_KERBEROS,
        .bind_dn = strdup(lab("SERVICE_PRINCIPAL")),
        .keytab = strdup(lab("SERVICE_KEYTAB")),
        .ca_file = strdup(lab("DC_CA")),
    };
    f->config.controllers[0] = strdup(lab("DC"));
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;

    directory_free(f->directory);
    connection_free(f->connection);
    kerberos_free(f->kerberos);
    worker_free(f->resolver);
    directory_config_done(&f->config);
    sd_event_unref(f->event);
    free(f);
    ticket_lifetime = 0;
    n_asked = 0;
    return 0;
}

/* Makes the agent somebody else, with a keytab that has one random key. */
static void become(fixture *f, const char *principal) {
    free(f->config.bind_dn);
    free(f->config.keytab);
    f->config.bind_dn = strdup(principal);
    f->config.keytab = strdup(scratch(principal));
    keytab_add(f->config.keytab, principal, 1);
}

static void open_directory(fixture *f) {
    assert_int_equal(directory_new(f->event, &f->config, NULL, NULL, &f->directory), 0);
}

static void on_done(directory_reply *reply, void *userdata) {
    fixture *f = userdata;

    f->done = true;
    f->reply = *reply;
    f->account = TAKE_PTR(reply->account);
    (void) snprintf(f->detail, sizeof(f->detail), "%s", reply->detail ? reply->detail : "");
}

static outcome locate(fixture *f, const char *user, directory_account **ret) {
    const directory_identifier id = {IDENTIFIER_SAM_ACCOUNT_NAME, user};
    directory_call *call;

    f->done = false;
    assert_int_equal(
        directory_locate(f->directory, &id, now_monotonic() + PATIENCE, on_done, f, &call), 0);
    wait_for(f, &f->done);
    if (ret)
        *ret = f->account;
    else
        directory_account_free(f->account);
    return f->reply.outcome;
}

/* ---- Bound to the certificate ---------------------------------------------------------------- */

static void on_opened(void *userdata) {
    ((fixture *) userdata)->opened = true;
}

static void on_lost(outcome o, const char *reason, void *userdata) {
    fixture *f = userdata;

    (void) o;
    f->lost = true;
    (void) snprintf(f->reason, sizeof(f->reason), "%s", reason);
}

static void on_answer(const connection_answer *answer, void *userdata) {
    fixture *f = userdata;

    f->done = true;
    f->result = answer->result;
    (void) snprintf(f->text, sizeof(f->text), "%s", answer->text);
}

static void connect_to_controller(fixture *f) {
    static connection_target target;

    target = (connection_target){
        .name = lab("DC"), .host = lab("DC"), .port = "636", .ca_file = lab("DC_CA")};
    f->opened = f->lost = f->done = false;
    f->connection = connection_free(f->connection);
    if (!f->resolver)
        assert_int_equal(worker_new(f->event, "resolver", &f->resolver), 0);
    assert_int_equal(
        connection_new(f->event, f->resolver, &target, on_opened, on_lost, f, &f->connection), 0);
    wait_for(f, &f->opened);
}

/* Signs in with this end point for the channel binding. */
static void sign_in(fixture *f, const uint8_t *end_point, size_t size) {
    spnego_options options = {.principal = lab("SERVICE_PRINCIPAL"),
                              .keytab = lab("SERVICE_KEYTAB"),
                              .host = lab("DC"),
                              .realm = REALM,
                              .end_point_size = size};
    _cleanup_(spnego_freep) spnego *s = NULL;
    connection_request *request;
    const void *token;
    size_t token_size;

    memcpy(options.end_point, end_point, size);
    assert_int_equal(connection_peer_address(f->connection, &options.address), 0);
    assert_int_equal(spnego_new(&options, &s), 0);
    assert_true(spnego_step(s, NULL, 0));
    assert_false(spnego_is_complete(s));
    token = spnego_token(s, &token_size);
    assert_int_equal(connection_bind_sasl(f->connection, "GSS-SPNEGO", token, token_size, on_answer,
                                          f, &request),
                     0);
    wait_for(f, &f->done);
}

static void a_bind_that_is_not_bound_to_the_certificate_is_refused(void **state) {
    fixture *f = *state;
    uint8_t end_point[TLS_END_POINT_MAX];
    size_t size;

    connect_to_controller(f);
    assert_int_equal(connection_end_point(f->connection, end_point, &size), 0);
    assert_int_equal(size, 32);
    sign_in(f, end_point, size);
    assert_int_equal(f->result, LDAP_SUCCESS);

    connect_to_controller(f);
    sign_in(f, end_point, 0);
    assert_int_equal(f->result, LDAP_INVALID_CREDENTIALS);
    assert_non_null(strstr(f->text, "80090346"));

    /* As if somebody in between showed a certificate of his own. */
    connect_to_controller(f);
    end_point[0] ^= 1;
    sign_in(f, end_point, size);
    assert_int_equal(f->result, LDAP_INVALID_CREDENTIALS);
    assert_non_null(strstr(f->text, "80090346"));
}

/* ---- What the agent does --------------------------------------------------------------------- */

static void a_reset_lands(void **state) {
    _cleanup_(directory_account_freep) directory_account *alice = NULL;
    _cleanup_(secret_freep) secret *password = NULL;
    fixture *f = *state;
    directory_attempt attempt = {};
    directory_call *call;

    open_directory(f);
    assert_int_equal(locate(f, "alice", &alice), OUTCOME_INVALID);
    assert_int_equal(secret_new("Kerber0s-Passw0rd-1", 19, &password), 0);
    f->done = false;
    attempt.deadline = now_monotonic() + PATIENCE;
    assert_int_equal(directory_reset(f->directory, alice, password, 0, &attempt, on_done, f, &call),
                     0);
    wait_for(f, &f->done);
    if (f->reply.outcome != OUTCOME_INVALID)
        fail_msg("%s", f->detail);
    assert_true(f->reply.password_last_set > now_realtime() - USEC_PER_MINUTE);
}

/* ---- Tickets that end ------------------------------------------------------------------------ */

static void on_bound(const bind_refusal *refusal, const char *said, usec_t renew_at,
                     void *userdata) {
    fixture *f = userdata;

    assert_null(refusal);
    assert_string_equal(said, "");
    assert_true(renew_at > now_monotonic());
    f->bound = true;
}

/* What makes renewal necessary: the directory ends a connection with its tickets. */
static void a_connection_ends_with_its_tickets(void **state) {
    static const char *const attributes[] = {"currentTime", NULL};
    fixture *f = *state;
    kerberos_bind *bind;
    usec_t began;

    ticket_lifetime = 4;
    connect_to_controller(f);
    assert_int_equal(kerberos_new(f->event, &f->config, &f->kerberos), 0);
    began = now_monotonic();
    assert_int_equal(kerberos_bind_new(f->kerberos, f->connection, lab("DC"), on_bound, f, &bind),
                     0);
    wait_for(f, &f->bound);
    /* libldap forgets the text of a notice of disconnection (seen with 2.5.13). */
    __lsan_disable();
    while (!f->lost && now_monotonic() < began + PATIENCE) {
        connection_request *request;

        f->done = false;
        if (connection_search(f->connection, "", LDAP_SCOPE_BASE, "(objectClass=*)", attributes,
                              on_answer, f, &request) >= 0)
            wait_for(f, &f->done);
        run_for(f, 100 * USEC_PER_MSEC);
    }
    __lsan_enable();
    assert_true(f->lost);
    assert_true(now_monotonic() - began > 2 * USEC_PER_SEC);
}

static void tickets_are_renewed_and_no_call_notices(void **state) {
    fixture *f = *state;
    usec_t until = now_monotonic() + 34 * USEC_PER_SEC;
    const controller_status *status;

    ticket_lifetime = 16;
    open_directory(f);
    assert_int_equal(locate(f, "alice", NULL), OUTCOME_INVALID);
    status = directory_controller(f->directory, 0);

    /* Two lives of a ticket, in which the controller was never out of use. */
    while (now_monotonic() < until) {
        if (locate(f, "alice", NULL) != OUTCOME_INVALID)
            fail_msg("%s", f->detail);
        assert_int_equal(status->state, CONTROLLER_USABLE);
        run_for(f, 100 * USEC_PER_MSEC);
    }
    assert_true(status->since < now_realtime() - 30 * USEC_PER_SEC);

    /* A controller has two connections, and each has tickets of its own: each time before the old
     * ones ended. */
    assert_true(n_asked >= 6);
    for (size_t i = 2; i < n_asked; i++)
        assert_true(asked_at[i] - asked_at[i - 2] < 16 * USEC_PER_SEC);
}

/* ---- Refused --------------------------------------------------------------------------------- */

static void assert_not_signed_in(fixture *f, const char *expected) {
    open_directory(f);
    assert_int_equal(locate(f, "alice", NULL), OUTCOME_AD_CONFIGURATION);
    if (!strstr(f->detail, expected))
        fail_msg("expected: %s\ngot:      %s", expected, f->detail);
}

static void a_wrong_key_is_tried_once(void **state) {
    fixture *f = *state;

    become(f, "svc-norights@" REALM);
    assert_not_signed_in(f, "(version 1) is not the account's: its password was changed");
    assert_string_equal(attribute("svc-norights", "badPwdCount"), "1");

    /* Requests that come do not change that. */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(locate(f, "alice", NULL), OUTCOME_AD_CONFIGURATION);
        run_for(f, USEC_PER_SEC);
    }
    assert_string_equal(attribute("svc-norights", "badPwdCount"), "1");
}

static void an_account_that_is_not_there_is_told(void **state) {
    fixture *f = *state;

    become(f, "nobody@" REALM);
    assert_not_signed_in(f, "the directory has no account nobody@" REALM);
}

static void a_disabled_account_is_told(void **state) {
    fixture *f = *state;

    become(f, "carol@" REALM);
    assert_not_signed_in(f, "the account is disabled, locked out");
}

static void an_account_of_an_unknown_domain_is_told(void **state) {
    fixture *f = *state;

    become(f, "svc-writeback@ELSEWHERE.EXAMPLE");
    open_directory(f);
    assert_int_equal(locate(f, "alice", NULL), OUTCOME_AD_NOT_REACHABLE);
    if (!strstr(f->detail, "no KDC of the realm of svc-writeback@ELSEWHERE.EXAMPLE"))
        fail_msg("%s", f->detail);
}

static void a_keytab_that_has_gone_is_told(void **state) {
    fixture *f = *state;

    free(f->config.keytab);
    f->config.keytab = strdup("/nowhere/keytab");
    assert_not_signed_in(f, "the keytab /nowhere/keytab cannot be read: No such file");
}

/* The certificate bears the address too, but a KDC knows names only. */
static void a_controller_by_its_address_is_told(void **state) {
    fixture *f = *state;

    free(f->config.controllers[0]);
    f->config.controllers[0] = strdup("127.0.0.2");
    assert_not_signed_in(f, "is not known to the KDC as ldap/127.0.0.2@" REALM);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_bind_that_is_not_bound_to_the_certificate_is_refused,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_reset_lands, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_connection_ends_with_its_tickets, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tickets_are_renewed_and_no_call_notices, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_wrong_key_is_tried_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_account_that_is_not_there_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_disabled_account_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_account_of_an_unknown_domain_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_keytab_that_has_gone_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_controller_by_its_address_is_told, set_up, tear_down),
    };

    log_set_target(LOG_TARGET_STDERR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
