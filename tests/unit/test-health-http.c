/* SPDX-License-Identifier: Apache-2.0 */
/* The health endpoints over real sockets, client and agent in the same loop. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/base/clock.h"
#include "health/health.h"

#define CONNECTIONS_MAX 32
#define TIMEOUT (5 * USEC_PER_SEC)

typedef struct fixture {
    sd_event *event;
    health *health;
    char folder[32];
    char path[64];
} fixture;

/* ---- Client and agent ------------------------------------------------------------------------ */

static int start(fixture *f, const char *listen, char **ret_why) {
    const health_config config = {
        .listen = listen, .agent_id = "agent-test", .tenant_id = "tenant", .release = "1.2.3"};

    return health_new(f->event, &config, &f->health, ret_why);
}

static int setup(void **state) {
    fixture *f = calloc(1, sizeof(*f));
    char *why = NULL;

    assert_non_null(f);
    strcpy(f->folder, "/tmp/test-health-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    (void) snprintf(f->path, sizeof(f->path), "%s/health.sock", f->folder);
    assert_int_equal(sd_event_new(&f->event), 0);
    assert_int_equal(start(f, f->path, &why), 0);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;

    (void) health_free(f->health);
    (void) sd_event_unref(f->event);
    (void) unlink(f->path);
    assert_int_equal(rmdir(f->folder), 0);
    free(f);
    return 0;
}

/* Lets the agent work until `fd` can be read or `timeout` has passed. */
static bool wait_readable(fixture *f, int fd, usec_t timeout) {
    usec_t end = now_monotonic() + timeout;

    for (;;) {
        char byte;

        if (recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN)
            return true;
        if (now_monotonic() >= end)
            return false;
        assert_return_code(sd_event_run(f->event, 10 * USEC_PER_MSEC), 0);
    }
}

static int dial(const char *path) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    assert_return_code(fd, errno);
    strcpy(a.sun_path, path);
    assert_return_code(connect(fd, (const struct sockaddr *) &a, sizeof(a)), errno);
    return fd;
}

static void put(int fd, const char *text) {
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* All that comes until the agent closes the connection. */
static void read_to_end(fixture *f, int fd, char *buffer, size_t size) {
    size_t n = 0;

    for (;;) {
        ssize_t got;

        assert_true(wait_readable(f, fd, 2 * TIMEOUT));
        got = recv(fd, buffer + n, size - 1 - n, MSG_DONTWAIT);
        assert_return_code(got, errno);
        if (got == 0)
            break;
        n += (size_t) got;
        assert_true(n < size - 1);
    }
    buffer[n] = '\0';
}

typedef struct answer {
    char text[65536];
    int status;
    const char *body;
} answer;

static void parse(answer *a) {
    assert_int_equal(sscanf(a->text, "HTTP/1.1 %d", &a->status), 1);
    a->body = strstr(a->text, "\r\n\r\n");
    assert_non_null(a->body);
    a->body += 4;
}

static void ask(fixture *f, const char *method, const char *path, answer *a) {
    _cleanup_close_ int fd = dial(f->path);
    char request[256];

    (void) snprintf(request, sizeof(request),
                    "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", method, path);
    put(fd, request);
    read_to_end(f, fd, a->text, sizeof(a->text));
    parse(a);
}

static void tell(fixture *f, health_component_type type, const char *name, const char *instance,
                 health_status status) {
    const health_component told = {.type = type,
                                   .name = name,
                                   .instance = instance,
                                   .status = status,
                                   .output = status == HEALTH_FAIL ? "silent" : NULL};

    assert_int_equal(health_report(f->health, &told), 0);
}

static void make_well(fixture *f) {
    tell(f, COMPONENT_RELAY, "relay:primary", "", HEALTH_PASS);
    tell(f, COMPONENT_CONTROLLER, "directory:corp.example", "dc1", HEALTH_PASS);
    tell(f, COMPONENT_CONTROLLER, "directory:corp.example", "dc2", HEALTH_PASS);
}

/* ---- What is served -------------------------------------------------------------------------- */

static void endpoints_follow_the_state(void **state) {
    fixture *f = *state;
    answer a;

    ask(f, "GET", "/livez", &a);
    assert_int_equal(a.status, 200);
    ask(f, "GET", "/readyz", &a);
    assert_int_equal(a.status, 503);
    assert_non_null(strstr(a.body, "no relay is configured"));

    make_well(f);
    ask(f, "GET", "/readyz", &a);
    assert_int_equal(a.status, 200);
    ask(f, "GET", "/healthz", &a);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.text, "\r\nContent-Type: application/health+json\r\n"));
    assert_non_null(strstr(a.text, "\r\nCache-Control: no-store\r\n"));
    assert_non_null(strstr(a.body, "\"visible\":true"));

    tell(f, COMPONENT_CONTROLLER, "directory:corp.example", "dc2", HEALTH_FAIL);
    ask(f, "GET", "/readyz/directory:corp.example", &a);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.body, "\"status\":\"warn\""));

    tell(f, COMPONENT_CONTROLLER, "directory:corp.example", "dc1", HEALTH_FAIL);
    ask(f, "GET", "/readyz/directory%3Acorp.example", &a);
    assert_int_equal(a.status, 503);
    assert_non_null(strstr(a.body, "\"output\":\"silent\""));
    ask(f, "GET", "/readyz/relay:primary", &a);
    assert_int_equal(a.status, 200);
    ask(f, "GET", "/healthz", &a);
    assert_int_equal(a.status, 503);
    assert_non_null(strstr(a.body, "\"temporarilyUnavailable\""));
    ask(f, "GET", "/livez", &a);
    assert_int_equal(a.status, 200);
}

static void head_is_get_without_its_body(void **state) {
    static const char *const paths[] = {"/livez", "/readyz", "/healthz", "/page.css",
                                        "/readyz/sync"};
    answer get, head;

    for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
        char length[64];

        ask(*state, "GET", paths[i], &get);
        ask(*state, "HEAD", paths[i], &head);
        assert_int_equal(head.status, get.status);
        assert_string_equal(head.body, "");
        (void) snprintf(length, sizeof(length), "\r\nContent-Length: %zu\r\n", strlen(get.body));
        assert_non_null(strstr(get.text, length));
        assert_non_null(strstr(head.text, length));
    }
}

static void other_methods_are_told_what_is_allowed(void **state) {
    static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "PATCH", "NONSENSE"};
    answer a;

    for (size_t i = 0; i < ELEMENTSOF(methods); i++) {
        ask(*state, methods[i], "/healthz", &a);
        assert_int_equal(a.status, 405);
        assert_non_null(strstr(a.text, "\r\nAllow: GET, HEAD\r\n"));
    }
}

static void unknown_paths_are_not_found(void **state) {
    static const char *const paths[] = {"/page",        "/healthz/",      "/livez/x", "/readyz/",
                                        "/readyz/none", "/../etc/passwd", "/x%00"};
    answer a;

    for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
        ask(*state, "GET", paths[i], &a);
        assert_int_equal(a.status, 404);
    }
}

/* Two requests on one connection, the second sent with the first. */
static void connection_is_kept_for_the_next_request(void **state) {
    _cleanup_close_ int fd = dial(((fixture *) *state)->path);
    answer a;

    put(fd, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
            "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    read_to_end(*state, fd, a.text, sizeof(a.text));
    parse(&a);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.body, "HTTP/1.1 503"));
}

/* ---- What is refused ------------------------------------------------------------------------- */

/* The rest of a body that nobody reads must not pass for a request. */
static void body_is_never_read_as_a_request(void **state) {
    static const char *const requests[] = {
        "DELETE /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 38\r\n\r\n",
        "POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 38\r\n\r\n",
        "POST /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n26\r\n",
        "GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 38\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n26\r\n",
    };
    fixture *f = *state;

    for (size_t i = 0; i < ELEMENTSOF(requests); i++) {
        _cleanup_close_ int fd = dial(f->path);
        answer a;

        put(fd, requests[i]);
        put(fd, "GET /livez HTTP/1.1\r\nHost: smuggle\r\n\r\n");
        read_to_end(f, fd, a.text, sizeof(a.text));
        assert_null(strstr(a.text, "HTTP/1.1 200"));
    }
}

static void header_beyond_the_limit_is_refused(void **state) {
    _cleanup_close_ int fd = dial(((fixture *) *state)->path);
    char line[1024];
    answer a;

    memset(line, 'x', sizeof(line) - 1);
    memcpy(line, "X: ", 3);
    line[sizeof(line) - 3] = '\r';
    line[sizeof(line) - 2] = '\n';
    line[sizeof(line) - 1] = '\0';
    put(fd, "GET /livez HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < 20; i++)
        put(fd, line);

    read_to_end(*state, fd, a.text, sizeof(a.text));
    parse(&a);
    assert_int_equal(a.status, 431);
}

static void half_a_request_is_closed_after_five_seconds(void **state) {
    _cleanup_close_ int fd = dial(((fixture *) *state)->path);
    usec_t begin = now_monotonic(), took;
    answer a;

    put(fd, "GET /livez HT");
    read_to_end(*state, fd, a.text, sizeof(a.text));
    took = now_monotonic() - begin;
    assert_null(strstr(a.text, "200"));
    assert_in_range(took, TIMEOUT - USEC_PER_SEC, 4 * TIMEOUT);
}

/* Idle clients can take all 32 places, but only until each one's five seconds are over. */
static void thirty_third_connection_waits_for_a_place(void **state) {
    fixture *f = *state;
    int idle[CONNECTIONS_MAX];
    _cleanup_close_ int fd = -1;
    answer a;

    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        idle[i] = dial(f->path);
        put(idle[i], "GET /liv");
    }
    fd = dial(f->path);
    put(fd, "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_false(wait_readable(f, fd, USEC_PER_SEC / 2));

    close(idle[0]);
    assert_true(wait_readable(f, fd, 2 * USEC_PER_SEC));
    read_to_end(f, fd, a.text, sizeof(a.text));
    parse(&a);
    assert_int_equal(a.status, 200);

    for (size_t i = 1; i < CONNECTIONS_MAX; i++)
        close(idle[i]);
}

/* ---- Metrics --------------------------------------------------------------------------------- */

static bool is_name(const char *text, size_t n) {
    return n > 0 &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:") == n &&
           (text[0] < '0' || text[0] > '9');
}

/* Behind the closing brace of name="value",… or NULL where it is no such list. */
static const char *skip_labels(const char *at) {
    assert(*at == '{');
    do {
        size_t n = strcspn(++at, "=");

        if (!is_name(at, n) || at[n + 1] != '"')
            return NULL;
        for (at += n + 2; *at != '"'; at++) {
            if (*at == '\\' && strchr("\\\"n", *++at) == NULL)
                return NULL;
            if (*at == '\0' || *at == '\n')
                return NULL;
        }
    } while (*++at == ',');

    return *at == '}' ? at + 1 : NULL;
}

/* The text format 0.0.4: every sample belongs to the family whose TYPE stands before it, and every
 * family stands there once. */
static void check_page(char *page, bool is_open) {
    char family[128] = "", type[32] = "", families[8192] = "";
    char *next = page;
    size_t samples = 0;

    assert_int_equal(page[strlen(page) - 1], '\n');
    if (is_open) {
        assert_string_equal(page + strlen(page) - strlen("\n# EOF\n"), "\n# EOF\n");
        page[strlen(page) - strlen("# EOF\n")] = '\0';
    }
    for (char *line = strsep(&next, "\n"); next; line = strsep(&next, "\n")) {
        const char *rest;
        char *end = line;
        size_t n;

        if (strncmp(line, "# HELP ", 7) == 0)
            continue;
        if (strncmp(line, "# TYPE ", 7) == 0) {
            char mark[160];

            assert_int_equal(sscanf(line, "# TYPE %127s %31s", family, type), 2);
            (void) snprintf(mark, sizeof(mark), " %s ", family);
            assert_null(strstr(families, mark));
            strcat(families, mark);
            assert_true(strcmp(type, "counter") == 0 || strcmp(type, "gauge") == 0 ||
                        strcmp(type, "histogram") == 0);
            continue;
        }

        n = strcspn(line, "{ ");
        assert_true(is_name(line, n));
        assert_memory_equal(line, family, strlen(family));
        if (strcmp(type, "counter") == 0)
            assert_memory_equal(line + n - 6, "_total", 6);
        /* OpenMetrics: only samples end in _total, their families do not. */
        if (strcmp(type, "counter") == 0 && is_open)
            assert_int_equal(n, strlen(family) + strlen("_total"));
        else if (strcmp(type, "histogram") != 0)
            assert_int_equal(n, strlen(family));
        rest = line[n] == '{' ? skip_labels(line + n) : line + n;
        if (!rest || *rest != ' ')
            fail_msg("no label list: %s", line);
        else
            (void) strtod(rest + 1, &end);
        assert_true(end > rest + 1 && *end == '\0');
        samples++;
    }
    assert_true(samples > 50);
}

static void metrics_page_is_well_formed(void **state) {
    static const char *const wanted[] = {"writeback_build_info",
                                         "writeback_relay_connected{relay=\"primary\"} 1",
                                         "writeback_dc_up{domain=\"corp.example\",dc=\"dc1\"} 1",
                                         "process_resident_memory_bytes ", "process_open_fds "};
    fixture *f = *state;
    answer a;

    make_well(f);
    health_set_relay_counters(f->health, "primary", 3, now_realtime());
    health_count_request(f->health, "reset", OUTCOME_AD_PASSWORD_POLICY, USEC_PER_SEC);
    ask(f, "GET", "/metrics", &a);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.text, "\r\nContent-Type: text/plain; version=0.0.4"));
    for (size_t i = 0; i < ELEMENTSOF(wanted); i++)
        assert_non_null(strstr(a.body, wanted[i]));
    check_page(a.text + (a.body - a.text), false);
}

static void open_metrics_go_to_those_who_would_rather_have_them(void **state) {
    static const struct {
        const char *accept;
        bool is_open;
    } cases[] = {
        {"application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;"
         "version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
         true},
        {"application/openmetrics-text", true},
        {"APPLICATION/OpenMetrics-Text; version=1.0.0, text/*;q=0.9", true},
        {"*/*", false},
        {"text/html,*/*;q=0.8", false},
        {"text/plain, application/openmetrics-text;q=0.9", false},
        {"application/openmetrics-text;q=0", false},
        {"application/*", true},
        {",;,q=,;;", false},
    };
    fixture *f = *state;
    answer a;

    make_well(f);
    health_set_relay_counters(f->health, "primary", 3, now_realtime());
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        static const char lines[] =
            "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept: ";
        _cleanup_close_ int fd = dial(f->path);

        put(fd, lines);
        put(fd, cases[i].accept);
        put(fd, "\r\n\r\n");
        read_to_end(f, fd, a.text, sizeof(a.text));
        parse(&a);
        assert_int_equal(a.status, 200);
        assert_non_null(strstr(a.text, cases[i].is_open
                                           ? "\r\nContent-Type: application/openmetrics-text; "
                                             "version=1.0.0; charset=utf-8\r\n"
                                           : "\r\nContent-Type: text/plain; version=0.0.4"));
        check_page(a.text + (a.body - a.text), cases[i].is_open);
    }
}

/* ---- For people ------------------------------------------------------------------------------ */

static void status_tells_what_cures_and_how_requests_ended(void **state) {
    _cleanup_(json_freep) json_t *status = NULL;
    const char *why;
    fixture *f = *state;
    json_t *cures, *recent;
    answer a;

    make_well(f);
    tell(f, COMPONENT_CONTROLLER, "directory:corp.example", "dc1", HEALTH_FAIL);
    health_count_request(f->health, "reset", OUTCOME_ADMIN_RESET_SUCCESS, 80 * USEC_PER_MSEC);
    health_count_request(f->health, "unlock", OUTCOME_AD_NOT_REACHABLE, USEC_PER_SEC);

    ask(f, "GET", "/status", &a);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.text, "\r\nContent-Type: application/json\r\n"));
    assert_int_equal(json_parse(a.body, strlen(a.body), sizeof(a.text), &status, &why), 0);
    assert_true(json_is_true(json_object_get(status, "ready")));

    cures = json_object_get(status, "cures");
    assert_int_equal(json_array_size(cures), 1);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(cures, 0), "eventId")),
                     outcome_get(OUTCOME_CONTROLLER_UNUSABLE)->event);

    recent = json_object_get(json_object_get(status, "requests"), "recent");
    assert_int_equal(json_array_size(recent), 2);
    assert_string_equal(json_get_string(json_array_get(recent, 0), "code"), "ADNotReachable");
    assert_string_equal(json_get_string(json_array_get(recent, 0), "status"), "failed");
    assert_string_equal(json_get_string(json_array_get(recent, 1), "operation"), "reset");
    assert_string_equal(json_get_string(json_array_get(recent, 1), "status"), "succeeded");
}

static void only_the_last_fifty_requests_are_kept(void **state) {
    _cleanup_(json_freep) json_t *status = NULL;
    fixture *f = *state;
    const char *why;
    json_t *recent;
    answer a;

    health_count_request(f->health, "reset", OUTCOME_ADMIN_RESET_SUCCESS, 1);
    for (size_t i = 0; i < 50; i++)
        health_count_request(f->health, "check", OUTCOME_CHECK_ANSWERED, 1);

    ask(f, "GET", "/status", &a);
    assert_int_equal(json_parse(a.body, strlen(a.body), sizeof(a.text), &status, &why), 0);
    recent = json_object_get(json_object_get(status, "requests"), "recent");
    assert_int_equal(json_array_size(recent), 50);
    assert_null(strstr(a.body, "\"reset\""));
}

/* What a peer said may hold anything; the page shows it and does not obey it. */
static void page_escapes_what_peers_say_and_runs_nothing(void **state) {
    const health_component evil = {
        .type = COMPONENT_RELAY,
        .name = "relay:primary",
        .instance = "",
        .status = HEALTH_FAIL,
        .output = "<script>alert('1')</script>&\"",
    };
    answer a;
    fixture *f = *state;

    make_well(f);
    assert_int_equal(health_report(f->health, &evil), 0);
    ask(f, "GET", "/", &a);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.text, "\r\nContent-Type: text/html; charset=utf-8\r\n"));
    assert_non_null(strstr(a.text, "\r\nContent-Security-Policy: default-src 'none'; "));
    assert_null(strstr(a.body, "<script"));
    assert_non_null(strstr(a.body, "&lt;script&gt;alert('1')&lt;/script&gt;&amp;&quot;"));
    assert_non_null(strstr(a.body, "cannot do its work at the moment"));

    ask(f, "GET", "/page.css", &a);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.text, "\r\nContent-Type: text/css; charset=utf-8\r\n"));
    assert_non_null(strstr(a.body, "content: \"✓\";"));
}

/* The agent's keys end one day, as a certificate does; they are none. */
static void keys_and_certificates_are_told_apart(void **state) {
    const usec_t end = 1798761600ULL * USEC_PER_SEC; /* 2027-01-01 */
    const health_component keys = {
        .type = COMPONENT_KEYS, .name = "keys", .instance = "", .certificate_not_after = end};
    const health_component controller = {.type = COMPONENT_CONTROLLER,
                                         .name = "directory:corp.example",
                                         .instance = "dc1",
                                         .certificate_not_after = end};
    fixture *f = *state;
    answer a;

    assert_int_equal(health_report(f->health, &keys), 0);
    ask(f, "GET", "/", &a);
    assert_non_null(strstr(a.body, ">good until 2027-01-01<"));
    ask(f, "GET", "/readyz/keys", &a);
    assert_non_null(strstr(a.body, "\"notAfter\":\"2027-01-01T00:00:00"));
    assert_null(strstr(a.body, "ertificate"));

    assert_int_equal(health_report(f->health, &controller), 0);
    ask(f, "GET", "/", &a);
    assert_non_null(strstr(a.body, ">certificate until 2027-01-01<"));
    ask(f, "GET", "/healthz", &a);
    assert_non_null(strstr(a.body, "\"certificateNotAfter\":\"2027-01-01T00:00:00"));
}

/* ---- Where it listens ------------------------------------------------------------------------ */

static void only_this_host_is_listened_to(void **state) {
    static const char *const addresses[] = {
        "0.0.0.0:8404",    "192.0.2.1:8404",   "[::]:8404",  "[2001:db8::1]:8404",
        "localhost:8404",  "127.0.0.1",        "127.0.0.1:", "127.0.0.1:0",
        "127.0.0.1:8404x", "127.0.0.1:65536",  "127.1:8404", "::1:8404",
        "[::1]8404",       "health.sock",      "",           "[]:8404",
        "127.0.0.1:+84",   "[127.0.0.1]:8404",
    };
    fixture *f = *state;
    fixture other = {.event = f->event};

    for (size_t i = 0; i < ELEMENTSOF(addresses); i++) {
        _cleanup_free_ char *why = NULL;

        assert_int_equal(start(&other, addresses[i], &why), -EINVAL);
        assert_null(other.health);
        assert_non_null(why);
        assert_non_null(strstr(why, addresses[i]));
        assert_non_null(strstr(why, "127.0.0.1:PORT"));
    }
}

/* A port that is free at the moment. */
/* Below those that go to whoever wants any, since it is taken only later. */
static unsigned free_port(void) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unsigned port = 10000 + (unsigned) getpid() % 10000;

    for (;; port++) {
        a.sin_port = htons((uint16_t) port);
        if (bind(fd, (const struct sockaddr *) &a, sizeof(a)) == 0)
            return port;
        assert_int_equal(errno, EADDRINUSE);
    }
}

static void loopback_port_serves_and_is_refused_to_a_second_agent(void **state) {
    fixture *f = *state;
    fixture first = {.event = f->event}, second = {.event = f->event};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    _cleanup_free_ char *why = NULL;
    unsigned port = free_port();
    char listen[32];
    answer reply;

    (void) snprintf(listen, sizeof(listen), "127.0.0.1:%u", port);
    assert_int_equal(start(&first, listen, &why), 0);
    assert_int_equal(start(&second, listen, &why), -EADDRINUSE);
    assert_non_null(strstr(why, listen));
    assert_non_null(strstr(why, "in use"));

    a.sin_port = htons((uint16_t) port);
    assert_return_code(connect(fd, (const struct sockaddr *) &a, sizeof(a)), errno);
    put(fd, "GET /livez HTTP/1.0\r\n\r\n");
    read_to_end(f, fd, reply.text, sizeof(reply.text));
    parse(&reply);
    assert_int_equal(reply.status, 200);

    (void) health_free(first.health);
}

static void unix_socket_is_for_user_and_group_and_goes_with_the_agent(void **state) {
    fixture *f = *state;
    fixture second = {.event = f->event};
    _cleanup_free_ char *why = NULL;
    struct stat st;

    assert_return_code(stat(f->path, &st), errno);
    assert_int_equal(st.st_mode & 0777, 0660);

    assert_int_equal(start(&second, f->path, &why), -EADDRINUSE);
    assert_non_null(strstr(why, "in use"));

    f->health = health_free(f->health);
    assert_int_equal(stat(f->path, &st), -1);
}

static void socket_of_a_crash_is_replaced_but_nothing_else_is(void **state) {
    fixture *f = *state;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    _cleanup_free_ char *why = NULL;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    answer reply;

    f->health = health_free(f->health);
    strcpy(a.sun_path, f->path);
    assert_return_code(bind(fd, (const struct sockaddr *) &a, sizeof(a)), errno);
    close(fd);
    assert_int_equal(start(f, f->path, &why), 0);
    ask(f, "GET", "/livez", &reply);
    assert_int_equal(reply.status, 200);

    f->health = health_free(f->health);
    fd = open(f->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_return_code(fd, errno);
    close(fd);
    assert_int_equal(start(f, f->path, &why), -EEXIST);
    assert_non_null(strstr(why, "is no socket"));
}

/* As systemd passes it: descriptor 3, named; twice, since a reload makes the endpoints anew. */
static void socket_passed_by_systemd_is_taken(void **state) {
    fixture *f = *state;
    fixture first = {.event = f->event};
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    _cleanup_free_ char *why = NULL;
    char pid[16];
    answer reply;
    int fd;

    f->health = health_free(f->health);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    strcpy(a.sun_path, f->path);
    assert_return_code(bind(fd, (const struct sockaddr *) &a, sizeof(a)), errno);
    assert_return_code(listen(fd, 8), errno);
    assert_return_code(dup2(fd, SD_LISTEN_FDS_START), errno);
    close(fd);
    (void) snprintf(pid, sizeof(pid), "%d", (int) getpid());
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", "1", 1);
    setenv("LISTEN_FDNAMES", "health", 1);

    assert_int_equal(start(&first, "127.0.0.1:1", &why), 0);
    (void) health_free(first.health);
    assert_int_equal(start(f, "127.0.0.1:1", &why), 0);
    ask(f, "GET", "/livez", &reply);
    assert_int_equal(reply.status, 200);

    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(endpoints_follow_the_state, setup, teardown),
        cmocka_unit_test_setup_teardown(head_is_get_without_its_body, setup, teardown),
        cmocka_unit_test_setup_teardown(other_methods_are_told_what_is_allowed, setup, teardown),
        cmocka_unit_test_setup_teardown(unknown_paths_are_not_found, setup, teardown),
        cmocka_unit_test_setup_teardown(connection_is_kept_for_the_next_request, setup, teardown),
        cmocka_unit_test_setup_teardown(body_is_never_read_as_a_request, setup, teardown),
        cmocka_unit_test_setup_teardown(header_beyond_the_limit_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(half_a_request_is_closed_after_five_seconds, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(thirty_third_connection_waits_for_a_place, setup, teardown),
        cmocka_unit_test_setup_teardown(metrics_page_is_well_formed, setup, teardown),
        cmocka_unit_test_setup_teardown(open_metrics_go_to_those_who_would_rather_have_them, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(status_tells_what_cures_and_how_requests_ended, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(only_the_last_fifty_requests_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_and_certificates_are_told_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(page_escapes_what_peers_say_and_runs_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(only_this_host_is_listened_to, setup, teardown),
        cmocka_unit_test_setup_teardown(loopback_port_serves_and_is_refused_to_a_second_agent,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(unix_socket_is_for_user_and_group_and_goes_with_the_agent,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(socket_of_a_crash_is_replaced_but_nothing_else_is, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(socket_passed_by_systemd_is_taken, setup, teardown),
    };

    /* Nothing else may take the place of the socket that systemd passes. */
    if (fcntl(SD_LISTEN_FDS_START, F_GETFD) < 0 && dup2(STDERR_FILENO, SD_LISTEN_FDS_START) < 0)
        return 1;

    return cmocka_run_group_tests_name("health endpoints", tests, NULL, NULL);
}
