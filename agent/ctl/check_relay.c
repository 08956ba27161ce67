/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/problem.h"
#include "agent/base/shell.h"
#include "agent/base/text.h"
#include "agent/ctl/check.h"
#include "agent/ctl/config_files.h"
#include "agent/ctl/redact.h"
#include "agent/ctl/say.h"
#include "agent/respond.h"

#define PROBE_PATIENCE (12 * USEC_PER_SEC)
#define LISTEN_PATIENCE (15 * USEC_PER_SEC)
/* So that what came while we listened has its answer out before we go. */
#define GOODBYE_PATIENCE (2 * USEC_PER_SEC)
/* So health/document.c begins what it says of a part that has not been tried. */
#define NOT_KNOWN "Not known: "

/* ---- The way there --------------------------------------------------------------------------- */

static void tell_way(check *c, const relay_config *way, const check_probe *p) {
    _cleanup_free_ char *proxy = way->proxy ? redact_url(way->proxy) : NULL;
    _cleanup_free_ char *through = proxy ? text_format(" through the proxy %s", proxy) : NULL;
    const char *error = check_probe_error(p);

    if (error)
        check_tell(c, STAGE_RELAY, false, way->name, check_cure(OUTCOME_RELAY_LISTENER_ERROR),
                   text_format("%s:%u cannot be reached%s: %s", way->host, way->port,
                               through ? through : "", error));
    else
        check_tell(c, STAGE_RELAY, true, way->name, NULL,
                   text_format("%s:%u answers by HTTPS%s within %llu ms", way->host, way->port,
                               through ? through : "",
                               (unsigned long long) (check_probe_duration(p) / USEC_PER_MSEC)));
}

/* ---- The key --------------------------------------------------------------------------------- */

/* A relay that was listened on for a moment. */
typedef struct listening {
    check *check;
    relay *relay;
    relay_state state;
    char *reason; /* NULL: nothing has failed */
    size_t turned_away;
} listening;

/* The relay gives requests to any of its listeners. This one cannot serve them, and the portal is
 * told to ask again. */
static void turn_away(relay_request *q, void *userdata) {
    static const relay_header retry = {"Retry-After", "1"};
    const int status = outcome_get(OUTCOME_SERVICE_STOPPING)->http;
    _cleanup_(json_freep) json_t *problem = problem_new(OUTCOME_SERVICE_STOPPING, NULL, NULL, NULL);
    _cleanup_free_ char *body = problem ? json_to_text(problem) : NULL;
    listening *l = userdata;

    l->turned_away++;
    if (l->check->keys)
        respond_with_receipt(q, l->check->keys, NULL, status, PROBLEM_CONTENT_TYPE, &retry, 1,
                             body);
    else
        relay_respond(q, status, PROBLEM_CONTENT_TYPE, &retry, 1, body ? body : "",
                      body ? strlen(body) : 0);
}

static void on_state(const relay_status *status, void *userdata) {
    listening *l = userdata;

    l->state = status->state;
    if (status->reason && !l->reason)
        l->reason = strdup(status->reason);
}

static bool is_decided(const void *userdata) {
    const listening *l = userdata;

    return l->state == RELAY_CONNECTED || l->reason;
}

static bool is_quiet(const void *userdata) {
    const listening *l = userdata;

    return relay_is_quiet(l->relay);
}

static void listen_for_a_moment(listening *l, const relay_config *way) {
    const relay_callbacks callbacks = {
        .on_request = turn_away, .on_state = on_state, .userdata = l};
    check *c = l->check;

    if (relay_new(c->event, c->glue, way, &callbacks, &l->relay) < 0 || relay_start(l->relay) < 0)
        return;

    (void) check_wait(c, "listening on the relay for a moment", now_monotonic() + LISTEN_PATIENCE,
                      is_decided, l);
    if (l->state != RELAY_CONNECTED)
        return;

    (void) check_wait(c, "leaving the relay", now_monotonic() + GOODBYE_PATIENCE, is_quiet, l);
    relay_stop(l->relay);
    (void) check_wait(c, "leaving the relay", now_monotonic() + GOODBYE_PATIENCE, is_quiet, l);
    l->state = RELAY_CONNECTED;
}

static void try_key(check *c, const relay_config *way) {
    listening l = {.check = c};

    listen_for_a_moment(&l, way);
    if (l.state == RELAY_CONNECTED)
        check_tell(c, STAGE_RELAY, true, way->name, NULL,
                   text_format("it lets %s listen on %s", way->key_name, way->path));
    else
        check_tell(c, STAGE_RELAY, false, way->name, check_cure(OUTCOME_RELAY_LISTENER_ERROR),
                   text_format("it does not let %s listen on %s: %s", way->key_name, way->path,
                               l.reason ? l.reason : "no answer within 15 s"));
    if (l.turned_away > 0)
        check_tell(c, STAGE_RELAY, true, way->name, NULL,
                   text_format("%zu request%s came meanwhile and %s asked to come again",
                               l.turned_away, l.turned_away == 1 ? "" : "s",
                               l.turned_away == 1 ? "was" : "were"));
    l.relay = relay_free(l.relay);
    free(l.reason);
}

/* Whether the agent may have connected by a configuration that has been changed since. */
static bool is_outdated(const check *c, const json_t *said) {
    _cleanup_(config_files_done) config_files files = {0};
    const char *since = json_get_string(said, "since");
    struct tm tm = {0};

    if (!since || !strptime(since, "%Y-%m-%dT%H:%M:%SZ", &tm) ||
        config_files_find(c->options->config, &files) < 0)
        return false;
    return config_files_changed(&files) / USEC_PER_SEC > (usec_t) timegm(&tm);
}

static bool never(const void *userdata) {
    (void) userdata;
    return false;
}

/* An agent that has just started may be on its way there still. */
static json_t *ask_agent_of(check *c, const char *part) {
    usec_t until = now_monotonic() + LISTEN_PATIENCE;
    json_t *said;

    for (;;) {
        const char *output;

        said = check_agent_says(c, part);
        output = json_get_string(said, "output");
        if (!output || strncmp(output, NOT_KNOWN, strlen(NOT_KNOWN)) != 0 ||
            now_monotonic() >= until)
            return said;
        (void) check_wait(c, "waiting for the agent to connect", now_monotonic() + USEC_PER_SEC / 5,
                          never, NULL);
        check_ask_agent(c);
    }
}

/* An agent that is connected proves it better than another listener, which would be given requests
 * meant for that agent. */
static void tell_key(check *c, const relay_config *way) {
    _cleanup_free_ char *part = text_format("relay:%s", way->name);
    json_t *said = part ? ask_agent_of(c, part) : NULL;
    const char *status = json_get_string(said, "status");
    const char *output = json_get_string(said, "output");
    bool is_listening;

    if (!status) {
        try_key(c, way);
        return;
    }
    /* A relay that was lost and found again too often warns for a while, and listens. */
    is_listening = strcmp(status, "pass") == 0 || strcmp(status, "warn") == 0;
    if (!is_listening)
        check_tell(c, STAGE_RELAY, false, way->name, check_cure(OUTCOME_RELAY_LISTENER_ERROR),
                   text_format("the running agent does not listen on %s: %s", way->path,
                               output ? output : "it has not come that far"));
    else if (is_outdated(c, said))
        check_tell(c, STAGE_RELAY, true, way->name, NULL,
                   text_format("the running agent listens, but since before the configuration was "
                               "changed. To see whether the new one is right: systemctl reload "
                               "writebackd, and check again"));
    else
        check_tell(c, STAGE_RELAY, true, way->name, NULL,
                   text_format("the running agent listens on %s as %s%s%s", way->path,
                               way->key_name, output ? ": " : "", output ? output : ""));
}

/* As the log has it of a relay that cannot be listened on. */
static void know(check *c, const relay_config *way) {
    _cleanup_free_ char *options = shell_curl_options(way->ca_file, way->proxy);
    _cleanup_free_ char *port = text_format("%u", way->port);

    check_know(c, "WRITEBACK_RELAY", way->name);
    check_know(c, "WRITEBACK_HOST", way->host);
    check_know(c, "WRITEBACK_PORT", port);
    check_know(c, "WRITEBACK_CURL_OPTIONS_QUOTED", options);
}

void check_relays(check *c) {
    usec_t deadline = now_monotonic() + PROBE_PATIENCE;

    for (size_t i = 0; i < c->config->n_relays; i++) {
        const relay_config *way = &c->config->relays[i];

        if (!c->relays[i])
            continue;
        know(c, way);
        (void) check_wait(c, "reaching the relay", deadline, check_probe_is_done, c->relays[i]);
        tell_way(c, way, c->relays[i]);
        if (!check_probe_error(c->relays[i]))
            tell_key(c, way);
    }
}
