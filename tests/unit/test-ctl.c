/* SPDX-License-Identifier: Apache-2.0 */
/* writebackctl as an administrator meets it: run as a program, against a real health endpoint. Runs
 * in the build folder. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/base/json.h"
#include "agent/ctl/text.h"
#include "health/health.h"
#include "tests/unit/run_ctl.h"

typedef struct fixture {
    char folder[32];
    char socket[64];
    char config[64];
    pid_t agent;
    bool has_wrong_clock;
} fixture;

static int setup(void **state) {
    fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    strcpy(f->folder, "/tmp/test-ctl-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    (void) snprintf(f->socket, sizeof(f->socket), "%s/health.sock", f->folder);
    (void) snprintf(f->config, sizeof(f->config), "%s/writebackd.conf", f->folder);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    char command[64];

    if (f->agent > 0) {
        (void) kill(f->agent, SIGKILL);
        (void) waitpid(f->agent, NULL, 0);
    }
    (void) snprintf(command, sizeof(command), "rm -r %s", f->folder);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

/* A health endpoint whose directory is in this state, in a process of its own. */
static void start_agent(fixture *f, health_status directory, const char *output) {
    const health_config config = {
        .listen = f->socket, .agent_id = "agent-test", .release = "1.2.3"};
    int ready[2];
    char byte;

    assert_return_code(pipe(ready), errno);
    f->agent = fork();
    assert_return_code(f->agent, errno);

    if (f->agent == 0) {
        const health_component relay = {
            .type = COMPONENT_RELAY, .name = "relay:primary", .instance = ""};
        const health_component controller = {.type = COMPONENT_CONTROLLER,
                                             .name = "directory:corp.example",
                                             .instance = "dc1.corp.example",
                                             .status = directory,
                                             .output = output};
        const health_component clock = {.type = COMPONENT_CLOCK,
                                        .name = "clock",
                                        .instance = "",
                                        .status = f->has_wrong_clock ? HEALTH_FAIL : HEALTH_PASS};
        sd_event *event = NULL;
        health *h = NULL;
        char *why = NULL;

        if (sd_event_new(&event) < 0 || health_new(event, &config, &h, &why) < 0 ||
            health_report(h, &relay) < 0 || health_report(h, &controller) < 0 ||
            health_report(h, &clock) < 0 || write(ready[1], "", 1) != 1)
            _exit(1);
        (void) sd_event_loop(event);
        _exit(1);
    }

    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
}

static void status_of(fixture *f, ctl_run *r, const char *more) {
    char arguments[128];

    (void) snprintf(arguments, sizeof(arguments), "status --health=%s %s 2>&1", f->socket, more);
    run_ctl(r, arguments);
}

/* ---- status ---------------------------------------------------------------------------------- */

static void status_of_a_well_agent_is_0(void **state) {
    ctl_run r;

    start_agent(*state, HEALTH_PASS, NULL);
    status_of(*state, &r, "");
    assert_int_equal(r.status, 0);
    assert_says(&r, "Overall   pass\n");
    assert_says(&r, "agent-test, release 1.2.3");
    assert_says(&r, "Blade     visible, upAndRunning\n");
    assert_says(&r, "pass       directory:corp.example dc1.corp.example  since 20");
    /* Nobody asked Microsoft Graph: that warns of nothing. */
    assert_says(&r, "  not known  sync  since 20");
    assert_says(&r, "Not known: not looked at yet");
    assert_null(strstr(r.text, "warn"));
    assert_null(strstr(r.text, "What to do"));
    /* No colours in a pipe. */
    assert_null(strchr(r.text, '\x1b'));
}

static void status_of_a_failing_agent_is_1_with_the_reason(void **state) {
    ctl_run r;

    start_agent(*state, HEALTH_FAIL, "certificate has expired");
    status_of(*state, &r, "");
    assert_int_equal(r.status, 1);
    assert_says(&r, "Overall   fail\n");
    assert_says(&r, "Blade     hidden, temporarilyUnavailable\n");
    assert_says(&r, "certificate has expired");
    /* The cure of what fails, and where it stands with this host's own values. */
    assert_says_in_order(&r, "What to do\n\n  35032 A domain controller cannot be used\n",
                         "  of directory:corp.example dc1.corp.example\n   1. Name not found",
                         "journalctl -x -u writebackd WRITEBACK_EVENT=35032 -n 1\n");
}

/* A wrong clock makes certificates look wrong: there is one thing to mend. */
static void status_tells_causes_from_what_follows_from_them(void **state) {
    fixture *f = *state;
    ctl_run r;

    f->has_wrong_clock = true;
    start_agent(f, HEALTH_FAIL, "certificate is not yet valid");
    status_of(f, &r, "");
    assert_says_in_order(&r, "certificate is not yet valid\n", "             follows from clock\n",
                         "\n  35080 This host's clock is wrong\n  of clock\n   1. ");
    assert_null(strstr(r.text, "35032"));
}

static void status_with_a_warning_is_1(void **state) {
    ctl_run r;

    start_agent(*state, HEALTH_WARN, "certificate expires in 3 days");
    status_of(*state, &r, "");
    assert_int_equal(r.status, 1);
    assert_says(&r, "Overall   warn\n");
    assert_says(&r, "Blade     visible");
}

static void status_as_json_is_the_document(void **state) {
    _cleanup_(json_freep) json_t *document = NULL;
    const char *why;
    ctl_run r;

    start_agent(*state, HEALTH_FAIL, "silent");
    status_of(*state, &r, "--json");
    assert_int_equal(r.status, 1);
    assert_int_equal(json_parse(r.text, strlen(r.text), sizeof(r.text), &document, &why), 0);
    assert_string_equal(json_get_string(document, "serviceId"), "agent-test");
}

static void status_without_an_agent_is_2(void **state) {
    ctl_run r;

    status_of(*state, &r, "");
    assert_int_equal(r.status, 2);
    assert_says(&r, "does not answer");
    assert_says(&r, "systemctl status writebackd");
}

/* Another program on that address: what it says is not shown, so it cannot write to the terminal.
 */
static void status_of_something_else_is_2(void **state) {
    static const char reply[] = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n\x1b[31m{\"a\":1}";
    fixture *f = *state;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ctl_run r;

    strcpy(a.sun_path, f->socket);
    assert_return_code(bind(fd, (const struct sockaddr *) &a, sizeof(a)), errno);
    assert_return_code(listen(fd, 1), errno);
    f->agent = fork();
    assert_return_code(f->agent, errno);
    if (f->agent == 0) {
        int peer = accept(fd, NULL, NULL);

        _exit(write(peer, reply, strlen(reply)) > 0 && pause() < 0);
    }
    close(fd);

    status_of(f, &r, "");
    assert_int_equal(r.status, 2);
    assert_says(&r, "is not the agent");
    assert_null(strchr(r.text, '\x1b'));
}

/* ---- Where the agent is ---------------------------------------------------------------------- */

static void write_file(const char *path, const char *text, const char *value) {
    FILE *f = fopen(path, "we");

    assert_non_null(f);
    assert_true(fprintf(f, "%s%s\n", text, value) > 0);
    assert_int_equal(fclose(f), 0);
}

static void status_by_config(fixture *f, ctl_run *r) {
    char arguments[128];

    (void) snprintf(arguments, sizeof(arguments), "status --config=%s 2>&1", f->config);
    run_ctl(r, arguments);
}

/* Whatever else stands there, such as a long connection string. */
static void address_is_read_from_the_configuration(void **state) {
    fixture *f = *state;
    char text[2048];
    ctl_run r;

    start_agent(f, HEALTH_PASS, NULL);
    (void) snprintf(text, sizeof(text),
                    "[Agent]\nId=x\n[Relay \"primary\"]\nConnectionString=%0150d\n  %0150d\n"
                    "# Listen=/nowhere\n[Other]\nListen=/nowhere\n[Health]\nListen=",
                    0, 0);
    write_file(f->config, text, f->socket);
    status_by_config(f, &r);
    assert_int_equal(r.status, 0);
}

static void drop_in_counts_more_than_the_file(void **state) {
    fixture *f = *state;
    char drop_in[96];
    ctl_run r;

    start_agent(f, HEALTH_PASS, NULL);
    write_file(f->config, "[Health]\nListen=", "127.0.0.1:1");
    (void) snprintf(drop_in, sizeof(drop_in), "mkdir %s.d", f->config);
    assert_int_equal(system(drop_in), 0);
    (void) snprintf(drop_in, sizeof(drop_in), "%s.d/10-health.conf", f->config);
    write_file(drop_in, "[Health]\nListen=", f->socket);
    status_by_config(f, &r);
    assert_int_equal(r.status, 0);
}

static void configuration_that_cannot_be_read_is_78(void **state) {
    fixture *f = *state;
    ctl_run r;

    status_by_config(f, &r);
    assert_int_equal(r.status, 78);
    assert_says(&r, f->config);

    write_file(f->config, "[Health", "");
    status_by_config(f, &r);
    assert_int_equal(r.status, 78);
    assert_says(&r, "writebackd.conf:1: ");
}

/* ---- check ----------------------------------------------------------------------------------- */

static void check_without_a_configuration_is_78_and_says_so(void **state) {
    fixture *f = *state;
    char command[128];
    json_t *step;
    ctl_run r;
    _cleanup_(json_freep) json_t *document = NULL;
    const char *why;

    (void) snprintf(command, sizeof(command), "check --config=%s", f->config);
    run_ctl(&r, command);
    assert_int_equal(r.status, 78);
    assert_says(&r, "✗");
    assert_says(&r, f->config);
    assert_says(&r, "→");

    (void) snprintf(command, sizeof(command), "check --json --config=%s", f->config);
    run_ctl(&r, command);
    assert_int_equal(r.status, 78);
    assert_int_equal(json_parse(r.text, strlen(r.text), sizeof(r.text), &document, &why), 0);
    assert_string_equal(json_get_string(document, "status"), "fail");
    assert_int_equal(json_integer_value(json_object_get(document, "exitStatus")), 78);
    step = json_array_get(json_object_get(document, "steps"), 0);
    assert_string_equal(json_get_string(step, "stage"), "configuration");
    assert_true(json_array_size(json_object_get(step, "cure")) > 0);
}

/* ---- explain --------------------------------------------------------------------------------- */

static void event_is_explained_by_number_and_by_name(void **state) {
    ctl_run number, name;

    (void) state;

    run_ctl(&number, "explain 33008");
    assert_int_equal(number.status, 0);
    assert_says(&number, "33008 ADPasswordPolicyError\n");
    assert_says(&number, "What to do\n\n 1. ");
    /* Fields are shown as what they stand for. */
    assert_says(&number, "<USER>");
    assert_null(strchr(number.text, '@'));

    run_ctl(&name, "explain adpasswordpolicyerror");
    assert_int_equal(name.status, 0);
    assert_string_equal(name.text, number.text);
}

static void every_event_can_be_explained(void **state) {
    _cleanup_(json_freep) json_t *events = NULL;
    const char *why;
    json_t *event;
    size_t i;
    ctl_run r;

    (void) state;

    run_ctl(&r, "explain --json");
    assert_int_equal(r.status, 0);
    assert_int_equal(json_parse(r.text, strlen(r.text), sizeof(r.text), &events, &why), 0);
    assert_int_equal(json_array_size(events), OUTCOME_MAX_);
    json_array_foreach(events, i, event) {
        char arguments[128];

        (void) snprintf(arguments, sizeof(arguments), "explain %s", json_get_string(event, "name"));
        run_ctl(&r, arguments);
        assert_int_equal(r.status, 0);
        assert_says(&r, json_get_string(event, "title"));
    }
}

static void unknown_event_is_1(void **state) {
    static const char *const events[] = {"99999", "0", "-1", "''", "Nonsense", "33008x"};

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(events); i++) {
        char arguments[64];
        ctl_run r;

        (void) snprintf(arguments, sizeof(arguments), "explain -- %s 2>&1", events[i]);
        run_ctl(&r, arguments);
        assert_int_equal(r.status, 1);
        assert_says(&r, "there is no event");
    }
}

static void wrong_command_line_is_64(void **state) {
    static const char *const wrong[] = {
        "", "nonsense", "status more", "explain 1 2", "check alice", "--nonsense"};

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
        char arguments[64];
        ctl_run r;

        (void) snprintf(arguments, sizeof(arguments), "%s 2>&1", wrong[i]);
        run_ctl(&r, arguments);
        assert_int_equal(r.status, 64);
        assert_says(&r, "writebackctl: ");
    }
}

/* ---- Text ------------------------------------------------------------------------------------ */

static void text_is_wrapped_by_columns_not_bytes(void **state) {
    char text[256] = "";
    FILE *f = fmemopen(text, sizeof(text), "w");

    (void) state;

    assert_non_null(f);
    text_wrap(f, "aé €c  dd averylongword e", 6, "- ", "  ");
    text_put_printable(f, "a\nb\x1b[0m\x7f é");
    (void) fclose(f);
    assert_string_equal(text, "- aé\n  €c\n  dd\n  averylongword\n  e\na?b?[0m? é");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(status_of_a_well_agent_is_0, setup, teardown),
        cmocka_unit_test_setup_teardown(status_of_a_failing_agent_is_1_with_the_reason, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(status_tells_causes_from_what_follows_from_them, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(status_with_a_warning_is_1, setup, teardown),
        cmocka_unit_test_setup_teardown(status_as_json_is_the_document, setup, teardown),
        cmocka_unit_test_setup_teardown(status_without_an_agent_is_2, setup, teardown),
        cmocka_unit_test_setup_teardown(status_of_something_else_is_2, setup, teardown),
        cmocka_unit_test_setup_teardown(address_is_read_from_the_configuration, setup, teardown),
        cmocka_unit_test_setup_teardown(drop_in_counts_more_than_the_file, setup, teardown),
        cmocka_unit_test_setup_teardown(configuration_that_cannot_be_read_is_78, setup, teardown),
        cmocka_unit_test_setup_teardown(check_without_a_configuration_is_78_and_says_so, setup,
                                        teardown),
        cmocka_unit_test(event_is_explained_by_number_and_by_name),
        cmocka_unit_test(every_event_can_be_explained),
        cmocka_unit_test(unknown_event_is_1),
        cmocka_unit_test(wrong_command_line_is_64),
        cmocka_unit_test(text_is_wrapped_by_columns_not_bytes),
    };

    return cmocka_run_group_tests_name("writebackctl", tests, NULL, NULL);
}
