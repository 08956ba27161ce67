/* SPDX-License-Identifier: Apache-2.0 */
/* The listener's pure parts: tokens, addresses, the ladder, the order of frames, texts of the
 * relay. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "relay/address.h"
#include "relay/backoff.h"
#include "relay/frame_queue.h"
#include "relay/handshake.h"
#include "relay/sas_token.h"

/* ---- Tokens: checked once against Microsoft's hyco-https with a frozen clock ----------------- */

#define SAS_KEY "2ZbB2tGGa4ZzYJQH2p1mFqjS3q0c5+6k1m8l3r0v9Jk="

static void assert_token(const char *resource, const char *key_name, const char *expected) {
    _cleanup_(secret_freep) secret *key = NULL, *token = NULL;

    assert_int_equal(secret_new(SAS_KEY, strlen(SAS_KEY), &key), 0);
    assert_int_equal(sas_token_make(resource, key_name, key, 1700003600, &token), 0);
    assert_string_equal(secret_data(token), expected);
    assert_int_equal(secret_size(token), strlen(expected));
}

static void tokens_are_those_of_microsofts_clients(void **state) {
    (void) state;

    assert_token("http://contoso.servicebus.windows.net/hyco", "listen-rule",
                 "SharedAccessSignature sr=http%3A%2F%2Fcontoso.servicebus.windows.net%2Fhyco&sig="
                 "9XITZu9Dig6PsKhgRCbeTge1WJY14bHYdOpAk1wupZQ%3D&se=1700003600&skn=listen-rule");
    assert_token("http://contoso.servicebus.windows.net:443/hyco", "listen-rule",
                 "SharedAccessSignature sr=http%3A%2F%2Fcontoso.servicebus.windows.net%3A443%2Fhyco"
                 "&sig=HhM4n7PcUY59rAVUBfFHaZlTUdkL8lCiCjq8eFeFTrs%3D&se=1700003600"
                 "&skn=listen-rule");
    assert_token("http://localhost:8443/hyco", "a b",
                 "SharedAccessSignature sr=http%3A%2F%2Flocalhost%3A8443%2Fhyco&sig="
                 "%2FK895kDYgSbcFuSgtBapdoOtYX0TZUr2daS6P8fGjME%3D&se=1700003600&skn=a%20b");
}

static void a_token_is_for_the_form_with_a_slash_at_its_end(void **state) {
    _cleanup_free_ char *resource = sas_resource("contoso.servicebus.windows.net", "hyco");

    (void) state;

    assert_token(resource, "listen-rule",
                 "SharedAccessSignature sr=http%3A%2F%2Fcontoso.servicebus.windows.net%2Fhyco%2F"
                 "&sig=7yqSBImAikHh7FZUZJLvAHHdKoy%2FtVHKKIXrZ7xoTfw%3D&se=1700003600"
                 "&skn=listen-rule");
}

/* ---- Addresses ------------------------------------------------------------------------------- */

static void only_the_relays_own_addresses_are_connected_to(void **state) {
    static const struct {
        const char *address, *host;
        unsigned port;
        bool allowed;
    } cases[] = {
        {"wss://contoso.servicebus.windows.net/$hc/hyco?sb-hc-action=request&sb-hc-id=1_G2",
         "contoso.servicebus.windows.net", 443, true},
        {"wss://contoso.servicebus.windows.net:443/$hc/hyco", "contoso.servicebus.windows.net", 443,
         true},
        {"wss://g12-prod-by3-010-sb.servicebus.windows.net/$hc/hyco?a=b",
         "contoso.servicebus.windows.net", 443, true},
        {"wss://G12.ServiceBus.Windows.Net/$hc/hyco", "contoso.servicebus.windows.net", 443, true},
        {"wss://localhost:9444/$hc/hyco", "localhost", 9444, true},
        {"wss://127.0.0.1:9444/$hc/hyco", "127.0.0.1", 9444, true},
        /* Another scheme, port, path, user. */
        {"ws://contoso.servicebus.windows.net/$hc/hyco", "contoso.servicebus.windows.net", 443,
         false},
        {"https://contoso.servicebus.windows.net/$hc/hyco", "contoso.servicebus.windows.net", 443,
         false},
        {"wss://contoso.servicebus.windows.net:8443/$hc/hyco", "contoso.servicebus.windows.net",
         443, false},
        {"wss://contoso.servicebus.windows.net/hyco", "contoso.servicebus.windows.net", 443, false},
        {"wss://contoso.servicebus.windows.net/$hc/../hyco", "contoso.servicebus.windows.net", 443,
         false},
        {"wss://contoso.servicebus.windows.net/$hc", "contoso.servicebus.windows.net", 443, false},
        {"wss://user@contoso.servicebus.windows.net/$hc/hyco", "contoso.servicebus.windows.net",
         443, false},
        {"wss://contoso.servicebus.windows.net/$hc/hyco#x", "contoso.servicebus.windows.net", 443,
         false},
        /* Hosts of somebody else. */
        {"wss://evil.example/$hc/hyco", "contoso.servicebus.windows.net", 443, false},
        {"wss://evilservicebus.windows.net/$hc/hyco", "contoso.servicebus.windows.net", 443, false},
        {"wss://servicebus.windows.net/$hc/hyco", "contoso.servicebus.windows.net", 443, false},
        {"wss://contoso.servicebus.windows.net.evil.example/$hc/hyco",
         "contoso.servicebus.windows.net", 443, false},
        {"wss://contoso.servicebus.windows.net@evil.example/$hc/hyco",
         "contoso.servicebus.windows.net", 443, false},
        {"wss://evil.example\\.servicebus.windows.net/$hc/hyco", "contoso.servicebus.windows.net",
         443, false},
        /* A domain of one label is everybody's; an address has no domain. */
        {"wss://evil.example/$hc/hyco", "relay.example", 443, false},
        {"wss://9.0.0.1/$hc/hyco", "127.0.0.1", 443, false},
        {"wss://localhost/$hc/hyco", "contoso.servicebus.windows.net", 443, false},
        {"", "contoso.servicebus.windows.net", 443, false},
        {"not an address", "contoso.servicebus.windows.net", 443, false},
    };

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(cases); i++)
        if (address_is_allowed(cases[i].address, cases[i].host, cases[i].port) != cases[i].allowed)
            fail_msg("%s for %s:%u: expected %s", cases[i].address, cases[i].host, cases[i].port,
                     cases[i].allowed ? "yes" : "no");
}

static void a_refusal_is_told_in_the_address(void **state) {
    _cleanup_free_ char *refusal =
        address_for_refusal("wss://h/$hc/p?sb-hc-id=1", 501, "HTTP only");

    (void) state;

    assert_string_equal(refusal, "wss://h/$hc/p?sb-hc-id=1&sb-hc-statusCode=501"
                                 "&sb-hc-statusDescription=HTTP%20only");
}

/* ---- The ladder ------------------------------------------------------------------------------ */

#define NO_JITTER 20 /* 80 % + 20 % */

static void assert_waits(backoff *b, const backoff_end *end, const unsigned *seconds, size_t n) {
    for (size_t i = 0; i < n; i++)
        assert_int_equal(backoff_next(b, end, NO_JITTER), seconds[i] * USEC_PER_SEC);
}

static void lost_connections_climb_the_ladder_for_ever(void **state) {
    static const unsigned expected[] = {0, 1, 2, 5, 10, 30, 30, 30};
    backoff b = {0};

    (void) state;

    assert_waits(&b, &(backoff_end){0}, expected, ELEMENTSOF(expected));
    /* Up for a moment only: it goes on where it was. */
    assert_int_equal(backoff_next(&b, &(backoff_end){.up = 59 * USEC_PER_SEC}, NO_JITTER),
                     30 * USEC_PER_SEC);
    /* Up for a minute: from the beginning. */
    assert_int_equal(backoff_next(&b, &(backoff_end){.up = 60 * USEC_PER_SEC}, NO_JITTER), 0);
    assert_waits(&b, &(backoff_end){0}, expected + 1, ELEMENTSOF(expected) - 1);
}

static void refusals_are_tried_slowly(void **state) {
    static const unsigned expected[] = {30, 60, 120, 300, 300};
    static const int statuses[] = {403, 404};

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(statuses); i++) {
        backoff b = {0};

        assert_waits(&b, &(backoff_end){.status = statuses[i]}, expected, ELEMENTSOF(expected));
    }
}

static void a_new_token_is_tried_at_once_and_once_only(void **state) {
    static const unsigned unauthorised[] = {0, 30, 60, 120, 300};
    static const unsigned expired[] = {0, 0, 1, 2};
    backoff b = {0};

    (void) state;

    assert_waits(&b, &(backoff_end){.status = 401}, unauthorised, ELEMENTSOF(unauthorised));
    b = (backoff){0};
    assert_waits(&b, &(backoff_end){.close_code = 1008, .up = 1}, expired, ELEMENTSOF(expired));
    /* A token that ran out after an hour is nobody's fault. */
    assert_int_equal(
        backoff_next(&b, &(backoff_end){.close_code = 1008, .up = USEC_PER_HOUR}, NO_JITTER), 0);
}

static void jitter_is_a_fifth_at_most(void **state) {
    usec_t least = USEC_INFINITY, most = 0;

    (void) state;

    for (uint32_t random = 0; random < 1000; random++) {
        backoff b = {.failures = 5};
        usec_t wait = backoff_next(&b, &(backoff_end){0}, random * 2654435761u);

        least = wait < least ? wait : least;
        most = wait > most ? wait : most;
    }
    assert_int_equal(least, 24 * USEC_PER_SEC);
    assert_int_equal(most, 36 * USEC_PER_SEC);
}

/* ---- The order of frames --------------------------------------------------------------------- */

/* A socket that takes `room` bytes and writes down what it was given. */
typedef struct wire {
    size_t room;
    unsigned long next_left; /* of a frame that was taken in part; 0: none */
    unsigned next_flags;
    char log[4096];
} wire;

static CURLcode take(const void *data, size_t size, unsigned flags, size_t *ret_taken,
                     void *userdata) {
    wire *w = userdata;
    size_t n = size < w->room ? size : w->room;
    const char *name = flags & CURLWS_CLOSE  ? "CLOSE"
                       : flags & CURLWS_PING ? "PING"
                       : flags & CURLWS_PONG ? "PONG"
                       : flags & CURLWS_TEXT ? "TEXT"
                                             : "BINARY";

    (void) data;

    /* What libcurl insists on: the rest of a frame that was begun, and nothing else. */
    if (w->next_left > 0) {
        assert_int_equal(size, w->next_left);
        assert_int_equal(flags, w->next_flags);
    }

    if (n == 0 && size > 0) {
        w->next_left = size;
        w->next_flags = flags;
        return CURLE_AGAIN;
    }

    w->room -= n;
    w->next_left = size - n;
    w->next_flags = flags;
    if (n == size)
        (void) snprintf(w->log + strlen(w->log), sizeof(w->log) - strlen(w->log), "%s%s ", name,
                        flags & CURLWS_CONT ? "+" : "");
    *ret_taken = n;
    return CURLE_OK;
}

static void count(bool sent, void *userdata) {
    int *counts = userdata;

    counts[sent ? 1 : 0]++;
}

static void control_frames_never_split_a_frame(void **state) {
    static const char body[40 * 1024];
    wire w = {.room = 1000};
    frame_queue q = {0};
    int counts[2] = {0};
    size_t taken;

    (void) state;

    assert_int_equal(frame_queue_push(&q, "{}", 2, body, sizeof(body), count, counts), 0);
    assert_int_equal(frame_queue_flush(&q, take, &w, &taken), CURLE_AGAIN);
    assert_int_equal(taken, 1000);

    /* The socket is full in the middle of a frame: PONG waits, and only the last one is kept. */
    frame_queue_pong(&q, "1", 1);
    frame_queue_pong(&q, "2", 1);
    frame_queue_ping(&q, NULL, 0);
    assert_int_equal(frame_queue_flush(&q, take, &w, &taken), CURLE_AGAIN);
    assert_int_equal(counts[1], 0);

    w.room = SIZE_MAX;
    assert_int_equal(frame_queue_flush(&q, take, &w, &taken), CURLE_OK);
    assert_string_equal(w.log, "TEXT BINARY+ PONG PING BINARY+ BINARY ");
    assert_int_equal(counts[1], 1);
    assert_true(frame_queue_is_empty(&q));
    assert_int_equal(q.bytes, 0);
}

static void messages_stay_in_pairs(void **state) {
    wire w = {.room = SIZE_MAX};
    frame_queue q = {0};
    size_t taken;

    (void) state;

    assert_int_equal(frame_queue_push(&q, "{}", 2, "body", 4, NULL, NULL), 0);
    assert_int_equal(frame_queue_push(&q, "{}", 2, NULL, 0, NULL, NULL), 0);
    assert_int_equal(frame_queue_push(&q, "{}", 2, "body", 4, NULL, NULL), 0);
    frame_queue_close(&q, 1000, "", false);
    assert_int_equal(frame_queue_flush(&q, take, &w, &taken), CURLE_OK);
    assert_string_equal(w.log, "TEXT BINARY TEXT TEXT BINARY CLOSE ");
}

static void nothing_follows_a_close(void **state) {
    wire w = {.room = 1};
    frame_queue q = {0};
    int counts[2] = {0};
    size_t taken;

    (void) state;

    assert_int_equal(frame_queue_push(&q, "{}", 2, "body", 4, count, counts), 0);
    assert_int_equal(frame_queue_push(&q, "{}", 2, NULL, 0, count, counts), 0);
    assert_int_equal(frame_queue_flush(&q, take, &w, &taken), CURLE_AGAIN);

    frame_queue_close(&q, 1001, "", true);
    frame_queue_pong(&q, "1", 1);
    w.room = SIZE_MAX;
    assert_int_equal(frame_queue_flush(&q, take, &w, &taken), CURLE_OK);
    assert_string_equal(w.log, "TEXT CLOSE ");
    /* Both owners know that their messages did not get out. */
    assert_int_equal(counts[0], 2);
    assert_true(frame_queue_is_empty(&q));
}

static void what_is_dropped_is_told(void **state) {
    frame_queue q = {0};
    int counts[2] = {0};

    (void) state;

    assert_int_equal(frame_queue_push(&q, "{}", 2, "body", 4, count, counts), 0);
    frame_queue_clear(&q);
    assert_int_equal(counts[0], 1);
    assert_true(frame_queue_is_empty(&q));
}

/* ---- Texts of the relay ---------------------------------------------------------------------- */

static void what_varies_is_cut_off_the_relays_texts(void **state) {
    char id[TRACKING_ID_MAX] = "";
    _cleanup_free_ char *text = NULL, *plain = NULL;

    (void) state;

    assert_int_equal(
        tracking_split("401 The token has an invalid signature. TrackingId:0c1a-22_G3, "
                       "SystemTracker:sb://x/y, Timestamp:2026-01-01T00:00:00",
                       &text, id),
        0);
    assert_string_equal(text, "401 The token has an invalid signature");
    assert_string_equal(id, "0c1a-22_G3");

    id[0] = '\0';
    assert_int_equal(tracking_split("503 Busy\r\n", &plain, id), 0);
    assert_string_equal(plain, "503 Busy");
    assert_string_equal(id, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_are_those_of_microsofts_clients),
        cmocka_unit_test(a_token_is_for_the_form_with_a_slash_at_its_end),
        cmocka_unit_test(only_the_relays_own_addresses_are_connected_to),
        cmocka_unit_test(a_refusal_is_told_in_the_address),
        cmocka_unit_test(lost_connections_climb_the_ladder_for_ever),
        cmocka_unit_test(refusals_are_tried_slowly),
        cmocka_unit_test(a_new_token_is_tried_at_once_and_once_only),
        cmocka_unit_test(jitter_is_a_fifth_at_most),
        cmocka_unit_test(control_frames_never_split_a_frame),
        cmocka_unit_test(messages_stay_in_pairs),
        cmocka_unit_test(nothing_follows_a_close),
        cmocka_unit_test(what_is_dropped_is_told),
        cmocka_unit_test(what_varies_is_cut_off_the_relays_texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
