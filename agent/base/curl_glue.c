/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/curl_glue.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* One transfer in the multi; its easy handle's CURLOPT_PRIVATE. */
typedef struct transfer {
    CURL *easy;
    curl_glue_done_fn done;
    void *userdata;
} transfer;

struct curl_glue {
    sd_event *event;
    CURLM *multi;
    sd_event_source *timer;
    /* Finished transfers are told from here, one a turn of the loop: never from inside libcurl, and
     * never from inside a call of ours that made libcurl finish one. */
    sd_event_source *finished;
};

int curl_glue_check_library(char **ret_why) {
    const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);
    bool speaks_wss = false;

    assert(ret_why);

    for (const char *const *p = info->protocols; *p; p++)
        if (strcasecmp(*p, "wss") == 0)
            speaks_wss = true;

    if (speaks_wss && info->version_num >= CURL_VERSION_NEEDED)
        return 0;

    if (asprintf(ret_why,
                 "libcurl %s %s; version 8.14.1 with the wss protocol is needed (on Debian 12: apt "
                 "install -t bookworm-backports libcurl4)",
                 info->version, speaks_wss ? "is too old" : "does not speak wss") < 0)
        *ret_why = NULL;
    return -ENOSYS;
}

static int on_finished(sd_event_source *source, void *userdata) {
    curl_glue *g = userdata;
    CURLMsg *message;
    int left;

    (void) source;

    do {
        message = curl_multi_info_read(g->multi, &left);
        if (!message)
            return 0;
    } while (message->msg != CURLMSG_DONE);

    /* More of them wait their turn. */
    if (left > 0)
        (void) sd_event_source_set_enabled(g->finished, SD_EVENT_ONESHOT);

    transfer *t = NULL;
    CURL *easy = message->easy_handle;
    CURLcode result = message->data.result;

    (void) curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **) &t);
    if (t && t->done) {
        curl_glue_done_fn done = t->done;

        t->done = NULL;
        done(easy, result, t->userdata);
    }
    return 0;
}

static void drive(curl_glue *g, curl_socket_t fd, int what) {
    int running;

    (void) curl_multi_socket_action(g->multi, fd, what, &running);
    (void) sd_event_source_set_enabled(g->finished, SD_EVENT_ONESHOT);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
    int what = 0;

    (void) source;

    if (revents & (EPOLLIN | EPOLLHUP))
        what |= CURL_CSELECT_IN;
    if (revents & EPOLLOUT)
        what |= CURL_CSELECT_OUT;
    if (revents & EPOLLERR)
        what |= CURL_CSELECT_ERR;

    drive(userdata, fd, what);
    return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
    (void) source;
    (void) usec;

    drive(userdata, CURL_SOCKET_TIMEOUT, 0);
    return 0;
}

static int socket_callback(CURL *easy, curl_socket_t fd, int what, void *userdata, void *socketp) {
    curl_glue *g = userdata;
    sd_event_source *source = socketp;
    uint32_t events = 0;

    (void) easy;

    if (what == CURL_POLL_REMOVE) {
        (void) curl_multi_assign(g->multi, fd, NULL);
        (void) sd_event_source_disable_unref(source);
        return 0;
    }

    if (what & CURL_POLL_IN)
        events |= EPOLLIN;
    if (what & CURL_POLL_OUT)
        events |= EPOLLOUT;

    if (source)
        return sd_event_source_set_io_events(source, events) < 0 ? -1 : 0;

    if (sd_event_add_io(g->event, &source, fd, events, on_io, g) < 0)
        return -1;

    (void) sd_event_source_set_description(source, "curl-io");
    (void) curl_multi_assign(g->multi, fd, source);
    return 0;
}

static int timer_callback(CURLM *multi, long milliseconds, void *userdata) {
    curl_glue *g = userdata;

    (void) multi;

    if (milliseconds < 0)
        return sd_event_source_set_enabled(g->timer, SD_EVENT_OFF) < 0 ? -1 : 0;

    if (sd_event_source_set_time_relative(g->timer, (usec_t) milliseconds * USEC_PER_MSEC) < 0)
        return -1;

    return sd_event_source_set_enabled(g->timer, SD_EVENT_ONESHOT) < 0 ? -1 : 0;
}

static int set_up_sources(curl_glue *g) {
    int r;

    r = sd_event_add_time(g->event, &g->timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_timer, g);
    if (r < 0)
        return r;
    (void) sd_event_source_set_description(g->timer, "curl-timer");
    r = sd_event_source_set_enabled(g->timer, SD_EVENT_OFF);
    if (r < 0)
        return r;

    r = sd_event_add_defer(g->event, &g->finished, on_finished, g);
    if (r < 0)
        return r;
    (void) sd_event_source_set_description(g->finished, "curl-finished");
    return sd_event_source_set_enabled(g->finished, SD_EVENT_OFF);
}

int curl_glue_new(sd_event *event, curl_glue **ret) {
    _cleanup_(curl_glue_freep) curl_glue *g = NULL;
    int r;

    assert(event);
    assert(ret);

    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return -EIO;

    g = calloc(1, sizeof(curl_glue));
    if (!g)
        return -ENOMEM;

    g->event = sd_event_ref(event);
    r = set_up_sources(g);
    if (r < 0)
        return r;

    g->multi = curl_multi_init();
    if (!g->multi)
        return -ENOMEM;

    if (curl_multi_setopt(g->multi, CURLMOPT_SOCKETFUNCTION, socket_callback) != CURLM_OK ||
        curl_multi_setopt(g->multi, CURLMOPT_SOCKETDATA, g) != CURLM_OK ||
        curl_multi_setopt(g->multi, CURLMOPT_TIMERFUNCTION, timer_callback) != CURLM_OK ||
        curl_multi_setopt(g->multi, CURLMOPT_TIMERDATA, g) != CURLM_OK ||
        curl_multi_setopt(g->multi, CURLMOPT_MAXCONNECTS, 100L) != CURLM_OK)
        return -EIO;

    *ret = TAKE_PTR(g);
    return 0;
}

curl_glue *curl_glue_free(curl_glue *g) {
    if (!g)
        return NULL;

    if (g->multi)
        (void) curl_multi_cleanup(g->multi);
    (void) sd_event_source_disable_unref(g->timer);
    (void) sd_event_source_disable_unref(g->finished);
    (void) sd_event_unref(g->event);
    free(g);
    return NULL;
}

int curl_glue_add(curl_glue *g, CURL *easy, curl_glue_done_fn done, void *userdata) {
    transfer *t;

    assert(g);
    assert(easy);
    assert(done);

    t = malloc(sizeof(transfer));
    if (!t)
        return -ENOMEM;

    *t = (transfer){.easy = easy, .done = done, .userdata = userdata};

    /* libcurl resolves names in a thread, which it waits for even where the transfer has timed out,
     * and a name server that says nothing holds that thread for half a minute and more. With this
     * it leaves the thread behind, which cleans up after itself. */
    if (curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_PRIVATE, t) != CURLE_OK ||
        curl_multi_add_handle(g->multi, easy) != CURLM_OK) {
        (void) curl_easy_setopt(easy, CURLOPT_PRIVATE, NULL);
        free(t);
        return -EIO;
    }
    return 0;
}

void curl_glue_remove(curl_glue *g, CURL *easy) {
    transfer *t = NULL;

    assert(g);
    assert(easy);

    (void) curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **) &t);
    if (!t)
        return;

    (void) curl_multi_remove_handle(g->multi, easy);
    (void) curl_easy_setopt(easy, CURLOPT_PRIVATE, NULL);
    free(t);
}

clock_reading curl_glue_peer_clock(CURL *easy) {
    struct curl_header *header;
    time_t date;

    assert(easy);

    /* An accepted Upgrade is an answer of the 1xx range. */
    if (curl_easy_header(easy, "Date", 0, CURLH_HEADER | CURLH_1XX, -1, &header) != CURLHE_OK)
        return (clock_reading){0};

    date = curl_getdate(header->value, NULL);
    return clock_read(date > 0 ? (usec_t) date * USEC_PER_SEC : 0);
}
