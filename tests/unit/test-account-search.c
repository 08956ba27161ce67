/* SPDX-License-Identifier: Apache-2.0 */

/* One account looked for in several domains, one of which does not answer. */

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/account_search.h"
#include "agent/base/clock.h"
#include "tests/unit/test-directory-double.h"

#define HINTS "1.2.840.113556.1.4.2239"

/* Of a request: so long that no host is too slow for half of it to be left. Only a test that is
 * about to fail waits for as long. */
#define DEADLINE (3 * USEC_PER_MINUTE)

typedef struct domain {
    directory_config config;
    directory *directory;
    controller_double *controller; /* NULL: nobody answers there */
    int silent_fd;
} domain;

typedef struct fixture {
    sd_event *event;
    domain domains[2];

    bool done;
    outcome outcome;
    directory_account *account;
    size_t home;
    char detail[512];
} fixture;

/* ---- Domains --------------------------------------------------------------------------------- */

static void open_domain(fixture *f, size_t index, const char *name, const char *controller) {
    domain *d = &f->domains[index];

    d->config = (directory_config){
        .domain = strdup(name),
        .controllers = calloc(2, sizeof(char *)),
        .bind_dn = strdup("svc-writeback@corp.example"),
        .ca_file = strdup(double_ca_file()),
        .policy_hints = POLICY_HINTS_REQUIRE,
    };
    d->config.controllers[0] = strdup(controller);
    assert_int_equal(secret_new("secret", 6, &d->config.bind_password), 0);
    assert_int_equal(directory_new(f->event, &d->config, NULL, NULL, &d->directory), 0);
}

/* A domain whose controller finds an account, or none. */
static void open_alive(fixture *f, size_t index, const char *name, bool has_account) {
    domain *d = &f->domains[index];

    d->controller = double_new((double_script){.hints = HINTS, .is_empty = !has_account});
    open_domain(f, index, name, double_name(d->controller));
    while (directory_controller(d->directory, 0)->state == CONTROLLER_UNTRIED)
        assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
    assert_int_equal(directory_controller(d->directory, 0)->state, CONTROLLER_USABLE);
}

/* One that takes connections and says nothing, as a controller that is frozen. */
static void open_silent(fixture *f, size_t index, const char *name) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof(address);
    domain *d = &f->domains[index];
    char controller[32];

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    d->silent_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(d->silent_fd, (struct sockaddr *) &address, size), 0);
    assert_int_equal(listen(d->silent_fd, 16), 0);
    assert_int_equal(getsockname(d->silent_fd, (struct sockaddr *) &address, &size), 0);
    (void) snprintf(controller, sizeof(controller), "127.0.0.1:%u", ntohs(address.sin_port));
    open_domain(f, index, name, controller);
}

static int set_up(void **state) {
    fixture *f = calloc(1, sizeof(fixture));

    f->domains[0].silent_fd = f->domains[1].silent_fd = -1;
    assert_int_equal(sd_event_new(&f->event), 0);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;

    directory_account_free(f->account);
    for (size_t i = 0; i < ELEMENTSOF(f->domains); i++) {
        directory_free(f->domains[i].directory);
        directory_config_done(&f->domains[i].config);
        double_free(f->domains[i].controller);
        if (f->domains[i].silent_fd >= 0)
            (void) close(f->domains[i].silent_fd);
    }
    sd_event_unref(f->event);
    free(f);
    return 0;
}

/* ---- Searches -------------------------------------------------------------------------------- */

static void on_done(account_search_result *result, void *userdata) {
    fixture *f = userdata;

    assert_false(f->done);
    f->done = true;
    f->outcome = result->outcome;
    f->home = result->home;
    f->account = TAKE_PTR(result->account);
    (void) snprintf(f->detail, sizeof(f->detail), "%s", result->detail);
}

/* Returns how much of the request's time is left. */
static usec_t search_within(fixture *f, usec_t patience, directory_identifier id,
                            const char *home) {
    _cleanup_(account_search_freep) account_search *s = NULL;
    directory *directories[] = {f->domains[0].directory, f->domains[1].directory};
    account_search_question question = {.directories = directories,
                                        .n_directories = ELEMENTSOF(directories),
                                        .id = id,
                                        .domain = home,
                                        .deadline = now_monotonic() + patience};
    usec_t now;

    f->account = directory_account_free(f->account);
    f->done = false;
    assert_int_equal(account_search_new(f->event, &question, on_done, f, &s), 0);
    while (!f->done)
        assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
    now = now_monotonic();
    return question.deadline > now ? question.deadline - now : 0;
}

static usec_t search(fixture *f, directory_identifier id, const char *home) {
    return search_within(f, DEADLINE, id, home);
}

static void assert_found(const fixture *f, size_t home) {
    if (f->outcome != OUTCOME_INVALID)
        fail_msg("%s: %s", outcome_get(f->outcome)->name, f->detail);
    assert_non_null(f->account);
    assert_int_equal(f->home, home);
}

static void assert_missing(const fixture *f, outcome o, const char *words) {
    if (f->outcome != o)
        fail_msg("%s instead of %s: %s",
                 f->outcome == OUTCOME_INVALID ? "success" : outcome_get(f->outcome)->name,
                 outcome_get(o)->name, f->detail);
    assert_null(f->account);
    if (!strstr(f->detail, words))
        fail_msg("'%s' is not in: %s", words, f->detail);
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static const directory_identifier by_sid = {IDENTIFIER_SID, "S-1-5-18"},
                                  by_guid = {IDENTIFIER_OBJECT_GUID, DOUBLE_GUID},
                                  by_anchor = {IDENTIFIER_IMMUTABLE_ID, "AAECAwQFBgcICQoLDA0ODw=="},
                                  by_name = {IDENTIFIER_USER_PRINCIPAL_NAME, "ada@corp.example"},
                                  by_foreign_name = {IDENTIFIER_USER_PRINCIPAL_NAME,
                                                     "ada@contoso.example"},
                                  by_account = {IDENTIFIER_SAM_ACCOUNT_NAME, "ada"};

/* Whichever of the two comes first in the configuration. */
static void a_domain_that_hangs_keeps_no_other_from_its_accounts(void **state) {
    fixture *f = *state;
    static const directory_identifier *const ids[] = {&by_sid, &by_guid, &by_anchor, &by_name};

    for (size_t silent = 0; silent < 2; silent++) {
        open_silent(f, silent, "dead.example");
        open_alive(f, 1 - silent, "corp.example", true);
        for (size_t i = 0; i < ELEMENTSOF(ids); i++) {
            usec_t left = search(f, *ids[i], NULL);

            assert_found(f, 1 - silent);
            /* Enough for the change. */
            assert_true(left > DEADLINE / 2);
        }
        (void) search(f, by_account, "CORP.example");
        assert_found(f, 1 - silent);

        (void) tear_down(state);
        (void) set_up(state);
        f = *state;
    }
}

static void what_may_be_in_a_domain_that_hangs_is_not_called_missing(void **state) {
    fixture *f = *state;

    open_silent(f, 0, "dead.example");
    open_alive(f, 1, "corp.example", false);
    assert_true(search(f, by_name, NULL) > DEADLINE / 2);
    assert_missing(f, OUTCOME_AD_NOT_REACHABLE, "dead.example: ");
}

static void a_name_that_another_domain_may_have_too_waits_for_it(void **state) {
    fixture *f = *state;

    open_alive(f, 0, "corp.example", true);
    open_silent(f, 1, "dead.example");
    assert_true(search(f, by_foreign_name, NULL) > DEADLINE / 2);
    assert_missing(f, OUTCOME_AD_NOT_REACHABLE,
                   "corp.example has an account with this name, and it is not known whether "
                   "another domain has one too: dead.example: ");
}

static void what_may_pass_comes_before_what_must_be_mended(void **state) {
    fixture *f = *state;

    for (size_t silent = 0; silent < 2; silent++) {
        open_silent(f, silent, "dead.example");
        f->domains[1 - silent].controller =
            double_new((double_script){.hints = HINTS, .is_read_only = true});
        open_domain(f, 1 - silent, "corp.example", double_name(f->domains[1 - silent].controller));
        (void) search_within(f, 2 * USEC_PER_SEC, by_name, NULL);
        assert_missing(f, OUTCOME_AD_NOT_REACHABLE, "dead.example: ");

        (void) tear_down(state);
        (void) set_up(state);
        f = *state;
    }
}

static void two_domains_that_have_it_are_told(void **state) {
    fixture *f = *state;

    open_alive(f, 0, "corp.example", true);
    open_alive(f, 1, "other.example", true);
    (void) search(f, by_foreign_name, NULL);
    assert_missing(f, OUTCOME_AD_MULTI_MATCH, "other.example");
}

static void where_all_have_answered_it_is_there_or_not(void **state) {
    fixture *f = *state;

    open_alive(f, 0, "corp.example", false);
    open_alive(f, 1, "other.example", true);
    (void) search(f, by_foreign_name, NULL);
    assert_found(f, 1);

    double_get_script(f->domains[1].controller)->is_empty = true;
    (void) search(f, by_foreign_name, NULL);
    assert_missing(f, OUTCOME_AD_USER_NOT_FOUND, "other.example: no user account");
    assert_non_null(strstr(f->detail, "corp.example: no user account"));
}

static void a_domain_that_is_not_served_is_told(void **state) {
    fixture *f = *state;
    account_search *s = NULL;
    account_search_question question = {
        .directories = (directory *[]){NULL}, .id = by_account, .domain = "nowhere.example"};

    assert_int_equal(account_search_new(f->event, &question, on_done, f, &s), -ENOENT);
    open_alive(f, 0, "corp.example", true);
    question.directories = &f->domains[0].directory;
    question.n_directories = 1;
    assert_int_equal(account_search_new(f->event, &question, on_done, f, &s), -ENOENT);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_domain_that_hangs_keeps_no_other_from_its_accounts),
        TEST(what_may_be_in_a_domain_that_hangs_is_not_called_missing),
        TEST(a_name_that_another_domain_may_have_too_waits_for_it),
        TEST(what_may_pass_comes_before_what_must_be_mended),
        TEST(two_domains_that_have_it_are_told),
        TEST(where_all_have_answered_it_is_there_or_not),
        TEST(a_domain_that_is_not_served_is_told),
    };

    (void) signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
