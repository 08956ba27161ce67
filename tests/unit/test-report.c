/* SPDX-License-Identifier: Apache-2.0 */
/* Reports of health to the cloud, against a real server: when they are sent, what is in them, and
 * what happens while they do not get through. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/base/clock.h"
#include "agent/report.h"
#include "tests/unit/captured_log.h"
#include "tests/unit/command.h"
#include "tests/unit/https_server.h"

#define PATH "/report?code=not-for-the-log"

typedef struct fixture {
    sd_event *event;
    curl_glue *glue;
    health *health;
    char *listen;
    report_config config;
    reporter *reporter;
    captured_log log;
} fixture;

/* ---- The agent around it --------------------------------------------------------------------- */

static void tell(fixture *f, health_status status) {
    const health_component told = {.type = COMPONENT_RELAY,
                                   .name = "relay:primary",
                                   .instance = "",
                                   .status = status,
                                   .output = status == HEALTH_FAIL ? "cut" : NULL};

    assert_int_equal(health_report(f->health, &told), 0);
    reporter_touch(f->reporter);
}

static void start(fixture *f, usec_t interval) {
    f->config.interval = interval;
    assert_int_equal(reporter_new(f->event, f->glue, &f->config, f->health, &f->reporter), 0);
}

static int setup(void **state) {
    fixture *f = calloc(1, sizeof(*f));
    health_config config = {.agent_id = "agent-test", .release = "1.2.3"};
    char *why;

    assert_non_null(f);
    f->listen = scratch_path("health.sock");
    config.listen = f->listen;
    assert_int_equal(sd_event_new(&f->event), 0);
    assert_int_equal(curl_glue_new(f->event, &f->glue), 0);
    assert_int_equal(health_new(f->event, &config, &f->health, &why), 0);
    f->config.url = https_server_url(PATH);
    f->config.ca_file = scratch_path("server.pem");

    captured_log_begin(&f->log);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;

    captured_log_end(&f->log);
    (void) reporter_free(f->reporter);
    (void) health_free(f->health);
    (void) curl_glue_free(f->glue);
    (void) sd_event_unref(f->event);
    report_config_done(&f->config);
    free(f->listen);
    free(f);
    return 0;
}

static void run_for(fixture *f, usec_t time) {
    usec_t end = now_monotonic() + time;

    for (usec_t now = now_monotonic(); now < end; now = now_monotonic())
        assert_true(sd_event_run(f->event, end - now) >= 0);
}

static json_int_t reports(void) {
    return https_server_count(PATH);
}

/* Lets the agent work until so many reports have come. */
static void wait_for_reports(fixture *f, json_int_t n) {
    usec_t end = now_monotonic() + 10 * USEC_PER_SEC;

    while (reports() < n) {
        assert_true(now_monotonic() < end);
        run_for(f, 10 * USEC_PER_MSEC);
    }
}

/* In how many lines the log says it. */
static int logged(const fixture *f, const char *text) {
    return captured_log_count(&f->log, text);
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void a_report_is_the_blade_and_comes_regularly(void **state) {
    _cleanup_(json_freep) json_t *last = NULL, *document = NULL;
    json_int_t before = reports();
    fixture *f = *state;

    https_server_answer(PATH, 204, "");
    tell(f, HEALTH_PASS);
    start(f, 600 * USEC_PER_MSEC);
    wait_for_reports(f, before + 3);

    last = https_server_order("{s:s}", "last", PATH);
    assert_string_equal(json_string_value(json_object_get(last, "method")), "POST");
    assert_string_equal(json_string_value(json_object_get(last, "type")),
                        "application/health+json");
    document = json_loads(json_string_value(json_object_get(last, "body")), 0, NULL);
    assert_string_equal(json_string_value(json_object_get(document, "serviceId")), "agent-test");
    assert_non_null(json_object_get(document, "blade"));
    assert_int_equal(logged(f, " 32015 "), 0);
}

/* At a start the relay may be silent for long; a tenth of the interval is all that this waits. */
static void the_first_report_waits_until_the_parts_were_tried(void **state) {
    json_int_t before = reports();
    fixture *f = *state;
    usec_t began;

    https_server_answer(PATH, 204, "");
    tell(f, HEALTH_UNKNOWN);
    began = now_monotonic();
    start(f, 6 * USEC_PER_SEC);
    wait_for_reports(f, before + 1);
    assert_true(now_monotonic() - began >= 600 * USEC_PER_MSEC);
}

/* A regular one would come after six seconds only. */
static void a_change_is_told_soon_and_many_at_once_are_told_once(void **state) {
    json_int_t before = reports();
    fixture *f = *state;

    https_server_answer(PATH, 200, "thanks");
    tell(f, HEALTH_PASS);
    start(f, 6 * USEC_PER_SEC);
    wait_for_reports(f, before + 1);

    for (int i = 0; i < 20; i++)
        tell(f, i % 2 ? HEALTH_PASS : HEALTH_FAIL);
    tell(f, HEALTH_FAIL);
    wait_for_reports(f, before + 2);
    run_for(f, 300 * USEC_PER_MSEC);
    assert_int_equal(reports(), before + 2);

    /* Nothing changed but the words. */
    tell(f, HEALTH_FAIL);
    run_for(f, 800 * USEC_PER_MSEC);
    assert_int_equal(reports(), before + 2);
}

static void a_failure_is_logged_once_tried_again_ever_later_and_never_queued(void **state) {
    json_int_t before = reports();
    fixture *f = *state;
    usec_t began;

    https_server_answer(PATH, 503, "");
    tell(f, HEALTH_PASS);
    start(f, 2 * USEC_PER_SEC);
    began = now_monotonic();
    /* After 33 ms, then 200, 400, 800 ms later. */
    wait_for_reports(f, before + 4);
    assert_true(now_monotonic() - began >= 1400 * USEC_PER_MSEC);
    assert_int_equal(logged(f, " 32015 "), 1);
    assert_int_equal(logged(f, "it answered with status 503"), 2); /* text and field */
    assert_int_equal(logged(f, "not-for-the-log"), 0);

    /* What changes meanwhile waits as one, however often it does. */
    for (int i = 0; i < 100; i++)
        tell(f, i % 2 ? HEALTH_PASS : HEALTH_FAIL);
    https_server_answer(PATH, 200, "");
    wait_for_reports(f, before + 5);
    run_for(f, 100 * USEC_PER_MSEC);
    assert_int_equal(reports(), before + 5);
    assert_int_equal(logged(f, "gets through again"), 1);
}

static void another_reason_is_another_event(void **state) {
    json_int_t before = reports();
    fixture *f = *state;

    https_server_answer(PATH, 500, "");
    start(f, 600 * USEC_PER_MSEC);
    wait_for_reports(f, before + 1);
    https_server_set_up(false);
    while (logged(f, " 32015 ") < 2)
        run_for(f, 10 * USEC_PER_MSEC);
    https_server_set_up(true);
    assert_int_equal(logged(f, "WRITEBACK_ADDRESS=https://localhost:"), 2);
}

static void it_can_be_freed_in_the_middle_of_a_report(void **state) {
    json_int_t before = reports();
    fixture *f = *state;

    json_decref(https_server_order("{s:b}", "hold", true));
    start(f, 600 * USEC_PER_MSEC);
    wait_for_reports(f, before + 1);
    f->reporter = reporter_free(f->reporter);
    json_decref(https_server_order("{s:b}", "hold", false));
    run_for(f, 100 * USEC_PER_MSEC);
    assert_int_equal(reports(), before + 1);
}

static int start_server(void **state) {
    (void) state;
    https_server_start();
    return 0;
}

static int stop_server(void **state) {
    (void) state;
    https_server_stop();
    scratch_remove();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_report_is_the_blade_and_comes_regularly, setup, teardown),
        cmocka_unit_test_setup_teardown(the_first_report_waits_until_the_parts_were_tried, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_change_is_told_soon_and_many_at_once_are_told_once, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            a_failure_is_logged_once_tried_again_ever_later_and_never_queued, setup, teardown),
        cmocka_unit_test_setup_teardown(another_reason_is_another_event, setup, teardown),
        cmocka_unit_test_setup_teardown(it_can_be_freed_in_the_middle_of_a_report, setup, teardown),
    };

    return cmocka_run_group_tests_name("report", tests, start_server, stop_server);
}
