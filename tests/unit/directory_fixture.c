/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/directory_fixture.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/base/clock.h"

void on_done(directory_reply *reply, void *userdata) {
    result *r = userdata;

    assert_false(r->done);
    r->done = true;
    r->reply = *reply;
    r->account = TAKE_PTR(reply->account);
    (void) snprintf(r->detail, sizeof(r->detail), "%s", reply->detail);
    (void) snprintf(r->controller, sizeof(r->controller), "%s",
                    reply->controller ? reply->controller : "");
}

void run_until(fixture *f, const bool *done, usec_t patience) {
    usec_t until = now_monotonic() + patience;

    while (!*done && now_monotonic() < until)
        assert_true(sd_event_run(f->event, 20 * USEC_PER_MSEC) >= 0);
}

result locate_by(fixture *f, const directory_identifier *id) {
    directory_call *call;
    result r = {};

    assert_int_equal(
        directory_locate(f->directory, id, now_monotonic() + PATIENCE, on_done, &r, &call), 0);
    run_until(f, &r.done, 2 * PATIENCE);
    assert_true(r.done);
    return r;
}

result locate(fixture *f) {
    return locate_by(f, &(directory_identifier){IDENTIFIER_SAM_ACCOUNT_NAME, "ada"});
}

result reset_as(fixture *f, const directory_attempt *attempt) {
    _cleanup_(secret_freep) secret *s = NULL;
    directory_call *call;
    result found = locate(f), r = {};

    assert_int_equal(found.reply.outcome, OUTCOME_INVALID);
    assert_int_equal(secret_new("Correct-Horse-4711", 18, &s), 0);
    assert_int_equal(
        directory_reset(f->directory, found.account, s, 0, attempt, on_done, &r, &call), 0);
    while (!r.done)
        assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
    directory_account_free(found.account);
    return r;
}

result reset_found(fixture *f, const directory_account *account, const char *password,
                   directory_reset_flags flags, directory_attempt attempt) {
    _cleanup_(secret_freep) secret *s = NULL;
    directory_call *call;
    result r = {};

    assert_int_equal(secret_new(password, strlen(password), &s), 0);
    assert_int_equal(directory_reset(f->directory, account, s, flags, &attempt, on_done, &r, &call),
                     0);
    run_until(f, &r.done, attempt.deadline + PATIENCE - now_monotonic());
    assert_true(r.done);
    return r;
}

result reset_within(fixture *f, const char *password, directory_reset_flags flags,
                    usec_t patience) {
    result found = locate(f), r;

    if (found.reply.outcome != OUTCOME_INVALID)
        return found;

    r = reset_found(f, found.account, password, flags,
                    (directory_attempt){.deadline = now_monotonic() + patience});
    directory_account_free(found.account);
    return r;
}

result reset(fixture *f) {
    return reset_within(f, "Correct-Horse-4711", 0, PATIENCE);
}

void assert_outcome(const result *r, outcome o) {
    if (r->reply.outcome != o)
        fail_msg("%s instead of %s: %s",
                 r->reply.outcome == OUTCOME_INVALID ? "success"
                                                     : outcome_get(r->reply.outcome)->name,
                 o == OUTCOME_INVALID ? "success" : outcome_get(o)->name, r->detail);
}

const char *date_of(usec_t realtime, char ret[static 32]) {
    (void) snprintf(ret, 32, "%" PRIu64, realtime * 10 + UINT64_C(116444736000000000));
    return ret;
}

static void on_state(directory *d, void *userdata) {
    fixture *f = userdata;

    assert_ptr_equal(d, f->directory);
    f->state_changes++;
}

void start(fixture *f, double_script first, const double_script *second) {
    f->first = double_new(first);
    f->second = second ? double_new(*second) : NULL;
    f->config.controllers[0] = strdup(double_name(f->first));
    f->config.controllers[1] = second ? strdup(double_name(f->second)) : NULL;
    assert_int_equal(directory_new(f->event, &f->config, on_state, f, &f->directory), 0);

    for (size_t i = 0; i < directory_n_controllers(f->directory); i++)
        while (directory_controller(f->directory, i)->state == CONTROLLER_UNTRIED)
            assert_true(sd_event_run(f->event, PATIENCE) > 0);
}

void stop(fixture *f) {
    f->directory = directory_free(f->directory);
    f->first = double_free(f->first);
    f->second = double_free(f->second);
    for (size_t i = 0; i < 2; i++) {
        free(f->config.controllers[i]);
        f->config.controllers[i] = NULL;
    }
}

int set_up(void **state) {
    fixture *f = calloc(1, sizeof(fixture));

    assert_int_equal(sd_event_new(&f->event), 0);
    f->config = (directory_config){
        .domain = strdup("corp.example"),
        .controllers = calloc(3, sizeof(char *)),
        .bind_dn = strdup("svc-writeback@corp.example"),
        .ca_file = strdup(double_ca_file()),
        .policy_hints = POLICY_HINTS_REQUIRE,
    };
    assert_int_equal(secret_new("secret", 6, &f->config.bind_password), 0);
    *state = f;
    return 0;
}

int tear_down(void **state) {
    fixture *f = *state;

    stop(f);
    directory_config_done(&f->config);
    sd_event_unref(f->event);
    free(f);
    return 0;
}
