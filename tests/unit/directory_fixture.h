/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The directory room with one or two doubles of a controller, and calls that are waited for. What
 * fails fails the test. */

#include <systemd/sd-event.h>

#include "ldap/directory.h"
#include "tests/unit/test-directory-double.h"

#define HINTS "1.2.840.113556.1.4.2239"
#define DEPRECATED_HINTS "1.2.840.113556.1.4.2066"
#define PATIENCE (10 * USEC_PER_SEC)

/* Changes are begun with three seconds left; the rest is for a host that is slow. */
#define SHORT_PATIENCE (6 * USEC_PER_SEC)

#define REFUSED "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data "
#define WINDOWS_POLICY "0000052D: SvcErr: DSID-031A126C, problem 5003 (WILL_NOT_PERFORM), data 0\n"

typedef struct result {
    bool done;
    directory_reply reply;
    char detail[1024];
    char controller[64];
    directory_account *account;
} result;

typedef struct fixture {
    sd_event *event;
    directory_config config;
    directory *directory;
    controller_double *first, *second;
    unsigned state_changes;
} fixture;

/* For any call; its userdata is a result. */
void on_done(directory_reply *reply, void *userdata);

/* Returns when it is `done`, or the patience is over. */
void run_until(fixture *f, const bool *done, usec_t patience);
result locate_by(fixture *f, const directory_identifier *id);
result locate(fixture *f);
/* The account is ada, the password Correct-Horse-4711. */
result reset_as(fixture *f, const directory_attempt *attempt);
result reset_found(fixture *f, const directory_account *account, const char *password,
                   directory_reset_flags flags, directory_attempt attempt);
result reset_within(fixture *f, const char *password, directory_reset_flags flags, usec_t patience);
result reset(fixture *f);
void assert_outcome(const result *r, outcome o);
/* A FILETIME. */
const char *date_of(usec_t realtime, char ret[static 32]);
/* Returns when it is known of each controller whether it can be used. */
void start(fixture *f, double_script first, const double_script *second);
void stop(fixture *f);
int set_up(void **state);
int tear_down(void **state);

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

/* main() of a group of tests. */
#define RUN_TESTS(name, tests)                                                                     \
    ((void) signal(SIGPIPE, SIG_IGN), log_set_target(LOG_TARGET_STDERR),                           \
     cmocka_run_group_tests_name(name, tests, NULL, NULL))
