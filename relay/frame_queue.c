/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/frame_queue.h"

#include <errno.h>
#include <string.h>

struct queued_message {
    queued_message *next;
    unsigned type;
    const unsigned char *data;
    size_t size, offset; /* offset: of the first byte that is in no frame yet */
    frame_sent_fn sent;
    void *userdata;
};

static queued_message *message_new(unsigned type, const void *data, size_t size) {
    queued_message *m = malloc(sizeof(queued_message));

    if (m)
        *m = (queued_message){.type = type, .data = data, .size = size};
    return m;
}

static void append(frame_queue *q, queued_message *m) {
    if (q->last)
        q->last->next = m;
    else
        q->first = m;
    q->last = m;
    q->bytes += m->size;
}

int frame_queue_push(frame_queue *q, const char *text, size_t text_size, const void *body,
                     size_t body_size, frame_sent_fn sent, void *userdata) {
    queued_message *first, *second = NULL, *last;

    assert(q);
    assert(text && text_size > 0);
    assert(body || body_size == 0);

    first = message_new(CURLWS_TEXT, text, text_size);
    if (body_size > 0)
        second = message_new(CURLWS_BINARY, body, body_size);
    if (!first || (body_size > 0 && !second)) {
        free(first);
        free(second);
        return -ENOMEM;
    }

    last = second ? second : first;
    last->sent = sent;
    last->userdata = userdata;
    append(q, first);
    if (second)
        append(q, second);
    return 0;
}

/* Takes the first message out and tells its owner. */
static void finish_first(frame_queue *q, bool sent) {
    queued_message *m = q->first;

    q->first = m->next;
    if (!q->first)
        q->last = NULL;
    q->bytes -= m->size;

    if (m->sent)
        m->sent(sent, m->userdata);
    free(m);
}

static void drop_messages(frame_queue *q) {
    while (q->first)
        finish_first(q, false);
}

static void set_control(control_frame *f, const void *payload, size_t size) {
    assert(size <= FRAME_CONTROL_MAX);

    f->waiting = true;
    f->size = size;
    if (size > 0)
        memcpy(f->payload, payload, size);
}

void frame_queue_ping(frame_queue *q, const void *payload, size_t size) {
    assert(q);
    set_control(&q->ping, payload, size);
}

void frame_queue_pong(frame_queue *q, const void *payload, size_t size) {
    assert(q);
    set_control(&q->pong, payload, size);
}

void frame_queue_close(frame_queue *q, unsigned code, const char *reason, bool now) {
    unsigned char payload[FRAME_CONTROL_MAX] = {(unsigned char) (code >> 8),
                                                (unsigned char) (code & 0xff)};
    size_t size;

    assert(q);
    assert(reason);

    size = strnlen(reason, sizeof(payload) - 2);
    memcpy(payload + 2, reason, size);
    set_control(&q->close, payload, size + 2);
    q->close_now = now;
}

static void begin_control(frame_queue *q, control_frame *f, unsigned flags) {
    f->waiting = false;
    memcpy(q->current.control, f->payload, f->size);
    q->current.begun = true;
    q->current.flags = flags;
    q->current.data = q->current.control;
    q->current.left = f->size;
}

static void begin_message_frame(frame_queue *q) {
    queued_message *m = q->first;
    size_t left = m->size - m->offset;
    bool is_last = left <= FRAME_SIZE_MAX;

    q->current.begun = true;
    q->current.flags = m->type | (is_last ? 0 : CURLWS_CONT);
    q->current.data = m->data + m->offset;
    q->current.left = is_last ? left : FRAME_SIZE_MAX;
    m->offset += q->current.left;
}

/* Chooses what comes next. False where there is nothing. */
static bool begin(frame_queue *q) {
    if (q->closed)
        return false;

    if (q->close.waiting && (q->close_now || !q->first))
        begin_control(q, &q->close, CURLWS_CLOSE);
    else if (q->pong.waiting)
        begin_control(q, &q->pong, CURLWS_PONG);
    else if (q->ping.waiting)
        begin_control(q, &q->ping, CURLWS_PING);
    else if (q->first)
        begin_message_frame(q);
    else
        return false;
    return true;
}

static void finish(frame_queue *q) {
    q->current.begun = false;

    if (q->current.flags == CURLWS_CLOSE) {
        q->closed = true;
        drop_messages(q);
    } else if ((q->current.flags & (CURLWS_TEXT | CURLWS_BINARY)) &&
               !(q->current.flags & CURLWS_CONT)) {
        finish_first(q, true);
    }
}

CURLcode frame_queue_flush(frame_queue *q, frame_send_fn send, void *userdata, size_t *ret_taken) {
    assert(q);
    assert(send);
    assert(ret_taken);

    *ret_taken = 0;
    while (q->current.begun || begin(q)) {
        size_t taken = 0;
        CURLcode r = send(q->current.data, q->current.left, q->current.flags, &taken, userdata);

        /* Even where nothing was taken libcurl may hold the frame's header: the same bytes must
         * come again, and nothing else before them. */
        if (r != CURLE_OK)
            return r;

        *ret_taken += taken;
        q->current.data += taken;
        q->current.left -= taken;
        if (q->current.left > 0)
            return CURLE_AGAIN;

        finish(q);
    }
    return CURLE_OK;
}

bool frame_queue_is_empty(const frame_queue *q) {
    assert(q);

    return !q->current.begun &&
           (q->closed || (!q->first && !q->ping.waiting && !q->pong.waiting && !q->close.waiting));
}

void frame_queue_clear(frame_queue *q) {
    assert(q);

    q->closed = true;
    q->current.begun = false;
    drop_messages(q);
}
