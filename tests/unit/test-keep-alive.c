/* SPDX-License-Identifier: Apache-2.0 */
/* systemd's watchdog is kept quiet as long as work gets on, and no longer. */

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/worker.h"
#include "agent/keep_alive.h"

/* Short, since the test waits for a few of them. */
#define INTERVAL (80 * USEC_PER_MSEC)

typedef struct fixture {
    sd_event *event;
    keep_alive *keep_alive;
    worker *worker;
    int systemd; /* where messages to systemd come out */
    int hold[2]; /* a job reads from it */
    int log;
    char socket[64], log_path[64];
} fixture;

static int setup(void **state) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    fixture *f = calloc(1, sizeof(fixture));
    char interval[24], pid[24];

    assert_non_null(f);
    *state = f;

    (void) snprintf(f->socket, sizeof(f->socket), "/tmp/test-keep-alive-%d.sock", (int) getpid());
    (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", f->socket);
    f->systemd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(f->systemd >= 0);
    assert_int_equal(bind(f->systemd, (struct sockaddr *) &address, sizeof(address)), 0);

    (void) snprintf(f->log_path, sizeof(f->log_path), "/tmp/test-keep-alive-%d.log",
                    (int) getpid());
    f->log = dup(STDERR_FILENO);
    assert_non_null(freopen(f->log_path, "w", stderr));

    (void) snprintf(interval, sizeof(interval), "%llu", (unsigned long long) INTERVAL);
    (void) snprintf(pid, sizeof(pid), "%d", (int) getpid());
    assert_int_equal(setenv("NOTIFY_SOCKET", f->socket, 1), 0);
    assert_int_equal(setenv("WATCHDOG_USEC", interval, 1), 0);
    assert_int_equal(setenv("WATCHDOG_PID", pid, 1), 0);

    assert_int_equal(pipe(f->hold), 0);
    assert_true(sd_event_new(&f->event) >= 0);
    assert_int_equal(worker_new(f->event, "test", &f->worker), 0);
    assert_int_equal(keep_alive_new(f->event, &f->keep_alive), 0);
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;

    (void) keep_alive_free(f->keep_alive);
    /* Where a test has failed, jobs still wait. */
    assert_int_equal(write(f->hold[1], "----", 4), 4);
    (void) worker_free(f->worker);
    (void) sd_event_unref(f->event);
    (void) fflush(stderr);
    (void) dup2(f->log, STDERR_FILENO);
    (void) close(f->log);
    (void) close(f->systemd);
    (void) close(f->hold[0]);
    (void) close(f->hold[1]);
    (void) unlink(f->socket);
    (void) unlink(f->log_path);
    free(f);
    return 0;
}

/* How many messages have come since the last call. */
static unsigned messages(const fixture *f) {
    char text[64];
    unsigned n = 0;

    for (ssize_t size; (size = recv(f->systemd, text, sizeof(text) - 1, 0)) > 0; n++) {
        text[size] = '\0';
        assert_string_equal(text, "WATCHDOG=1");
    }
    return n;
}

static void run_until_a_message(fixture *f) {
    while (messages(f) == 0)
        assert_true(sd_event_run(f->event, USEC_PER_SEC) >= 0);
}

static bool is_logged(const fixture *f, const char *what) {
    char text[4096] = "";
    FILE *log;

    (void) fflush(stderr);
    log = fopen(f->log_path, "re");
    assert_non_null(log);
    assert_true(fread(text, 1, sizeof(text) - 1, log) < sizeof(text) - 1);
    (void) fclose(log);
    return strstr(text, what) != NULL;
}

static void run_until_it_is_logged(fixture *f, const char *what) {
    while (!is_logged(f, what))
        assert_true(sd_event_run(f->event, USEC_PER_SEC) >= 0);
}

/* So many times as it would have sent a message. */
static void run_for_intervals(fixture *f, unsigned n) {
    usec_t end = now_monotonic() + n * INTERVAL;

    for (usec_t now; (now = now_monotonic()) < end;)
        assert_true(sd_event_run(f->event, end - now) >= 0);
}

static void wait_until_let_go(void *userdata) {
    const fixture *f = userdata;
    char byte;

    assert_int_equal(read(f->hold[0], &byte, 1), 1);
}

static void let_go(const fixture *f) {
    assert_int_equal(write(f->hold[1], "", 1), 1);
}

static void messages_come_again_and_again(void **state) {
    fixture *f = *state;

    for (size_t i = 0; i < 3; i++)
        run_until_a_message(f);
}

static void a_stuck_thread_stops_them_until_it_goes_on(void **state) {
    fixture *f = *state;

    assert_int_equal(worker_submit(f->worker, wait_until_let_go, NULL, NULL, f, NULL), 0);
    run_until_it_is_logged(f, "ERROR 35014 ThreadStuck: The thread \"test\" has got nothing done");
    (void) messages(f);
    run_for_intervals(f, 3);
    assert_int_equal(messages(f), 0);

    let_go(f);
    run_until_a_message(f);
    assert_true(is_logged(f, "goes on"));
}

/* Slow is not stuck, however much waits: each job that ends is progress. */
static void each_job_that_ends_is_progress(void **state) {
    fixture *f = *state;

    for (size_t i = 0; i < 4; i++)
        assert_int_equal(worker_submit(f->worker, wait_until_let_go, NULL, NULL, f, NULL), 0);
    for (size_t i = 0; i < 4; i++) {
        const char *name;
        usec_t before = workers_owing_since(&name);

        assert_string_equal(name, "test");
        let_go(f);
        while (workers_owing_since(&name) == before)
            assert_true(sd_event_run(f->event, INTERVAL / 10) >= 0);
    }
    run_until_a_message(f);
}

static void an_abandoned_thread_does_not_stop_them(void **state) {
    fixture *f = *state;
    const char *name;

    assert_int_equal(worker_submit(f->worker, wait_until_let_go, NULL, NULL, f, NULL), 0);
    assert_true(workers_owing_since(&name) > 0);
    f->worker = worker_abandon(f->worker);
    assert_int_equal(workers_owing_since(&name), 0);
    assert_null(name);
    run_until_a_message(f);
    let_go(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(messages_come_again_and_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stuck_thread_stops_them_until_it_goes_on, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(each_job_that_ends_is_progress, setup, teardown),
        cmocka_unit_test_setup_teardown(an_abandoned_thread_does_not_stop_them, setup, teardown),
    };

    return cmocka_run_group_tests_name("keep-alive", tests, NULL, NULL);
}
