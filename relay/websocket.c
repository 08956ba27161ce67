/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/websocket.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/clock.h"

/* Between two turns of the loop, so that one busy peer does not hold it. */
#define READS_A_TURN 16
#define READ_SIZE ((size_t) 16 * 1024)

/* A message is thrown away as it comes once it is too large; beyond this the peer is cut off. */
#define DRAIN_MAX ((size_t) 64 * 1024 * 1024)

/* What may wait to be sent. One message may be larger. */
#define QUEUE_MAX ((size_t) 4 * 1024 * 1024)

#define STALL_TIMEOUT (20 * USEC_PER_SEC) /* data waits and the peer takes none */
#define CLOSE_TIMEOUT (2 * USEC_PER_SEC)  /* for the peer's CLOSE after ours */
#define PINGS_MISSED_MAX 2

#define CLOSE_TOO_BIG 1009

/* The message that is being read. */
typedef struct incoming {
    char *data;
    size_t size, capacity; /* size also counts what was thrown away */
    bool is_too_large;
} incoming;

struct websocket {
    sd_event *event;
    curl_glue *glue;
    CURL *easy;
    handshake handshake;
    size_t text_max, binary_max;
    websocket_callbacks callbacks;

    bool open;     /* the Upgrade was accepted, and no CLOSE of ours was asked for */
    bool ended;    /* on_end was called, or the owner is gone */
    bool freed;    /* by the owner, while a callback ran */
    unsigned busy; /* handlers of ours on the stack */

    sd_event_source *io;
    sd_event_source *work;     /* a turn of reading and writing without waiting for the socket */
    sd_event_source *deadline; /* of what waits to be sent, or of the peer's CLOSE */
    sd_event_source *pulse;    /* the next PING, or the end of the wait for its PONG */

    frame_queue queue;
    bool waits_for_room; /* the socket's buffer is full */
    bool waits_for_close;

    incoming message;
    unsigned char control[FRAME_CONTROL_MAX];
    size_t control_size;

    usec_t keepalive;
    bool ping_sent, heard; /* a PING is out; a frame came since */
    unsigned misses;
    uint64_t ping_number;
    usec_t ping_time;
};

static void stop_watching(websocket *ws) {
    ws->io = sd_event_source_disable_unref(ws->io);
    ws->work = sd_event_source_disable_unref(ws->work);
    ws->deadline = sd_event_source_disable_unref(ws->deadline);
    ws->pulse = sd_event_source_disable_unref(ws->pulse);
}

static void destroy(websocket *ws) {
    if (ws->easy) {
        curl_glue_remove(ws->glue, ws->easy);
        curl_easy_cleanup(ws->easy);
    }
    handshake_done(&ws->handshake);
    free(ws->message.data);
    (void) sd_event_unref(ws->event);
    free(ws);
}

websocket *websocket_free(websocket *ws) {
    if (!ws)
        return NULL;

    ws->ended = true;
    ws->open = false;
    stop_watching(ws);
    /* At once, since the owners of what waits may be gone when a busy handler comes to its end. */
    frame_queue_clear(&ws->queue);

    if (ws->busy > 0)
        ws->freed = true;
    else
        destroy(ws);
    return NULL;
}

/* Every handler runs between these two, so that a callback may free the WebSocket. */
static void enter(websocket *ws) {
    ws->busy++;
}

static void leave(websocket *ws) {
    ws->busy--;
    if (ws->busy == 0 && ws->freed)
        destroy(ws);
}

static void end(websocket *ws, const websocket_end *how) {
    if (ws->ended)
        return;

    ws->ended = true;
    ws->open = false;
    stop_watching(ws);
    ws->callbacks.on_end(how, ws->callbacks.userdata);
}

static void _printf_(2, 3) end_because(websocket *ws, const char *format, ...) {
    _cleanup_free_ char *reason = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&reason, format, args) < 0)
        reason = NULL;
    va_end(args);

    end(ws, &(websocket_end){.reason = reason ? reason : "out of memory"});
}

/* libcurl's text, which is empty for a plain end of the connection. */
static void end_by_curl(websocket *ws, CURLcode result) {
    const char *where = ws->handshake.where, *error = ws->handshake.error;

    if (result == CURLE_GOT_NOTHING)
        end_because(ws, "%s ended the connection without a CLOSE", where);
    else
        end_because(ws, "%s: %s", where, error[0] ? error : curl_easy_strerror(result));
}

static void turn_soon(websocket *ws) {
    (void) sd_event_source_set_enabled(ws->work, SD_EVENT_ONESHOT);
}

/* ---- Sending --------------------------------------------------------------------------------- */

static CURLcode send_frame(const void *data, size_t size, unsigned flags, size_t *ret_taken,
                           void *userdata) {
    websocket *ws = userdata;

    ws->handshake.error[0] = '\0';
    return curl_ws_send(ws->easy, data, size, ret_taken, 0, flags);
}

static void set_deadline(websocket *ws, usec_t wait) {
    (void) sd_event_source_set_time_relative(ws->deadline, wait);
    (void) sd_event_source_set_enabled(ws->deadline, SD_EVENT_ONESHOT);
}

static void set_waits_for_room(websocket *ws, bool waits) {
    if (waits == ws->waits_for_room)
        return;

    ws->waits_for_room = waits;
    (void) sd_event_source_set_io_events(ws->io, EPOLLIN | (waits ? EPOLLOUT : 0));
}

static void flush(websocket *ws) {
    bool waited = ws->waits_for_room;
    size_t taken;
    CURLcode r;

    r = frame_queue_flush(&ws->queue, send_frame, ws, &taken);
    if (r != CURLE_OK && r != CURLE_AGAIN) {
        end_by_curl(ws, r);
        return;
    }

    set_waits_for_room(ws, r == CURLE_AGAIN);
    if (r == CURLE_AGAIN && (taken > 0 || !waited)) {
        set_deadline(ws, STALL_TIMEOUT);
    } else if (r == CURLE_OK && ws->queue.closed && !ws->waits_for_close) {
        ws->waits_for_close = true;
        set_deadline(ws, CLOSE_TIMEOUT);
    } else if (r == CURLE_OK && !ws->queue.closed) {
        (void) sd_event_source_set_enabled(ws->deadline, SD_EVENT_OFF);
    }
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
    websocket *ws = userdata;

    (void) source;
    (void) usec;

    enter(ws);
    if (ws->waits_for_close)
        end_because(ws, "closed");
    else
        end_because(ws, "%s has taken no data for %d s", ws->handshake.where,
                    (int) (STALL_TIMEOUT / USEC_PER_SEC));
    leave(ws);
    return 0;
}

int websocket_send(websocket *ws, const char *text, size_t text_size, const void *body,
                   size_t body_size, frame_sent_fn sent, void *userdata) {
    int r;

    assert(ws);

    if (!ws->open)
        return -ENOTCONN;
    if (ws->queue.bytes > 0 && ws->queue.bytes + text_size + body_size > QUEUE_MAX)
        return -ENOBUFS;

    r = frame_queue_push(&ws->queue, text, text_size, body, body_size, sent, userdata);
    if (r < 0)
        return r;

    turn_soon(ws);
    return 0;
}

void websocket_close(websocket *ws, unsigned code, const char *reason) {
    assert(ws);

    if (!ws->open)
        return;

    ws->open = false;
    frame_queue_close(&ws->queue, code, reason, false);
    turn_soon(ws);
}

/* ---- Keepalive ------------------------------------------------------------------------------- */

static void send_ping(websocket *ws) {
    ws->ping_number++;
    ws->ping_time = now_monotonic();
    ws->ping_sent = true;
    ws->heard = false;
    frame_queue_ping(&ws->queue, &ws->ping_number, sizeof(ws->ping_number));
    turn_soon(ws);
}

/* Runs twice in every interval: at the first, PING; at the second something must have come. */
static int on_pulse(sd_event_source *source, uint64_t usec, void *userdata) {
    websocket *ws = userdata;

    (void) usec;

    enter(ws);
    if (ws->ping_sent && ws->heard) {
        ws->ping_sent = false;
        ws->misses = 0;
    } else if (ws->ping_sent && ++ws->misses == PINGS_MISSED_MAX) {
        end_because(ws, "%s is silent: %d PINGs without an answer", ws->handshake.where,
                    PINGS_MISSED_MAX);
    } else {
        send_ping(ws);
    }

    if (!ws->ended) {
        (void) sd_event_source_set_time_relative(source, ws->keepalive / 2);
        (void) sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
    }
    leave(ws);
    return 0;
}

static void tell_alive(websocket *ws, bool is_answer) {
    ws->heard = true;
    if (ws->callbacks.on_alive)
        ws->callbacks.on_alive(is_answer ? now_monotonic() - ws->ping_time : 0,
                               ws->callbacks.userdata);
}

/* ---- Receiving ------------------------------------------------------------------------------- */

static bool is_our_pong(const websocket *ws, unsigned flags) {
    return (flags & CURLWS_PONG) && ws->ping_sent && ws->control_size == sizeof(ws->ping_number) &&
           memcmp(ws->control, &ws->ping_number, sizeof(ws->ping_number)) == 0;
}

/* Tries once: the peer may be gone already, and that is no news then. */
static void send_close_now(websocket *ws, unsigned code) {
    size_t taken;

    frame_queue_close(&ws->queue, code, "", true);
    (void) frame_queue_flush(&ws->queue, send_frame, ws, &taken);
}

/* Whether it may stand in a CLOSE (RFC 6455 section 7.4, and the registry that it sets up). */
static bool is_close_code(unsigned code) {
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

static void take_close(websocket *ws) {
    char text[FRAME_CONTROL_MAX] = "", id[TRACKING_ID_MAX] = "";
    _cleanup_free_ char *reason = NULL, *why = NULL;
    unsigned code = 1005; /* RFC 6455 section 7.1.5: none given */

    if (ws->control_size >= 2) {
        code = (unsigned) ws->control[0] << 8 | ws->control[1];
        memcpy(text, ws->control + 2, ws->control_size - 2);
    }

    /* The answer to a CLOSE of ours. */
    if (ws->waits_for_close) {
        end_because(ws, "closed");
        return;
    }

    /* Theirs again, or that it is none. */
    send_close_now(ws, ws->control_size < 2 ? 1000 : is_close_code(code) ? code : 1002);

    if (tracking_split(text, &why, id) < 0 ||
        asprintf(&reason, "%s closed the connection: %u%s%s", ws->handshake.where, code,
                 *why ? " " : "", why) < 0)
        reason = NULL;
    end(ws, &(websocket_end){.close_code = code,
                             .reason = reason ? reason : "out of memory",
                             .tracking_id = *id ? id : NULL});
}

static void take_control_frame(websocket *ws, const struct curl_ws_frame *frame, const char *data,
                               size_t size) {
    unsigned flags = (unsigned) frame->flags;

    if (frame->offset == 0)
        ws->control_size = 0;
    if (size > sizeof(ws->control) - ws->control_size) {
        end_because(ws, "%s sent a control frame that is too large", ws->handshake.where);
        return;
    }

    memcpy(ws->control + ws->control_size, data, size);
    ws->control_size += size;
    if (frame->bytesleft > 0)
        return;

    tell_alive(ws, is_our_pong(ws, flags));
    if (ws->ended)
        return;

    if (flags & CURLWS_PING)
        frame_queue_pong(&ws->queue, ws->control, ws->control_size);
    else if (flags & CURLWS_CLOSE)
        take_close(ws);
}

static int make_room(incoming *m, size_t size, size_t limit) {
    size_t capacity = m->capacity ? m->capacity : 4096;
    char *larger;

    if (size <= m->capacity)
        return 0;

    while (capacity < size)
        capacity *= 2;
    if (capacity > limit)
        capacity = limit;

    larger = realloc(m->data, capacity);
    if (!larger)
        return -ENOMEM;

    m->data = larger;
    m->capacity = capacity;
    return 0;
}

static void collect(incoming *m, const char *data, size_t size, size_t limit) {
    if (!m->is_too_large && (size > limit - m->size || make_room(m, m->size + size, limit) < 0))
        m->is_too_large = true;

    if (!m->is_too_large && size > 0)
        memcpy(m->data + m->size, data, size);
    m->size += size;
}

static void take_data_frame(websocket *ws, const struct curl_ws_frame *frame, const char *data,
                            size_t size) {
    bool is_text = frame->flags & CURLWS_TEXT;
    incoming *m = &ws->message;

    collect(m, data, size, is_text ? ws->text_max : ws->binary_max);
    if (m->size > DRAIN_MAX) {
        send_close_now(ws, CLOSE_TOO_BIG);
        end_because(ws, "%s sent a message without end", ws->handshake.where);
        return;
    }

    if (frame->bytesleft > 0)
        return;

    tell_alive(ws, false);
    if (ws->ended || (frame->flags & CURLWS_CONT))
        return;

    /* Azure ends bodies with an empty last fragment. */
    websocket_message whole = {
        .is_text = is_text,
        .is_too_large = m->is_too_large,
        .data = m->is_too_large ? NULL : m->data,
        .size = m->size,
    };

    m->size = 0;
    m->is_too_large = false;
    if (ws->callbacks.on_message)
        ws->callbacks.on_message(&whole, ws->callbacks.userdata);
}

/* Reads what there is. Data may lie in libcurl or OpenSSL while the socket is silent, so where
 * there may be more another turn follows. */
static void receive(websocket *ws) {
    char buffer[READ_SIZE];

    for (unsigned i = 0; i < READS_A_TURN && !ws->ended; i++) {
        const struct curl_ws_frame *frame = NULL;
        size_t size = 0;
        CURLcode r;

        ws->handshake.error[0] = '\0';
        r = curl_ws_recv(ws->easy, buffer, sizeof(buffer), &size, &frame);
        if (r == CURLE_AGAIN)
            return;
        if (r != CURLE_OK) {
            end_by_curl(ws, r);
            return;
        }

        if (frame->flags & (CURLWS_PING | CURLWS_PONG | CURLWS_CLOSE))
            take_control_frame(ws, frame, buffer, size);
        else
            take_data_frame(ws, frame, buffer, size);
    }

    if (!ws->ended)
        turn_soon(ws);
}

static void turn(websocket *ws) {
    enter(ws);
    receive(ws);
    if (!ws->ended)
        flush(ws);
    leave(ws);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
    (void) source;
    (void) fd;
    (void) revents;

    turn(userdata);
    return 0;
}

static int on_work(sd_event_source *source, void *userdata) {
    (void) source;

    turn(userdata);
    return 0;
}

/* ---- Opening --------------------------------------------------------------------------------- */

static int watch(websocket *ws) {
    curl_socket_t fd = CURL_SOCKET_BAD;
    int r;

    if (curl_easy_getinfo(ws->easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK ||
        fd == CURL_SOCKET_BAD)
        return -ENOTCONN;

    r = sd_event_add_io(ws->event, &ws->io, fd, EPOLLIN, on_io, ws);
    if (r < 0)
        return r;

    /* The first frame may have come with the answer to the Upgrade; no EPOLLIN tells of it. */
    r = sd_event_add_defer(ws->event, &ws->work, on_work, ws);
    if (r < 0)
        return r;

    r = sd_event_add_time(ws->event, &ws->deadline, CLOCK_MONOTONIC, 0, 0, on_deadline, ws);
    if (r < 0)
        return r;
    r = sd_event_source_set_enabled(ws->deadline, SD_EVENT_OFF);
    if (r < 0 || ws->keepalive == 0)
        return r;

    return sd_event_add_time_relative(ws->event, &ws->pulse, CLOCK_MONOTONIC, ws->keepalive, 0,
                                      on_pulse, ws);
}

static void on_done(CURL *easy, CURLcode result, void *userdata) {
    websocket *ws = userdata;
    const char *tracking_id;
    _cleanup_free_ char *why = NULL;
    int status = 0, r;

    enter(ws);

    r = handshake_finish(&ws->handshake, easy, result, &why, &status);
    tracking_id = ws->handshake.tracking_id[0] ? ws->handshake.tracking_id : NULL;
    if (r == 0 && !why)
        r = watch(ws);

    if (r < 0) {
        end_because(ws, "%s: %s", ws->handshake.where, strerrordesc_np(-r));
    } else if (why) {
        end(ws, &(websocket_end){.status = status, .reason = why, .tracking_id = tracking_id});
    } else {
        ws->open = true;
        ws->callbacks.on_open(tracking_id, ws->callbacks.userdata);
    }

    leave(ws);
}

int websocket_open(sd_event *event, curl_glue *glue, const websocket_options *options,
                   const websocket_callbacks *callbacks, websocket **ret) {
    _cleanup_(websocket_freep) websocket *ws = NULL;
    int r;

    assert(event);
    assert(glue);
    assert(options);
    assert(callbacks);
    assert(callbacks->on_open && callbacks->on_end);
    assert(ret);

    ws = calloc(1, sizeof(websocket));
    if (!ws)
        return -ENOMEM;

    ws->event = sd_event_ref(event);
    ws->glue = glue;
    ws->callbacks = *callbacks;
    ws->text_max = options->text_max;
    ws->binary_max = options->binary_max;
    ws->keepalive = options->keepalive;

    ws->easy = curl_easy_init();
    if (!ws->easy)
        return -ENOMEM;

    r = handshake_prepare(&ws->handshake, ws->easy, &options->handshake);
    if (r < 0)
        return r;

    r = curl_glue_add(glue, ws->easy, on_done, ws);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(ws);
    return 0;
}

clock_reading websocket_peer_clock(const websocket *ws) {
    assert(ws);
    return ws->handshake.clock;
}
