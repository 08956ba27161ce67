/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "relay/address.h"
#include "relay/listener.h"

/* For a request to arrive whole; the relay gives up after 60 s. */
#define ARRIVAL_TIMEOUT (45 * USEC_PER_SEC)

/* Sockets at once for each purpose, so that senders who take their time keep no answer back. More
 * requests than may be under way are fetched all the same, to be told so; beyond this many nobody
 * is, since without fetching there is nobody to tell. */
#define RENDEZVOUS_MAX 64

#define REFUSALS_A_MINUTE 60
#define REFUSAL_STATUS 501
#define REFUSAL_TEXT "This listener serves HTTP requests only"

#define CLOSE_NORMAL 1000
#define CLOSE_PROTOCOL_ERROR 1002

struct rendezvous {
    rendezvous *previous, *next;
    relay *relay;
    rendezvous_purpose purpose;
    usec_t began; /* CLOCK_MONOTONIC */
    websocket *ws;
    intake intake;
    relay_request *request;    /* that came by it and is not answered yet */
    answer *answer;            /* that is not sent yet */
    sd_event_source *deadline; /* for the request to arrive; NULL where it has, or is not due */
};

DEFINE_CLEANUP(rendezvous *, rendezvous_free);

rendezvous *rendezvous_free(rendezvous *v) {
    relay *r;

    if (!v)
        return NULL;

    r = v->relay;
    if (v->previous)
        v->previous->next = v->next;
    else
        v->relay->rendezvous = v->next;
    if (v->next)
        v->next->previous = v->previous;
    r->n_rendezvous[v->purpose]--;

    if (v->request)
        v->request->rendezvous = NULL;
    v->ws = websocket_free(v->ws);
    if (v->answer)
        answer_lost(v->answer, "the agent has stopped");
    (void) sd_event_source_disable_unref(v->deadline);
    intake_done(&v->intake);
    free(v);
    relay_settle(r);
    return NULL;
}

static const char *describe(int error) {
    switch (error) {
    case -EPERM:
        return "the relay named a rendezvous address that is not its own";
    case -EBUSY:
        return "too many rendezvous are under way";
    default:
        return strerrordesc_np(-error);
    }
}

static void log_not_fetched(const relay *r, const char *id, const websocket_end *how) {
    log_event(OUTCOME_REQUEST_LOST, {"WRITEBACK_OUTCOME", outcome_get(OUTCOME_REQUEST_LOST)->name},
              {"WRITEBACK_RELAY", r->config->name}, {"WRITEBACK_REQUEST_ID", id},
              {"WRITEBACK_REASON", how->reason}, {"WRITEBACK_TRACKING_ID", how->tracking_id});
}

static void on_sent(bool sent, void *userdata) {
    rendezvous *v = userdata;

    /* What was not sent is reported where the socket's end is. */
    if (sent)
        v->answer = answer_free(v->answer);
}

/* Sends the answer that it has, and closes: one exchange a rendezvous. */
static void send_answer(rendezvous *v) {
    answer *a = v->answer;
    int k = websocket_send(v->ws, a->json, strlen(a->json), a->body, a->size, on_sent, v);

    if (k < 0) {
        v->answer = NULL;
        answer_lost(a, describe(k));
    }
    websocket_close(v->ws, CLOSE_NORMAL, "");
}

static void on_open(const char *tracking_id, void *userdata) {
    rendezvous *v = userdata;

    (void) tracking_id;

    if (v->purpose == PURPOSE_DELIVER)
        send_answer(v);
    else if (v->purpose == PURPOSE_REFUSE)
        websocket_close(v->ws, CLOSE_NORMAL, "");
}

static void on_message(const websocket_message *m, void *userdata) {
    rendezvous *v = userdata;

    /* One request a rendezvous. */
    if (v->purpose == PURPOSE_FETCH && v->deadline)
        intake_take(&v->intake, v->relay, v, m);
}

static void on_end(const websocket_end *how, void *userdata) {
    rendezvous *v = userdata;

    if (v->answer)
        answer_lost(TAKE_PTR(v->answer), how->reason);
    else if (v->purpose == PURPOSE_FETCH && v->deadline)
        log_not_fetched(v->relay, v->intake.request.id, how);

    (void) rendezvous_free(v);
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
    rendezvous *v = userdata;

    (void) source;
    (void) usec;

    on_end(&(websocket_end){.reason = "it did not arrive whole within 45 s"}, v);
    return 0;
}

static int rendezvous_new(relay *r, rendezvous_purpose why, const char *address, rendezvous **ret) {
    const websocket_options options = {
        .handshake =
            {
                .url = address,
                .ca_file = r->config->ca_file,
                .proxy = r->config->proxy,
            },
        .text_max = RELAY_CONTROL_MAX,
        .binary_max = RELAY_BODY_MAX,
    };
    websocket_callbacks callbacks = {
        .on_open = on_open, .on_message = on_message, .on_end = on_end};
    _cleanup_(rendezvous_freep) rendezvous *v = NULL;
    int k;

    if (!address_is_allowed(address, r->config->host, r->config->port))
        return -EPERM;
    if (r->n_rendezvous[why] >= RENDEZVOUS_MAX)
        return -EBUSY;

    v = calloc(1, sizeof(rendezvous));
    if (!v)
        return -ENOMEM;

    v->relay = r;
    v->purpose = why;
    v->began = now_monotonic();
    v->next = r->rendezvous;
    if (v->next)
        v->next->previous = v;
    r->rendezvous = v;
    r->n_rendezvous[why]++;

    if (why == PURPOSE_FETCH) {
        k = sd_event_add_time_relative(r->event, &v->deadline, CLOCK_MONOTONIC, ARRIVAL_TIMEOUT, 0,
                                       on_deadline, v);
        if (k < 0)
            return k;
    }

    callbacks.userdata = v;
    k = websocket_open(r->event, r->glue, &options, &callbacks, &v->ws);
    if (k < 0)
        return k;

    *ret = TAKE_PTR(v);
    return 0;
}

void rendezvous_fetch(relay *r, const char *address) {
    rendezvous *v;
    int k;

    k = rendezvous_new(r, PURPOSE_FETCH, address, &v);
    if (k == -EBUSY)
        log_event(OUTCOME_TOO_MANY_REQUESTS,
                  {"WRITEBACK_OUTCOME", outcome_get(OUTCOME_TOO_MANY_REQUESTS)->name},
                  {"WRITEBACK_RELAY", r->config->name}, {"WRITEBACK_REASON", describe(k)});
    else if (k == -EPERM)
        log_event(OUTCOME_INPUT_VALIDATION_ERROR,
                  {"WRITEBACK_OUTCOME", outcome_get(OUTCOME_INPUT_VALIDATION_ERROR)->name},
                  {"WRITEBACK_RELAY", r->config->name}, {"WRITEBACK_REQUEST_ID", NULL},
                  {"WRITEBACK_REASON", describe(k)});
    else if (k < 0)
        log_not_fetched(r, NULL, &(websocket_end){.reason = describe(k)});
}

usec_t rendezvous_began(const rendezvous *v) {
    assert(v);
    return v->began;
}

void rendezvous_deliver(relay *r, answer *a) {
    rendezvous *v;
    int k;

    k = rendezvous_new(r, PURPOSE_DELIVER, a->address, &v);
    if (k < 0)
        answer_lost(a, describe(k));
    else
        v->answer = a;
}

void rendezvous_refuse(relay *r, const char *address) {
    usec_t now = now_monotonic();
    _cleanup_free_ char *refusal = NULL;
    rendezvous *v;
    int k;

    if (now - r->refusals_since >= USEC_PER_MINUTE) {
        r->refusals_since = now;
        r->refusals = 0;
    }
    if (r->refusals++ >= REFUSALS_A_MINUTE)
        return;

    refusal = address_for_refusal(address, REFUSAL_STATUS, REFUSAL_TEXT);
    k = refusal ? rendezvous_new(r, PURPOSE_REFUSE, refusal, &v) : -ENOMEM;
    if (k < 0)
        log_text(LOG_WARNING, "A WebSocket sender at relay %s could not be refused: %s",
                 r->config->name, describe(k));
}

void rendezvous_hold(rendezvous *v, relay_request *q) {
    assert(v);
    assert(q);

    v->deadline = sd_event_source_disable_unref(v->deadline);
    v->request = q;
    q->rendezvous = v;
}

void rendezvous_answer(rendezvous *v, answer *a) {
    assert(v);
    assert(a);

    v->deadline = sd_event_source_disable_unref(v->deadline);
    v->request = NULL;
    v->answer = a;
    send_answer(v);
}

void rendezvous_break_off(rendezvous *v) {
    assert(v);

    v->request = NULL;
    v->deadline = sd_event_source_disable_unref(v->deadline);
    websocket_close(v->ws, CLOSE_PROTOCOL_ERROR, "");
}
