/* SPDX-License-Identifier: Apache-2.0 */
/* writebackctl trace and logs, against a journal that systemd's own tool writes. Runs in the build
 * folder. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/base/json.h"
#include "agent/ctl/when.h"
#include "tests/unit/command.h"
#include "tests/unit/run_ctl.h"

#define JOURNAL_REMOTE "/lib/systemd/systemd-journal-remote"

/* 2026-11-26 10:00:00 UTC, where the tests' time begins. */
#define TEN ((usec_t) 1795687200 * USEC_PER_SEC)

#define RUN_1 "_SYSTEMD_INVOCATION_ID=11111111111111111111111111111111\n"
#define RUN_2 "_SYSTEMD_INVOCATION_ID=22222222222222222222222222222222\n"
#define GUID "c126fddd-5ca6-430f-9b10-e2188d1ed0d4"

static FILE *export;

/* An entry of the agent's in the journal's export format, `seconds` after ten. */
static void add_by(const char *unit, unsigned seconds, const char *fields) {
    assert_true(fprintf(export,
                        "__REALTIME_TIMESTAMP=%llu\n__MONOTONIC_TIMESTAMP=%u\n"
                        "_BOOT_ID=0123456789abcdef0123456789abcdef\n_HOSTNAME=agent1\n"
                        "_SYSTEMD_UNIT=%s\n%s\n",
                        (unsigned long long) (TEN + seconds * USEC_PER_SEC), seconds, unit,
                        fields) > 0);
}

static void add(unsigned seconds, const char *fields) {
    add_by("writebackd.service", seconds, fields);
}

/* A refused reset, one that was done over two starts of the service, one that never ended, and
 * what failed beside. */
static void write_entries(void) {
    add(0, "WRITEBACK_EVENT=31034\nWRITEBACK_EVENT_NAME=ServiceBusListenerError\nPRIORITY=3\n"
           "MESSAGE=Relay primary cannot be listened on: connection refused.\n"
           "WRITEBACK_RELAY=primary\nWRITEBACK_REASON=connection refused\n");

    add(100, RUN_1
        "WRITEBACK_EVENT=31009\nWRITEBACK_EVENT_NAME=ResetUserPasswordByAdminStart\nPRIORITY=6\n"
        "MESSAGE=A password reset of alice was asked for.\nWRITEBACK_REQUEST_ID=refused-1\n"
        "WRITEBACK_TRACKING_ID=" GUID "_G12\nWRITEBACK_USER=alice@corp.example\n"
        "WRITEBACK_INITIATOR=admin@corp.example\nWRITEBACK_OPERATION=reset\n");
    add(101,
        RUN_1 "WRITEBACK_EVENT=33004\nWRITEBACK_EVENT_NAME=ADPermissionsError\nPRIORITY=3\n"
              "MESSAGE=The agent's account lacks rights on alice.\nWRITEBACK_REQUEST_ID=refused-1\n"
              "WRITEBACK_TRACKING_ID=" GUID "_G12\nWRITEBACK_USER=alice@corp.example\n"
              "WRITEBACK_DC=dc1.corp.example\nWRITEBACK_REASON=insufficient rights\n");
    add(101, RUN_1
        "WRITEBACK_EVENT=31011\nWRITEBACK_EVENT_NAME=ResetUserPasswordByAdminFail\nPRIORITY=5\n"
        "MESSAGE=The password of alice was not reset.\nWRITEBACK_REQUEST_ID=refused-1\n"
        "WRITEBACK_TRACKING_ID=" GUID "_G12\nWRITEBACK_OUTCOME=ADPermissionsError\n"
        "WRITEBACK_STATUS=403\nWRITEBACK_DURATION_USEC=84000\nWRITEBACK_RELAY=primary\n"
        "WRITEBACK_DC=dc1.corp.example\nWRITEBACK_CLIENT=portal\nWRITEBACK_LDAP_RESULT=50\n"
        "WRITEBACK_AD_ERROR=0x00000005\n");
    /* Anybody may write this into the journal; only the unit's name cannot be chosen. */
    add_by("evil.service", 102,
           "WRITEBACK_EVENT=31010\nWRITEBACK_EVENT_NAME=ResetUserPasswordByAdminSuccess\n"
           "PRIORITY=6\nMESSAGE=forged\nWRITEBACK_REQUEST_ID=refused-1\n");

    add(200, RUN_1 "WRITEBACK_EVENT=31009\nWRITEBACK_EVENT_NAME=ResetUserPasswordByAdminStart\n"
                   "PRIORITY=6\nMESSAGE=first\nWRITEBACK_REQUEST_ID=done-1\n"
                   "WRITEBACK_TRACKING_ID=aaaa\n");
    add(201, RUN_1 "WRITEBACK_EVENT=31010\nWRITEBACK_EVENT_NAME=ResetUserPasswordByAdminSuccess\n"
                   "PRIORITY=6\nMESSAGE=second\nWRITEBACK_REQUEST_ID=done-1\n"
                   "WRITEBACK_OUTCOME=ResetUserPasswordByAdminSuccess\nWRITEBACK_STATUS=200\n"
                   "WRITEBACK_TRACKING_ID=aaaa\n");
    add(250, "WRITEBACK_EVENT=33002\nWRITEBACK_EVENT_NAME=ADUserNotFoundError\nPRIORITY=5\n"
             "MESSAGE=not found\nWRITEBACK_REQUEST_ID=quoted\n"
             "WRITEBACK_USER=o'brien$(id)\nWRITEBACK_USER_QUOTED='o'\\''brien$(id)'\n");
    add(251, "WRITEBACK_EVENT=33002\nWRITEBACK_EVENT_NAME=ADUserNotFoundError\nPRIORITY=5\n"
             "MESSAGE=not found\nWRITEBACK_REQUEST_ID=x$(id)\nWRITEBACK_USER=a `id` b; id\n");
    add(300, RUN_2 "WRITEBACK_EVENT=35062\nWRITEBACK_EVENT_NAME=RequestRepeated\nPRIORITY=6\n"
                   "MESSAGE=third\nWRITEBACK_REQUEST_ID=done-1\nWRITEBACK_TRACKING_ID=bbbb\n"
                   "WRITEBACK_OUTCOME=RequestRepeated\nWRITEBACK_STATUS=200\n");

    add(400, RUN_2 "WRITEBACK_EVENT=35020\nWRITEBACK_EVENT_NAME=UnlockAccountStart\nPRIORITY=6\n"
                   "MESSAGE=An unlock \x1b[31mbegan\nWRITEBACK_REQUEST_ID=open-1\n");

    add(500, "WRITEBACK_EVENT=33004\nWRITEBACK_EVENT_NAME=ADPermissionsError\nPRIORITY=3\n"
             "MESSAGE=lacks rights on bob\nWRITEBACK_REQUEST_ID=refused-2\n"
             "WRITEBACK_REASON=insufficient rights on bob\n");
    add(600, "WRITEBACK_EVENT=39999\nWRITEBACK_EVENT_NAME=FromTheFuture\nPRIORITY=4\n"
             "MESSAGE=what a later release says\n");
}

static int setup(void **state) {
    _cleanup_free_ char *text = NULL;
    size_t size = 0;

    (void) state;

    /* Texts of people show the local time. */
    assert_int_equal(setenv("TZ", "UTC", 1), 0);
    export = open_memstream(&text, &size);
    assert_non_null(export);
    write_entries();
    assert_int_equal(fclose(export), 0);
    scratch_write("export", text);
    free(command("mkdir journal && " JOURNAL_REMOTE " --output=journal/agent.journal export 2>&1"));
    return 0;
}

static int teardown(void **state) {
    (void) state;

    scratch_remove();
    return 0;
}

/* With the journal's place put in. */
static void ctl_on(ctl_run *r, const char *arguments) {
    _cleanup_free_ char *all = format("%s --directory=%s/journal 2>&1", arguments, scratch());

    run_ctl(r, all);
}

static json_t *ctl_json(const char *arguments) {
    _cleanup_free_ char *all = format("%s --json", arguments);
    json_t *document = NULL;
    const char *why;
    ctl_run r;

    ctl_on(&r, all);
    assert_int_equal(r.status, 0);
    assert_int_equal(json_parse(r.text, strlen(r.text), sizeof(r.text), &document, &why), 0);
    return document;
}

/* ---- trace ----------------------------------------------------------------------------------- */

static void refused_request_is_told_from_its_start_to_its_cure(void **state) {
    ctl_run r;

    (void) state;

    ctl_on(&r, "trace refused-1");
    assert_int_equal(r.status, 0);
    assert_says(&r, "Request refused-1\n");
    assert_says(&r, "asked by    admin@corp.example, by application portal\n");
    assert_says(&r, "for         alice@corp.example, reset\n");
    assert_says(&r, "relay       primary, " GUID "_G12\n");
    assert_says(&r, "controller  dc1.corp.example\n");
    assert_says(&r, "it said     LDAP result 50, 0x00000005\n");
    assert_says(&r, "outcome     33004 ADPermissionsError, answered with status 403 after 84 ms\n");
    assert_says_in_order(&r, "2026-11-26 10:01:40.000 +0000  31009 ResetUserPasswordByAdminStart",
                         "10:01:41.000 +0000  33004 ADPermissionsError",
                         "31011 ResetUserPasswordByAdminFail");
    assert_says(&r, "What to do\n  1. ");
    /* Fields in the steps are this request's. */
    assert_null(strstr(r.text, "<USER>"));
    assert_null(strstr(r.text, "forged"));
    assert_null(strstr(r.text, "done-1"));
}

/* Whatever a caller sent; where the agent has not quoted it, as older ones did not, neither. */
static void commands_of_the_cure_are_safe_to_be_typed(void **state) {
    ctl_run r;

    (void) state;

    ctl_on(&r, "trace quoted");
    assert_says(&r, "        writebackctl check --user='o'\\''brien$(id)'\n");
    ctl_on(&r, "trace 'x$(id)'");
    assert_says(&r, "        writebackctl check --user=USER\n");
    ctl_on(&r, "logs --since=2026-11-26");
    assert_says(&r, "→      writebackctl trace 'x$(id)'\n");
}

/* The portal may know another gateway's suffix than the agent does. */
static void request_is_found_by_its_tracking_id(void **state) {
    static const char *const ids[] = {GUID "_G12", GUID "_G3_G12", GUID};
    ctl_run by_id, r;

    (void) state;

    ctl_on(&by_id, "trace refused-1");
    for (size_t i = 0; i < ELEMENTSOF(ids); i++) {
        _cleanup_free_ char *arguments = format("trace %s", ids[i]);

        ctl_on(&r, arguments);
        assert_int_equal(r.status, 0);
        assert_string_equal(r.text, by_id.text);
    }
}

/* The first answer is the one that counts, by whichever id it is asked for. */
static void story_goes_on_over_a_new_start(void **state) {
    static const char *const ids[] = {"done-1", "aaaa", "bbbb"};
    ctl_run r;

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(ids); i++) {
        _cleanup_free_ char *arguments = format("trace %s", ids[i]);

        ctl_on(&r, arguments);
        assert_int_equal(r.status, 0);
        assert_says_in_order(&r, "first", "second", "started anew");
        assert_says(&r, "third");
        assert_says(&r,
                    "outcome     31010 ResetUserPasswordByAdminSuccess, answered with status 200");
        assert_null(strstr(r.text, "What to do"));
    }
}

static void request_without_an_end_is_told_as_such(void **state) {
    ctl_run r;

    (void) state;

    ctl_on(&r, "trace open-1");
    assert_int_equal(r.status, 0);
    assert_says(&r, "no end is in the journal");
    assert_null(strchr(r.text, '\x1b'));
}

static void trace_as_json_has_the_whole_story(void **state) {
    _cleanup_(json_freep) json_t *document = ctl_json("trace refused-1");
    const json_t *entries = json_object_get(document, "entries"), *entry;

    (void) state;

    assert_string_equal(json_get_string(document, "requestId"), "refused-1");
    assert_string_equal(json_get_string(document, "code"), "ADPermissionsError");
    assert_int_equal(json_integer_value(json_object_get(document, "eventId")), 33004);
    assert_int_equal(json_integer_value(json_object_get(document, "status")), 403);
    assert_int_equal(json_integer_value(json_object_get(document, "durationUsec")), 84000);
    assert_true(json_array_size(json_object_get(document, "steps")) > 0);
    assert_int_equal(json_array_size(entries), 3);
    entry = json_array_get(entries, 1);
    assert_string_equal(json_get_string(entry, "time"), "2026-11-26T10:01:41.000000+00:00");
    assert_string_equal(json_get_string(json_object_get(entry, "fields"), "WRITEBACK_REASON"),
                        "insufficient rights");
}

static void unknown_request_is_1_and_says_what_that_may_mean(void **state) {
    ctl_run r;

    (void) state;

    ctl_on(&r, "trace nobody-knows");
    assert_int_equal(r.status, 1);
    assert_says(&r, "the journal has nothing of nobody-knows");
    assert_says(&r, "another agent");
    assert_says(&r, "begins at 2026-11-26 10:00:00.000 +0000");
}

static void journal_that_may_not_be_read_is_2_with_what_helps(void **state) {
    ctl_run r;

    (void) state;

    run_ctl(&r, "logs --directory=/nonexistent 2>&1");
    assert_int_equal(r.status, 2);
    assert_says(&r, "/nonexistent");

    /* Only root can become somebody who may not. */
    if (geteuid() != 0)
        return;
    free(command("chmod 755 . journal && chmod 600 journal/*"));
    for (int i = 0; i < 2; i++) {
        _cleanup_free_ char *line =
            format("setpriv --reuid=65534 --regid=65534 --clear-groups ./writebackctl %s "
                   "--directory=%s/journal 2>&1",
                   i == 0 ? "logs" : "trace refused-1", scratch());

        run_shell(&r, line);
        assert_int_equal(r.status, 2);
        assert_says(&r, "may not be read");
        assert_says(&r, "systemd-journal");
    }
}

/* ---- logs ------------------------------------------------------------------------------------ */

static void failures_are_grouped_with_counts_and_dates(void **state) {
    ctl_run r;

    (void) state;

    ctl_on(&r, "logs --since=2026-11-26");
    assert_int_equal(r.status, 0);
    /* What is repeated is no success of its own, and a forged one is none either. */
    assert_says(&r, "Since 2026-11-26 00:00:00.000 +0000: 1 request succeeded");
    assert_says_in_order(&r, "2 ×  33004 ADPermissionsError\n",
                         "1 ×  31034 ServiceBusListenerError\n", "1 ×  39999 FromTheFuture\n");
    assert_says_in_order(&r, "first  2026-11-26 10:01:41.000 +0000\n",
                         "last   2026-11-26 10:08:20.000 +0000  lacks rights on bob\n",
                         "writebackctl trace refused-2\n");
    /* Its cause counts already. */
    assert_null(strstr(r.text, "31011"));
}

static void logs_begin_where_they_are_asked_to(void **state) {
    _cleanup_(json_freep) json_t *all = ctl_json("logs --since=2026-11-26");
    _cleanup_(json_freep) json_t *late = ctl_json("logs --since='2026-11-26 10:05'");
    const json_t *group = json_array_get(json_object_get(late, "failures"), 0);

    (void) state;

    assert_int_equal(json_array_size(json_object_get(all, "failures")), 4);
    assert_int_equal(json_array_size(json_object_get(late, "failures")), 2);
    assert_int_equal(json_integer_value(json_object_get(group, "count")), 1);
    assert_string_equal(json_get_string(group, "lastReason"), "insufficient rights on bob");
    assert_string_equal(json_get_string(group, "lastRequestId"), "refused-2");
}

static void wrong_date_is_64(void **state) {
    ctl_run r;

    (void) state;

    ctl_on(&r, "logs --since=whenever");
    assert_int_equal(r.status, 64);
    assert_says(&r, "--since=whenever: expected is");
}

/* ---- Dates ----------------------------------------------------------------------------------- */

static void dates_are_read_as_people_write_them(void **state) {
    static const struct {
        const char *text;
        usec_t expected;
    } dates[] = {
        {"2h", TEN - 2 * USEC_PER_HOUR},
        {"-7d", TEN - 7 * USEC_PER_DAY},
        {"today", TEN - 10 * USEC_PER_HOUR},
        {"yesterday", TEN - 34 * USEC_PER_HOUR},
        {"2026-11-26", TEN - 10 * USEC_PER_HOUR},
        {"2026-11-26 09:59", TEN - USEC_PER_MINUTE},
        {"2026-11-26T09:59:59Z", TEN - USEC_PER_SEC},
    };
    static const char *const wrong[] = {"", "tomorrow", "2026-13-01", "2026-11-26 9", "5 parsecs"};
    usec_t read;

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(dates); i++) {
        assert_int_equal(when_parse(dates[i].text, TEN, &read), 0);
        assert_true(read == dates[i].expected);
    }
    for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
        assert_int_equal(when_parse(wrong[i], TEN, &read), -EINVAL);
}

static void dates_name_their_time_zone(void **state) {
    char date[WHEN_MAX];

    (void) state;

    assert_int_equal(setenv("TZ", "Europe/Vienna", 1), 0);
    tzset();
    assert_string_equal(when_for_people(TEN + 1234, date), "2026-11-26 11:00:00.001 +0100");
    assert_string_equal(when_for_programs(TEN + 1234, date), "2026-11-26T11:00:00.001234+01:00");
    assert_int_equal(setenv("TZ", "UTC", 1), 0);
    tzset();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused_request_is_told_from_its_start_to_its_cure),
        cmocka_unit_test(commands_of_the_cure_are_safe_to_be_typed),
        cmocka_unit_test(request_is_found_by_its_tracking_id),
        cmocka_unit_test(story_goes_on_over_a_new_start),
        cmocka_unit_test(request_without_an_end_is_told_as_such),
        cmocka_unit_test(trace_as_json_has_the_whole_story),
        cmocka_unit_test(unknown_request_is_1_and_says_what_that_may_mean),
        cmocka_unit_test(journal_that_may_not_be_read_is_2_with_what_helps),
        cmocka_unit_test(failures_are_grouped_with_counts_and_dates),
        cmocka_unit_test(logs_begin_where_they_are_asked_to),
        cmocka_unit_test(wrong_date_is_64),
        cmocka_unit_test(dates_are_read_as_people_write_them),
        cmocka_unit_test(dates_name_their_time_zone),
    };

    return cmocka_run_group_tests_name("writebackctl and the journal", tests, setup, teardown);
}
