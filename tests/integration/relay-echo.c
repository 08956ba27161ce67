/* SPDX-License-Identifier: Apache-2.0 */
/* A listener that sends back what it gets, on the door relay/relay.h alone; relay.test.mjs holds it
 * against relays that behave and relays that do not. Not installed.
 *
 *     relay-echo CONNECTION-STRING CA-FILE KEEPALIVE-MS TOKEN-LIFE-MS [PROXY]
 *
 * One JSON object a line on standard output for each state, PONG and request; the log on standard
 * error. Request headers: X-Size answers that many bytes instead of the body; X-Delay answers after
 * that many milliseconds. SIGUSR1 stops the relay, SIGUSR2 starts it again, SIGTERM ends. */

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/log.h"
#include "relay/relay.h"

typedef struct echo {
    sd_event *event;
    relay *relay;
} echo;

static void print(json_t *line) {
    _cleanup_free_ char *text = json_to_text(line);

    (void) printf("%s\n", text ? text : "{}");
    (void) fflush(stdout);
    json_decref(line);
}

static void respond(relay_request *q) {
    const char *size_text = relay_request_header(q, "x-size");
    const relay_header header = {"X-Echo", relay_request_method(q)};
    _cleanup_free_ char *made = NULL;
    const void *body;
    size_t size;

    if (relay_request_is_one_too_many(q)) {
        relay_respond(q, 429, "text/plain", NULL, 0, "too many", strlen("too many"));
        return;
    }
    if (relay_request_is_too_large(q)) {
        relay_respond(q, 413, "text/plain", NULL, 0, "too large", strlen("too large"));
        return;
    }

    if (relay_request_fault(q)) {
        relay_respond(q, 400, "text/plain", NULL, 0, relay_request_fault(q),
                      strlen(relay_request_fault(q)));
        return;
    }

    body = relay_request_body(q, &size);
    if (size_text) {
        size = strtoul(size_text, NULL, 10);
        made = malloc(size + 1);
        if (!made)
            abort();
        for (size_t i = 0; i < size; i++)
            made[i] = (char) ('a' + i % 26);
        body = made;
    }
    relay_respond(q, 200, "application/octet-stream", &header, 1, body, size);
}

static int on_delay(sd_event_source *source, uint64_t usec, void *userdata) {
    (void) usec;

    (void) sd_event_source_disable_unref(source);
    respond(userdata);
    return 0;
}

static void on_request(relay_request *q, void *userdata) {
    const char *delay = relay_request_header(q, "x-delay");
    echo *e = userdata;
    size_t size;

    (void) relay_request_body(q, &size);
    print(json_pack("{s:s, s:s, s:s, s:i, s:I, s:b}", "request", relay_request_path(q), "method",
                    relay_request_method(q), "id", relay_request_tracking_id(q), "size", (int) size,
                    "age", (json_int_t) ((now_monotonic() - relay_request_came(q)) / USEC_PER_MSEC),
                    "tooLarge", relay_request_is_too_large(q)));

    if (!delay || relay_request_is_one_too_many(q))
        respond(q);
    else if (sd_event_add_time_relative(e->event, &(sd_event_source *){NULL}, CLOCK_MONOTONIC,
                                        strtoul(delay, NULL, 10) * USEC_PER_MSEC, 1, on_delay,
                                        q) < 0)
        abort();
}

static void on_state(const relay_status *status, void *userdata) {
    static const char *const names[RELAY_STATE_MAX_] = {"stopped", "connecting", "connected"};

    (void) userdata;

    print(json_pack("{s:s, s:s?, s:b, s:b, s:i, s:I, s:I}", "state", names[status->state], "reason",
                    status->reason, "lost", status->is_lost, "unreached", status->is_unreached,
                    "reconnects", (int) status->reconnects, "latency", (json_int_t) status->latency,
                    "heartbeat", (json_int_t) status->last_heartbeat));
}

static void on_alive(const relay_status *status, void *userdata) {
    (void) userdata;

    print(json_pack("{s:I, s:I}", "aliveAt", (json_int_t) status->last_heartbeat, "latency",
                    (json_int_t) status->latency));
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
    echo *e = userdata;

    (void) source;

    if (info->ssi_signo == SIGUSR1)
        relay_stop(e->relay);
    else if (info->ssi_signo == SIGUSR2)
        return relay_start(e->relay);
    else
        return sd_event_exit(e->event, 0);
    return 0;
}

static void add_signals(echo *e) {
    static const int signals[] = {SIGTERM, SIGUSR1, SIGUSR2};
    sigset_t mask;

    (void) sigemptyset(&mask);
    for (size_t i = 0; i < ELEMENTSOF(signals); i++)
        (void) sigaddset(&mask, signals[i]);
    (void) sigprocmask(SIG_BLOCK, &mask, NULL);

    for (size_t i = 0; i < ELEMENTSOF(signals); i++)
        if (sd_event_add_signal(e->event, NULL, signals[i], on_signal, e) < 0)
            abort();
}

int main(int argc, char **argv) {
    _cleanup_(curl_glue_freep) curl_glue *glue = NULL;
    relay_config config = {0};
    echo e = {0};
    const relay_callbacks callbacks = {
        .on_request = on_request, .on_state = on_state, .on_alive = on_alive, .userdata = &e};
    _cleanup_free_ char *why = NULL;
    int r;

    if (argc < 5) {
        fputs("usage: relay-echo CONNECTION-STRING CA-FILE KEEPALIVE-MS TOKEN-LIFE-MS [PROXY]\n",
              stderr);
        return 2;
    }

    log_set_target(LOG_TARGET_STDERR);
    if (relay_config_parse(argv[1], &config, &why) < 0) {
        fprintf(stderr, "%s\n", why);
        return 2;
    }
    config.name = strdup("test");
    config.ca_file = strdup(argv[2]);
    config.keepalive_interval = strtoul(argv[3], NULL, 10) * USEC_PER_MSEC;
    config.token_lifetime = strtoul(argv[4], NULL, 10) * USEC_PER_MSEC;
    if (getenv("REMINDER_MS"))
        config.reminder = strtoul(getenv("REMINDER_MS"), NULL, 10) * USEC_PER_MSEC;
    config.proxy = argc > 5 ? strdup(argv[5]) : NULL;

    if (sd_event_new(&e.event) < 0 || curl_glue_new(e.event, &glue) < 0 ||
        relay_new(e.event, glue, &config, &callbacks, &e.relay) < 0)
        return 1;

    add_signals(&e);
    r = relay_start(e.relay);
    if (r == 0)
        r = sd_event_loop(e.event);

    (void) relay_free(e.relay);
    relay_config_done(&config);
    (void) sd_event_unref(e.event);
    return r < 0 ? 1 : 0;
}
