/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "relay/listener.h"

/* ---- Answers ------------------------------------------------------------------------------ */

answer *answer_free(answer *a) {
    relay *r;

    if (!a)
        return NULL;

    r = a->relay;
    free(a->id);
    free(a->address);
    free(a->json);
    free(a->body);
    free(a);
    r->n_answers--;
    relay_settle(r);
    return NULL;
}

DEFINE_CLEANUP(answer *, answer_free);

static void log_lost(const relay *r, const char *id, const char *reason) {
    log_event(OUTCOME_ANSWER_LOST, {"WRITEBACK_REQUEST_ID", id},
              {"WRITEBACK_RELAY", r->config->name}, {"WRITEBACK_REASON", reason});
}

void answer_lost(answer *a, const char *reason) {
    assert(a);

    log_lost(a->relay, a->id, reason);
    (void) answer_free(a);
}

static answer *answer_new(relay *r, const message *request, int status, const char *content_type,
                          const relay_header *headers, size_t n_headers, const void *body,
                          size_t size) {
    _cleanup_(answer_freep) answer *a = calloc(1, sizeof(answer));

    if (!a)
        return NULL;

    a->relay = r;
    r->n_answers++;
    a->id = strdup(request->id);
    a->address = strdup(request->address);
    a->json = message_response(request->id, status, content_type, headers, n_headers, size > 0);
    a->body = malloc(size + 1);
    if (!a->id || !a->address || !a->json || !a->body)
        return NULL;

    if (size > 0)
        memcpy(a->body, body, size);
    a->size = size;
    return TAKE_PTR(a);
}

/* The control channel is gone with an answer that it had not taken: the rendezvous address is not
 * tied to it. */
static void on_sent(bool sent, void *userdata) {
    answer *a = userdata;

    if (sent)
        (void) answer_free(a);
    else if (a->relay->freeing)
        answer_lost(a, "the agent has stopped");
    else
        rendezvous_deliver(a->relay, a);
}

static bool send_on_channel(relay *r, uint64_t channel_number, answer *a) {
    return r->channel && channel_number == r->channel_number && a->size <= RELAY_CONTROL_MAX &&
           websocket_send(r->channel, a->json, strlen(a->json), a->body, a->size, on_sent, a) == 0;
}

/* To where the request came from. */
static void deliver(relay *r, rendezvous *v, uint64_t channel_number, answer *a) {
    if (v)
        rendezvous_answer(v, a);
    else if (channel_number == 0)
        answer_lost(a, "the sender or the relay ended the connection that the request came by");
    else if (!send_on_channel(r, channel_number, a))
        rendezvous_deliver(r, a);
}

/* ---- Requests come --------------------------------------------------------------------------- */

relay_request *relay_request_free(relay_request *q) {
    if (!q)
        return NULL;

    if (q->previous)
        q->previous->next = q->next;
    else
        q->relay->requests = q->next;
    if (q->next)
        q->next->previous = q->previous;
    q->relay->n_requests--;

    message_done(&q->message);
    free(q->path);
    free(q->body);
    free(q);
    return NULL;
}

/* Takes the message on success. */
static int request_new(relay *r, uint64_t channel_number, message *m, const websocket_message *body,
                       usec_t came, relay_request **ret) {
    _cleanup_free_ char *path = message_path(m, r->config->path);
    _cleanup_free_ void *copy = NULL;
    relay_request *q;

    /* One byte more, so that malloc(3) is never asked for none. */
    size_t size = body && body->data ? body->size : 0;
    copy = malloc(size + 1);
    q = calloc(1, sizeof(relay_request));
    if (!path || !copy || !q) {
        free(q);
        return -ENOMEM;
    }

    if (size > 0)
        memcpy(copy, body->data, size);
    q->relay = r;
    q->message = *m;
    *m = (message){.type = MESSAGE_UNKNOWN};
    q->path = TAKE_PTR(path);
    q->body = TAKE_PTR(copy);
    q->size = size;
    q->is_too_large = body && body->is_too_large;
    q->channel_number = channel_number;
    q->came = came;

    q->next = r->requests;
    if (q->next)
        q->next->previous = q;
    r->requests = q;
    r->n_requests++;

    *ret = q;
    return 0;
}

/* There is no memory for it. For an answer without a body there may be enough. */
static void turn_away(relay *r, rendezvous *by, const message *m) {
    const outcome_info *info = outcome_get(OUTCOME_UNKNOWN_ERROR);
    answer *a = answer_new(r, m, info->http, NULL, NULL, 0, NULL, 0);

    log_event(OUTCOME_UNKNOWN_ERROR, {"WRITEBACK_REQUEST_ID", m->id},
              {"WRITEBACK_OUTCOME", info->name}, {"WRITEBACK_RELAY", r->config->name},
              {"WRITEBACK_REASON", "out of memory"});
    if (a)
        deliver(r, by, by ? 0 : r->channel_number, a);
    else if (by)
        rendezvous_break_off(by);
}

static void hand_over(relay *r, rendezvous *by, message *m, const websocket_message *body) {
    usec_t came = by ? rendezvous_began(by) : now_monotonic();
    relay_request *q;

    if (request_new(r, by ? 0 : r->channel_number, m, body, came, &q) < 0) {
        turn_away(r, by, m);
        return;
    }
    if (by)
        rendezvous_hold(by, q);

    q->is_one_too_many = r->n_requests > RELAY_REQUESTS_MAX;
    r->callbacks.on_request(q, r->callbacks.userdata);
}

/* It is not known whom to answer, or where. */
static void refuse_message(relay *r, rendezvous *by, const char *why) {
    log_event(OUTCOME_INPUT_VALIDATION_ERROR, {"WRITEBACK_REQUEST_ID", NULL},
              {"WRITEBACK_OUTCOME", outcome_get(OUTCOME_INPUT_VALIDATION_ERROR)->name},
              {"WRITEBACK_RELAY", r->config->name}, {"WRITEBACK_REASON", why});
    if (by)
        rendezvous_break_off(by);
}

/* Another message came where its body was due. */
static void take_without_body(intake *i, relay *r, rendezvous *by) {
    message request = i->request;

    *i = (intake){0};
    request.fault = "its body did not follow";
    hand_over(r, by, &request, NULL);
    message_done(&request);
}

static void take_text(intake *i, relay *r, rendezvous *by, const websocket_message *m) {
    const char *why = "too large";
    message parsed;
    int k;

    if (i->expects_body) {
        take_without_body(i, r, by);
        if (by)
            return;
    }

    k = m->is_too_large ? -EBADMSG : message_parse(m->data, m->size, &parsed, &why);
    if (k < 0) {
        refuse_message(r, by, k == -ENOMEM ? "out of memory" : why);
        return;
    }

    if (parsed.type == MESSAGE_REQUEST && parsed.has_body) {
        i->request = parsed;
        i->expects_body = true;
        return;
    }

    if (parsed.type == MESSAGE_POINTER && !by)
        rendezvous_fetch(r, parsed.address);
    else if (parsed.type == MESSAGE_ACCEPT && !by)
        rendezvous_refuse(r, parsed.address);
    else if (parsed.type == MESSAGE_REQUEST)
        hand_over(r, by, &parsed, NULL);
    message_done(&parsed);
}

static void take_body(intake *i, relay *r, rendezvous *by, const websocket_message *m) {
    message request = i->request;

    /* Microsoft's own clients send empty bodies that nobody announced. */
    if (!i->expects_body)
        return;

    *i = (intake){0};
    hand_over(r, by, &request, m);
    message_done(&request);
}

void intake_take(intake *i, relay *r, rendezvous *by, const websocket_message *m) {
    assert(i);
    assert(r);
    assert(m);

    if (m->is_text)
        take_text(i, r, by, m);
    else
        take_body(i, r, by, m);
}

void intake_done(intake *i) {
    assert(i);

    message_done(&i->request);
    i->expects_body = false;
}

/* ---- What a request says --------------------------------------------------------------------- */

const char *relay_request_fault(const relay_request *q) {
    assert(q);
    return q->message.fault;
}

const char *relay_request_method(const relay_request *q) {
    assert(q);
    return q->message.method ? q->message.method : "";
}

const char *relay_request_path(const relay_request *q) {
    assert(q);
    return q->path;
}

const char *relay_request_header(const relay_request *q, const char *name) {
    assert(q);
    return message_header(&q->message, name);
}

const void *relay_request_body(const relay_request *q, size_t *ret_size) {
    assert(q);
    assert(ret_size);

    *ret_size = q->size;
    return q->body;
}

const char *relay_request_tracking_id(const relay_request *q) {
    assert(q);
    return q->message.id;
}

usec_t relay_request_came(const relay_request *q) {
    assert(q);
    return q->came;
}

const char *relay_request_relay_name(const relay_request *q) {
    assert(q);
    return q->relay->config->name;
}

bool relay_request_is_too_large(const relay_request *q) {
    assert(q);
    return q->is_too_large;
}

bool relay_request_is_one_too_many(const relay_request *q) {
    assert(q);
    return q->is_one_too_many;
}

void relay_request_set_userdata(relay_request *q, void *userdata) {
    assert(q);
    q->userdata = userdata;
}

void *relay_request_userdata(const relay_request *q) {
    assert(q);
    return q->userdata;
}

/* ---- Answering -------------------------------------------------------------------------------- */

void relay_respond(relay_request *q, int status, const char *content_type,
                   const relay_header *headers, size_t n_headers, const void *body, size_t size) {
    uint64_t channel_number;
    rendezvous *v;
    answer *a;
    relay *r;

    assert(q);
    assert(status >= 200 && status <= 599 && status != 502 && status != 504);
    assert(headers || n_headers == 0);
    assert(body || size == 0);

    r = q->relay;
    v = q->rendezvous;
    channel_number = q->channel_number;
    a = answer_new(r, &q->message, status, content_type, headers, n_headers, body, size);

    if (!a) {
        log_lost(r, q->message.id, "out of memory");
        if (v)
            rendezvous_break_off(v);
    } else {
        deliver(r, v, channel_number, a);
    }

    (void) relay_request_free(q);
}
