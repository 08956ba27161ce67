/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger: each request is recorded once, and what was answered is told again. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/base/clock.h"
#include "agent/ledger.h"

static char folder[] = "/tmp/test-ledger-XXXXXX";
static sd_event *event;

typedef struct told {
    int r;
    ledger_state state;
    int status;
    char body[64];
} told;

static void on_told(const ledger_entry *entry, void *userdata) {
    told *t = userdata;

    t->r = entry->r;
    t->state = entry->state;
    t->status = entry->status;
    (void) snprintf(t->body, sizeof(t->body), "%s", entry->body ? entry->body : "");
    assert_true(entry->r == 0 || entry->why);
    (void) sd_event_exit(event, 0);
}

static void wait_for_it(void) {
    assert_true(sd_event_loop(event) >= 0);
    /* A loop that was left cannot be entered again. */
    sd_event_unref(event);
}

static int set_up(void **state) {
    (void) state;
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state) {
    _cleanup_free_ char *command = NULL;

    (void) state;
    return asprintf(&command, "rm -rf %s", folder) < 0 || system(command) != 0;
}

typedef enum step { BEGIN, MARK_SENT, FINISH, FINISH_FOR_NOW } step;

/* One job by a ledger of its own: whatever is told comes from the disk. */
static told run(const char *file, step what, const request *q, usec_t now) {
    _cleanup_free_ char *path = NULL;
    ledger *l = NULL;
    told t = {};
    int r = 0;

    assert_true(asprintf(&path, "%s/%s", folder, file) > 0);
    assert_true(sd_event_new(&event) >= 0);
    assert_int_equal(ledger_new(event, path, &l), 0);
    switch (what) {
    case BEGIN:
        r = ledger_begin(l, q, now, on_told, &t);
        break;
    case MARK_SENT:
        r = ledger_mark_sent(l, q->id, on_told, &t);
        break;
    case FINISH:
        r = ledger_finish(l, q->id, true, 200, "{\"id\":1}", on_told, &t);
        break;
    case FINISH_FOR_NOW:
        r = ledger_finish(l, q->id, false, 503, "{}", on_told, &t);
        break;
    }
    assert_int_equal(r, 0);
    wait_for_it();
    assert_null(ledger_free(l));
    return t;
}

static request some_request(const char *id) {
    return (request){
        .id = (char *) (uintptr_t) id, .expires = 1000 * USEC_PER_SEC, .fingerprint = {1, 2, 3}};
}

static void a_request_is_new_once_and_its_answer_comes_again(void **state) {
    const request q = some_request("request-1");
    told t;

    (void) state;

    assert_int_equal(run("a", BEGIN, &q, 0).state, LEDGER_NEW);
    assert_int_equal(run("a", BEGIN, &q, 0).state, LEDGER_RECEIVED);
    assert_int_equal(run("a", MARK_SENT, &q, 0).r, 0);
    assert_int_equal(run("a", BEGIN, &q, 0).state, LEDGER_SENT);
    assert_int_equal(run("a", FINISH, &q, 0).r, 0);
    t = run("a", BEGIN, &q, 0);
    assert_int_equal(t.state, LEDGER_DONE);
    assert_int_equal(t.status, 200);
    assert_string_equal(t.body, "{\"id\":1}");
}

static void other_content_under_the_same_id_is_a_conflict(void **state) {
    request q = some_request("request-2");

    (void) state;

    assert_int_equal(run("b", BEGIN, &q, 0).state, LEDGER_NEW);
    q.fingerprint[31] = 9;
    assert_int_equal(run("b", BEGIN, &q, 0).state, LEDGER_CONFLICT);
}

static void an_answer_that_may_change_is_not_kept(void **state) {
    const request q = some_request("request-3");

    (void) state;

    assert_int_equal(run("c", BEGIN, &q, 0).state, LEDGER_NEW);
    assert_int_equal(run("c", MARK_SENT, &q, 0).r, 0);
    assert_int_equal(run("c", FINISH_FOR_NOW, &q, 0).r, 0);
    assert_int_equal(run("c", BEGIN, &q, 0).state, LEDGER_RECEIVED);
}

static void an_entry_lives_a_day_longer_than_its_request(void **state) {
    const request q = some_request("request-4");
    usec_t end = q.expires + USEC_PER_DAY;

    (void) state;

    assert_int_equal(run("d", BEGIN, &q, 0).state, LEDGER_NEW);
    assert_int_equal(run("d", BEGIN, &q, end).state, LEDGER_RECEIVED);
    assert_int_equal(run("d", BEGIN, &q, end + 1).state, LEDGER_NEW);
}

static void a_disk_that_cannot_be_written_is_told(void **state) {
    const request q = some_request("request-5");

    (void) state;

    assert_int_equal(run("nowhere/e", BEGIN, &q, 0).r, -EIO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_new_once_and_its_answer_comes_again),
        cmocka_unit_test(other_content_under_the_same_id_is_a_conflict),
        cmocka_unit_test(an_answer_that_may_change_is_not_kept),
        cmocka_unit_test(an_entry_lives_a_day_longer_than_its_request),
        cmocka_unit_test(a_disk_that_cannot_be_written_is_told),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
