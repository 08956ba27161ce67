/* SPDX-License-Identifier: Apache-2.0 */
/* The ground floor: what every room trusts without looking. */

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/base/encoding.h"
#include "agent/base/fill.h"
#include "agent/base/json.h"
#include "agent/base/log.h"
#include "agent/base/outcome.h"
#include "agent/base/shell.h"
#include "agent/base/worker.h"
#include "tests/unit/captured_log.h"

/* Every event has its own number, text for people, and steps wherever something is wrong. */
static void every_event_is_complete(void **state) {
    (void) state;

    for (outcome o = 0; o < OUTCOME_MAX_; o++) {
        const outcome_info *info = outcome_get(o);

        assert_int_equal(outcome_from_event(info->event), o);
        assert_int_equal(strlen(info->id), 32);
        assert_true(*info->title && *info->message && *info->cause);
        if (info->priority <= LOG_WARNING || info->http >= 400)
            assert_true(*info->steps);
        /* The relay uses these two itself. */
        assert_true(info->http != 502 && info->http != 504);
    }
}

static void message_is_filled_and_cannot_be_forged(void **state) {
    _cleanup_free_ char *message = NULL;
    const log_field fields[] = {{"WRITEBACK_REQUEST_ID", "a\nERROR forged"},
                                {"WRITEBACK_REASON", "too short"}};

    (void) state;

    message = log_event_message(OUTCOME_INPUT_VALIDATION_ERROR, fields, 2);
    assert_string_equal(message, "Request a\\x0aERROR forged was refused: too short.");
}

/* ---- What is there to be typed --------------------------------------------------------------- */

/* Whether `text` (a command, or what stands behind it) is one that `sh` reads to its end, as these
 * words alone. */
static void assert_typed_as(const char *command, const char *expected) {
    _cleanup_free_ char *line = NULL;
    char said[256] = "";
    FILE *shell;

    assert_true(asprintf(&line, "printf '%%s|' %s", command) > 0);
    shell = popen(line, "r");
    assert_non_null(shell);
    assert_int_equal(fread(said, 1, sizeof(said) - 1, shell), strlen(expected));
    assert_int_equal(pclose(shell), 0);
    assert_string_equal(said, expected);
}

static void a_value_in_a_command_stays_one_word_for_the_shell(void **state) {
    static const char *const values[] = {
        "O'Brien@corp.example",
        "x$(touch /tmp/typed)@corp.example",
        "a b;c|d&e<f>g\\h\"i!j*k?l[m]~",
        "Jürgen@corp.example",
        "''",
    };

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(values); i++) {
        _cleanup_free_ char *word = shell_word(values[i]), *command = NULL, *expected = NULL;

        assert_non_null(word);
        assert_true(asprintf(&command, "--user=%s", word) > 0);
        assert_true(asprintf(&expected, "--user=%s|", values[i]) > 0);
        assert_typed_as(command, expected);
    }
}

static void a_plain_value_is_not_quoted(void **state) {
    static const char plain[] = "CN=svc,OU=x_1:/a@b.example%+-";
    _cleanup_free_ char *word = shell_word(plain);

    (void) state;

    assert_string_equal(word, plain);
}

static void assert_options(const char *ca_file, const char *proxy, const char *expected) {
    _cleanup_free_ char *options = shell_curl_options(ca_file, proxy);

    assert_string_equal(options, expected);
}

static void curl_goes_the_way_that_the_agent_goes(void **state) {
    (void) state;

    assert_options(NULL, NULL, "--noproxy '*'");
    assert_options("/etc/a b", NULL, "--noproxy '*' --cacert '/etc/a b'");
    assert_options(NULL, "http://proxy:3128", "--proxy http://proxy:3128");
    assert_options("/etc/a", "http://me:s3cr%40t@proxy:3128/",
                   "--proxy 'http://(masked)@proxy:3128/' --cacert /etc/a");
    assert_options(NULL, "me:s3cret@proxy", "--proxy '(masked)@proxy'");
}

/* A backquote would end the command where our texts have it; the others a terminal or an option. */
static void what_can_be_no_word_is_left_to_the_reader(void **state) {
    static const char *const values[] = {"", "-x", "a`id`", "a\nb", "a\x7f", "\xff", NULL};
    char long_one[SHELL_WORD_MAX + 2];

    (void) state;

    memset(long_one, 'a', sizeof(long_one) - 1);
    long_one[sizeof(long_one) - 1] = '\0';
    assert_null(shell_word(long_one));
    for (size_t i = 0; values[i]; i++) {
        _cleanup_free_ char *word = fill_word("WRITEBACK_USER", values[i]);

        assert_null(shell_word(values[i]));
        assert_string_equal(word, "USER");
    }
}

/* Quotes about a place would end where the value's own begin. Elsewhere than in steps there is no
 * command. */
static void commands_have_places_for_words(void **state) {
    (void) state;

    for (outcome o = 0; o < OUTCOME_MAX_; o++) {
        const outcome_info *info = outcome_get(o);
        bool in_command = false;
        char quote = 0;

        assert_null(strchr(info->message, '`'));
        assert_null(strchr(info->cause, '`'));
        for (const char *p = info->steps; *p; p++) {
            in_command ^= *p == '`';
            if (!in_command || *p == '`')
                quote = 0;
            else if (*p == quote)
                quote = 0;
            else if (!quote && (*p == '"' || *p == '\''))
                quote = *p;
            assert_false(*p == '\n' && in_command);
            assert_false(quote && outcome_place(p) > 0);
        }
    }
}

static void steps_in_the_log_are_safe_to_be_typed(void **state) {
    captured_log log;

    (void) state;

    captured_log_begin(&log);
    log_event(OUTCOME_AD_USER_NOT_FOUND, {"WRITEBACK_USER", "x$(id)'s@corp.example"},
              {"WRITEBACK_DOMAIN", "corp.example"});
    assert_int_equal(
        captured_log_count(&log, "`writebackctl check --user='x$(id)'\\''s@corp.example'`"), 1);
    assert_int_equal(captured_log_count(&log, "    WRITEBACK_USER=x$(id)'s@corp.example"), 1);

    /* What stands for it in commands can be something else. */
    log_event(OUTCOME_AD_USER_NOT_FOUND, {"WRITEBACK_USER", "0123456789abcdef"},
              {"WRITEBACK_USER_QUOTED", "USER"}, {"WRITEBACK_DOMAIN", "corp.example"});
    assert_int_equal(captured_log_count(&log, "`writebackctl check --user=USER`"), 1);
    assert_int_equal(captured_log_count(&log, "WRITEBACK_USER_QUOTED"), 0);

    log_event(OUTCOME_AD_USER_NOT_FOUND, {"WRITEBACK_USER", NULL}, {"WRITEBACK_DOMAIN", NULL});
    assert_int_equal(captured_log_count(&log, "`writebackctl check --user=USER`"), 2);
    captured_log_end(&log);
}

/* ---- Encodings ------------------------------------------------------------------------------- */

static void base64_is_strict(void **state) {
    char buffer[16];
    size_t size;

    (void) state;

    assert_int_equal(base64_decode("3q2+7w==", 8, buffer, sizeof(buffer), &size), 0);
    assert_int_equal(size, 4);
    assert_memory_equal(buffer, "\xde\xad\xbe\xef", 4);
    assert_int_equal(base64_decode("", 0, buffer, sizeof(buffer), &size), 0);
    assert_int_equal(size, 0);

    /* Stray bits behind the last byte; white space; no padding; another alphabet; too long. */
    assert_int_equal(base64_decode("3q2+7x==", 8, buffer, sizeof(buffer), &size), -EINVAL);
    assert_int_equal(base64_decode("3q2 7w==", 8, buffer, sizeof(buffer), &size), -EINVAL);
    assert_int_equal(base64_decode("3q2+7w", 6, buffer, sizeof(buffer), &size), -EINVAL);
    assert_int_equal(base64_decode("3q2-7w==", 8, buffer, sizeof(buffer), &size), -EINVAL);
    assert_int_equal(base64_decode("3q2+7w==", 8, buffer, 3, &size), -ENOBUFS);
}

static void utf16_is_what_active_directory_stores(void **state) {
    _cleanup_(secret_freep) secret *s = NULL;
    size_t units;

    (void) state;

    assert_int_equal(utf8_to_utf16le("a€😀", 8, &s, &units), 0);
    assert_int_equal(units, 4);
    assert_int_equal(secret_size(s), 8);
    assert_memory_equal(secret_data(s), "a\0\xac\x20\x3d\xd8\x00\xde", 8);
}

static void broken_utf8_is_refused(void **state) {
    static const char *const broken[] = {
        "\xc0\x80",         /* overlong NUL */
        "\xe0\x80\xaf",     /* overlong slash */
        "\xed\xa0\x80",     /* a surrogate */
        "\xf4\x90\x80\x80", /* above U+10FFFF */
        "\xe2\x82",         /* cut off */
        "\x80",             /* begins in the middle */
        "\xff",
    };

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(broken); i++) {
        secret *s = NULL;

        assert_false(utf8_is_valid(broken[i], strlen(broken[i])));
        assert_int_equal(utf8_to_utf16le(broken[i], strlen(broken[i]), &s, NULL), -EINVAL);
    }

    secret *s = NULL;
    assert_int_equal(utf8_to_utf16le("a\0b", 3, &s, NULL), -EINVAL);
}

static int parse(const char *text, size_t limit) {
    _cleanup_(json_freep) json_t *j = NULL;
    const char *why = NULL;
    int r = json_parse(text, strlen(text), limit, &j, &why);

    assert_true(r == 0 || why);
    return r;
}

static void json_from_the_wire_is_bounded(void **state) {
    (void) state;

    assert_int_equal(parse("{\"a\": [1, 2]}", 100), 0);
    assert_int_equal(parse("{\"a\": \"[[[[[[[[[[[[[[[[[[[[\"}", 100), 0);
    assert_int_equal(parse("{\"a\": 1}", 7), -E2BIG);
    assert_int_equal(parse("[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]", 100), -ELOOP);
    assert_int_equal(parse("{\"a\": 1, \"a\": 2}", 100), -EINVAL);
    assert_int_equal(parse("{\"a\": \"\\u0000\"}", 100), -EINVAL);
    assert_int_equal(parse("{\"a\": 1} x", 100), -EINVAL);
    assert_int_equal(parse("\"text\"", 100), -EINVAL);
    assert_int_equal(parse("", 100), -EINVAL);
}

static void secrets_are_compared_and_cut(void **state) {
    _cleanup_(secret_freep) secret *a = NULL, *b = NULL;

    (void) state;

    assert_int_equal(secret_new("password", 8, &a), 0);
    assert_int_equal(secret_new("passwore", 8, &b), 0);
    assert_false(secret_equal(a, b));
    secret_truncate(a, 7);
    secret_truncate(b, 7);
    assert_true(secret_equal(a, b));
    /* What was cut off is gone. */
    assert_int_equal(secret_data(a)[7], 0);
}

static void count_run(void *userdata) {
    ++*(int *) userdata;
}

static void exit_loop(void *userdata) {
    (void) sd_event_exit(userdata, 0);
}

static void nothing(void *userdata) {
    (void) userdata;
}

static void fail_if_called(void *userdata) {
    (void) userdata;
    fail_msg("a cancelled job was told to be done");
}

static void worker_runs_jobs_in_order_and_forgets_cancelled_ones(void **state) {
    sd_event *event = NULL;
    worker *w = NULL;
    worker_job *job = NULL;
    int runs = 0;

    (void) state;

    assert_true(sd_event_new(&event) >= 0);
    assert_int_equal(worker_new(event, "test", &w), 0);
    assert_int_equal(worker_submit(w, count_run, fail_if_called, NULL, &runs, &job), 0);
    worker_cancel(job);
    assert_int_equal(worker_submit(w, nothing, exit_loop, NULL, event, NULL), 0);
    assert_true(sd_event_loop(event) >= 0);
    /* The second job is done, so the first has run. */
    assert_int_equal(runs, 1);

    assert_null(worker_free(w));
    sd_event_unref(event);
}

typedef struct stuck_job {
    int held[2], disposed[2];
} stuck_job;

static void wait_until_let_go(void *userdata) {
    stuck_job *job = userdata;
    char byte;

    assert_int_equal(read(job->held[0], &byte, 1), 1);
}

static void tell_disposal(void *userdata) {
    stuck_job *job = userdata;

    assert_int_equal(write(job->disposed[1], "", 1), 1);
}

static void an_abandoned_worker_is_not_waited_for_and_cleans_up(void **state) {
    sd_event *event = NULL;
    worker *w = NULL;
    worker_job *job = NULL;
    stuck_job stuck;
    struct pollfd disposed;
    char byte;

    (void) state;

    assert_int_equal(pipe(stuck.held), 0);
    assert_int_equal(pipe(stuck.disposed), 0);
    disposed = (struct pollfd){.fd = stuck.disposed[0], .events = POLLIN};
    assert_true(sd_event_new(&event) >= 0);
    assert_int_equal(worker_new(event, "test", &w), 0);
    assert_int_equal(
        worker_submit(w, wait_until_let_go, fail_if_called, tell_disposal, &stuck, &job), 0);

    worker_cancel(job);
    assert_null(worker_abandon(w));
    sd_event_unref(event);

    assert_int_equal(write(stuck.held[1], "", 1), 1);
    assert_int_equal(poll(&disposed, 1, 10000), 1);
    assert_int_equal(read(stuck.disposed[0], &byte, 1), 1);
    for (size_t i = 0; i < 2; i++) {
        (void) close(stuck.held[i]);
        (void) close(stuck.disposed[i]);
    }
}

enum { CLEANED_UP = 99 };

static void clean_up(void) {
    _exit(CLEANED_UP);
}

static void tell_and_stay(void *userdata) {
    const int *begun = userdata;

    assert_int_equal(write(begun[1], "", 1), 1);
    for (;;)
        (void) pause();
}

/* The status of a process that ends while its worker is in the middle of a job. */
static int end_with_a_worker(bool is_left_behind) {
    int begun[2], status;
    pid_t pid;

    assert_int_equal(pipe(begun), 0);
    pid = fork();
    if (pid == 0) {
        sd_event *event;
        worker *w;
        char byte;

        if (atexit(clean_up) != 0 || sd_event_new(&event) < 0 ||
            worker_new(event, "test", &w) < 0 ||
            worker_submit(w, tell_and_stay, fail_if_called, NULL, begun, &(worker_job *){NULL}) <
                0 ||
            read(begun[0], &byte, 1) != 1)
            _exit(1);
        if (is_left_behind)
            (void) worker_abandon(w);
        exit(7);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    (void) close(begun[0]);
    (void) close(begun[1]);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void a_thread_that_is_left_behind_keeps_its_libraries(void **state) {
    (void) state;

    assert_int_equal(end_with_a_worker(false), CLEANED_UP);
    assert_int_equal(end_with_a_worker(true), 7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_event_is_complete),
        cmocka_unit_test(message_is_filled_and_cannot_be_forged),
        cmocka_unit_test(a_value_in_a_command_stays_one_word_for_the_shell),
        cmocka_unit_test(a_plain_value_is_not_quoted),
        cmocka_unit_test(curl_goes_the_way_that_the_agent_goes),
        cmocka_unit_test(what_can_be_no_word_is_left_to_the_reader),
        cmocka_unit_test(commands_have_places_for_words),
        cmocka_unit_test(steps_in_the_log_are_safe_to_be_typed),
        cmocka_unit_test(base64_is_strict),
        cmocka_unit_test(utf16_is_what_active_directory_stores),
        cmocka_unit_test(broken_utf8_is_refused),
        cmocka_unit_test(json_from_the_wire_is_bounded),
        cmocka_unit_test(secrets_are_compared_and_cut),
        cmocka_unit_test(worker_runs_jobs_in_order_and_forgets_cancelled_ones),
        cmocka_unit_test(a_thread_that_is_left_behind_keeps_its_libraries),
        cmocka_unit_test(an_abandoned_worker_is_not_waited_for_and_cleans_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
