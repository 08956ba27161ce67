/* SPDX-License-Identifier: Apache-2.0 */
/* The control channel: connect, keep, renew the token, connect again. There is always exactly one
 * of these: a channel (connecting or open), the timer for the next attempt, or a stop. */

#include "relay/listener.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-id128.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/shell.h"
#include "relay/sas_token.h"

#define RENEWAL_RETRY (30 * USEC_PER_SEC)
#define CLOSE_NORMAL 1000

static void connect_channel(relay *r);

/* ---- State and log --------------------------------------------------------------------------- */

static void set_state(relay *r, relay_state state, const char *reason) {
    char *copy = reason ? strdup(reason) : NULL;

    free(r->reason);
    r->reason = copy;
    if (r->status.state != state)
        r->status.since = now_realtime();
    r->status.state = state;
    r->status.reason = copy;

    /* The owner may free the relay in this call: it is always the last thing done. */
    r->callbacks.on_state(&r->status, r->callbacks.userdata);
}

static void log_connected(const relay *r, const char *tracking_id) {
    log_event(OUTCOME_RELAY_CONNECTED, {"WRITEBACK_RELAY", r->config->name},
              {"WRITEBACK_ADDRESS", r->where}, {"WRITEBACK_TRACKING_ID", tracking_id});
}

static void log_channel(const relay *r, outcome event, const websocket_end *how) {
    const relay_config *c = r->config;
    _cleanup_free_ char *options = shell_curl_options(c->ca_file, c->proxy);
    char port[16];

    (void) snprintf(port, sizeof(port), "%u", c->port);
    log_event(event, {"WRITEBACK_RELAY", c->name}, {"WRITEBACK_ADDRESS", r->where},
              {"WRITEBACK_HOST", c->host}, {"WRITEBACK_PORT", port},
              {"WRITEBACK_CURL_OPTIONS_QUOTED", options}, {"WRITEBACK_REASON", how->reason},
              {"WRITEBACK_TRACKING_ID", how->tracking_id});
}

/* A new reason at once, the same one again every now and then. */
static void log_failed_attempt(relay *r, const websocket_end *how) {
    usec_t now = now_monotonic();
    bool is_new = !r->failure || strcmp(r->failure, how->reason) != 0;

    if (!is_new && now - r->failure_logged < r->config->reminder)
        return;

    log_channel(r, is_new ? OUTCOME_RELAY_LISTENER_ERROR : OUTCOME_RELAY_WARNING, how);
    free(r->failure);
    r->failure = strdup(how->reason);
    r->failure_logged = now;
}

static void forget_failure(relay *r) {
    free(r->failure);
    r->failure = NULL;
}

/* ---- Token ----------------------------------------------------------------------------------- */

static int make_token(const relay *r, secret **ret) {
    uint64_t expiry = (now_realtime() + r->config->token_lifetime) / USEC_PER_SEC;

    return sas_token_make(r->resource, r->config->key_name, r->config->key, expiry, ret);
}

static void arm(sd_event_source *timer, usec_t wait) {
    (void) sd_event_source_set_time_relative(timer, wait);
    (void) sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

static void disarm(sd_event_source *timer) {
    (void) sd_event_source_set_enabled(timer, SD_EVENT_OFF);
}

static void on_token_sent(bool sent, void *userdata) {
    (void) sent;
    (void) secret_free(userdata);
}

static int send_token(relay *r) {
    _cleanup_(secret_freep) secret *token = NULL, *text = NULL;
    int k;

    k = make_token(r, &token);
    if (k < 0)
        return k;

    k = message_renew_token(token, &text);
    if (k < 0)
        return k;

    k = websocket_send(r->channel, secret_data(text), secret_size(text), NULL, 0, on_token_sent,
                       text);
    if (k == 0)
        (void) TAKE_PTR(text);
    return k;
}

/* There is no answer to a token: the relay closes with 1008 where it does not like it. */
static int on_renewal(sd_event_source *source, uint64_t usec, void *userdata) {
    relay *r = userdata;

    (void) usec;

    arm(source, send_token(r) == 0 ? r->config->token_lifetime / 4 * 3 : RENEWAL_RETRY);
    return 0;
}

/* ---- The channel ----------------------------------------------------------------------------- */

static void drop_channel(relay *r) {
    r->channel = websocket_free(r->channel);
    r->opened = 0;
    intake_done(&r->intake);
    disarm(r->renewal);
}

static void note_clock(relay *r) {
    clock_reading theirs = r->channel ? websocket_peer_clock(r->channel) : (clock_reading){0};

    if (theirs.date > 0)
        r->status.clock = theirs;
}

static void on_open(const char *tracking_id, void *userdata) {
    relay *r = userdata;

    note_clock(r);
    r->opened = now_monotonic();
    if (r->channel_number++ > 0)
        r->status.reconnects++;
    arm(r->renewal, r->config->token_lifetime / 4 * 3);
    forget_failure(r);
    log_connected(r, tracking_id);
    set_state(r, RELAY_CONNECTED, NULL);
}

static void on_message(const websocket_message *m, void *userdata) {
    relay *r = userdata;

    intake_take(&r->intake, r, NULL, m);
}

static void on_alive(usec_t latency, void *userdata) {
    relay *r = userdata;

    r->status.last_heartbeat = now_realtime();
    /* Not at each frame: under load there are thousands. */
    if (latency == 0)
        return;

    r->status.latency = latency;
    if (r->callbacks.on_alive)
        r->callbacks.on_alive(&r->status, r->callbacks.userdata);
}

/* The channel was lost, or an attempt failed. */
static void on_end(const websocket_end *how, void *userdata) {
    relay *r = userdata;
    bool was_open = r->opened > 0;
    const backoff_end end = {
        .status = how->status,
        .close_code = how->close_code,
        .up = was_open ? now_monotonic() - r->opened : 0,
    };

    note_clock(r);
    drop_channel(r);
    if (r->status.state == RELAY_STOPPED) {
        relay_settle(r);
        return;
    }

    if (was_open)
        log_channel(r, OUTCOME_RELAY_ERROR, how);
    else
        log_failed_attempt(r, how);

    r->status.is_lost = was_open;
    r->status.is_unreached = how->status == 0 && how->close_code == 0;
    arm(r->retry, backoff_next(&r->backoff, &end, arc4random()));
    set_state(r, RELAY_CONNECTING, how->reason);
}

static int open_channel(relay *r) {
    const websocket_callbacks callbacks = {
        .on_open = on_open,
        .on_message = on_message,
        .on_alive = on_alive,
        .on_end = on_end,
        .userdata = r,
    };
    websocket_options options = {
        .handshake = {.url = r->url, .ca_file = r->config->ca_file, .proxy = r->config->proxy},
        .text_max = RELAY_CONTROL_MAX,
        .binary_max = RELAY_CONTROL_MAX,
        .keepalive = r->config->keepalive_interval,
    };
    _cleanup_(secret_freep) secret *token = NULL;
    int k;

    k = make_token(r, &token);
    if (k < 0)
        return k;

    options.handshake.authorization = secret_data(token);
    return websocket_open(r->event, r->glue, &options, &callbacks, &r->channel);
}

static void connect_channel(relay *r) {
    int k = open_channel(r);

    if (k < 0)
        on_end(&(websocket_end){.reason = strerrordesc_np(-k)}, r);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
    (void) source;
    (void) usec;

    connect_channel(userdata);
    return 0;
}

/* ---- The door -------------------------------------------------------------------------------- */

static int add_timer(relay *r, sd_event_time_handler_t handler, sd_event_source **ret) {
    int k = sd_event_add_time(r->event, ret, CLOCK_MONOTONIC, 0, 0, handler, r);

    return k < 0 ? k : sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

static int make_texts(relay *r) {
    const relay_config *c = r->config;
    sd_id128_t id;
    int k;

    /* For the relay's own tracing. */
    k = sd_id128_randomize(&id);
    if (k < 0)
        return k;

    r->resource = sas_resource(c->host, c->path);
    if (!r->resource || asprintf(&r->where, "%s/%s", c->host, c->path) < 0 ||
        asprintf(&r->url,
                 "wss://%s:%u/$hc/%s?sb-hc-action=listen&sb-hc-id=" SD_ID128_UUID_FORMAT_STR,
                 c->host, c->port, c->path, SD_ID128_FORMAT_VAL(id)) < 0)
        return -ENOMEM;

    return 0;
}

int relay_new(sd_event *event, curl_glue *glue, const relay_config *config,
              const relay_callbacks *callbacks, relay **ret) {
    _cleanup_(relay_freep) relay *r = NULL;
    int k;

    assert(event);
    assert(glue);
    assert(config);
    assert(config->host && config->path && config->key_name);
    assert(callbacks);
    assert(callbacks->on_request && callbacks->on_state);
    assert(ret);

    if (!config->key)
        return -EINVAL;

    r = calloc(1, sizeof(relay));
    if (!r)
        return -ENOMEM;

    r->event = sd_event_ref(event);
    r->glue = glue;
    r->config = config;
    r->callbacks = *callbacks;
    r->status.since = now_realtime();

    k = make_texts(r);
    if (k < 0)
        return k;

    k = add_timer(r, on_retry, &r->retry);
    if (k < 0)
        return k;

    k = add_timer(r, on_renewal, &r->renewal);
    if (k < 0)
        return k;

    *ret = TAKE_PTR(r);
    return 0;
}

relay *relay_free(relay *r) {
    if (!r)
        return NULL;

    r->freeing = true;
    r->channel = websocket_free(r->channel);
    while (r->rendezvous)
        (void) rendezvous_free(r->rendezvous);
    while (r->requests)
        (void) relay_request_free(r->requests);
    intake_done(&r->intake);
    (void) sd_event_source_disable_unref(r->retry);
    (void) sd_event_source_disable_unref(r->renewal);
    (void) sd_event_unref(r->event);
    free(r->url);
    free(r->where);
    free(r->resource);
    free(r->reason);
    free(r->failure);
    free(r);
    return NULL;
}

int relay_start(relay *r) {
    assert(r);

    if (r->status.state != RELAY_STOPPED)
        return 0;

    /* It may still be closing. */
    drop_channel(r);
    forget_failure(r);
    /* The first attempt is the one at once. */
    r->backoff = (backoff){.failures = 1};
    arm(r->retry, 0);
    set_state(r, RELAY_CONNECTING, NULL);
    return 0;
}

void relay_stop(relay *r) {
    assert(r);

    if (r->status.state == RELAY_STOPPED)
        return;

    disarm(r->retry);
    disarm(r->renewal);
    if (r->opened > 0)
        websocket_close(r->channel, CLOSE_NORMAL, "");
    else
        drop_channel(r);
    set_state(r, RELAY_STOPPED, NULL);
}

const char *relay_name(const relay *r) {
    assert(r);
    return r->config->name;
}

const relay_status *relay_get_status(const relay *r) {
    assert(r);
    return &r->status;
}

bool relay_is_quiet(const relay *r) {
    assert(r);
    return r->n_answers == 0 && !r->rendezvous && (r->status.state != RELAY_STOPPED || !r->channel);
}

void relay_settle(const relay *r) {
    assert(r);

    if (!r->freeing && r->callbacks.on_quiet && relay_is_quiet(r))
        r->callbacks.on_quiet(r->callbacks.userdata);
}
