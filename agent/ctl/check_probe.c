/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "agent/base/clock.h"
#include "agent/base/text.h"
#include "agent/ctl/check.h"
#include "agent/ctl/say.h"

#define PATIENCE_MS 10000L
/* What a server says to GET / is of no interest; so much of it is read and thrown away. */
#define BODY_MAX ((size_t) 1024 * 1024)

struct check_probe {
    curl_glue *glue;
    CURL *easy;
    bool is_done;
    char *why; /* NULL: answered */
    size_t size;
    clock_reading clock;
    usec_t began, ended; /* CLOCK_MONOTONIC */
    char error[CURL_ERROR_SIZE];
};

static size_t on_header(char *line, size_t one, size_t size, void *userdata) {
    check_probe *p = userdata;
    static const char name[] = "Date:";
    _cleanup_free_ char *value = NULL;
    time_t date;

    (void) one;

    if (size > strlen(name) && strncasecmp(line, name, strlen(name)) == 0) {
        value = strndup(line + strlen(name), size - strlen(name));
        date = value ? curl_getdate(value, NULL) : 0;
        p->clock = clock_read(date > 0 ? (usec_t) date * USEC_PER_SEC : 0);
    }
    return size;
}

static size_t on_body(char *data, size_t one, size_t size, void *userdata) {
    check_probe *p = userdata;

    (void) data;
    (void) one;

    p->size += size;
    return p->size > BODY_MAX ? CURL_WRITEFUNC_ERROR : size;
}

static void on_done(CURL *easy, CURLcode result, void *userdata) {
    check_probe *p = userdata;
    long proxy_status = 0;

    p->is_done = true;
    p->ended = now_monotonic();
    (void) curl_easy_getinfo(easy, CURLINFO_HTTP_CONNECTCODE, &proxy_status);

    /* An answer is an answer, however it goes on. */
    if (result == CURLE_OK || p->size > BODY_MAX)
        return;
    if (proxy_status >= 300)
        p->why = text_format("the proxy answered %ld", proxy_status);
    else
        p->why = text_format("%s", p->error[0] ? p->error : curl_easy_strerror(result));
}

static CURLcode set_up(check_probe *p, const char *url, const char *ca_file, const char *proxy) {
    CURLcode code = CURLE_OK;

#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (code == CURLE_OK)                                                                      \
            code = curl_easy_setopt(p->easy, option, value);                                       \
    } while (0)

    SET(CURLOPT_URL, url);
    SET(CURLOPT_PROTOCOLS_STR, "https");
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_TIMEOUT_MS, PATIENCE_MS);
    SET(CURLOPT_ERRORBUFFER, p->error);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, p);
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, p);
    SET(CURLOPT_USERAGENT, PACKAGE_NAME "/" PACKAGE_VERSION);
    /* An empty string also shuts the environment's proxies out. */
    SET(CURLOPT_PROXY, proxy ? proxy : "");
    if (ca_file)
        SET(CURLOPT_CAINFO, ca_file);
    if (ca_file)
        SET(CURLOPT_CAPATH, NULL);
#undef SET
    return code;
}

int check_probe_begin(curl_glue *glue, const char *url, const char *ca_file, const char *proxy,
                      check_probe **ret) {
    _cleanup_(check_probe_freep) check_probe *p = calloc(1, sizeof(check_probe));
    int r;

    if (!p || !(p->easy = curl_easy_init()) || set_up(p, url, ca_file, proxy) != CURLE_OK)
        return -ENOMEM;

    p->began = now_monotonic();
    r = curl_glue_add(glue, p->easy, on_done, p);
    if (r < 0)
        return r;
    p->glue = glue;
    *ret = TAKE_PTR(p);
    return 0;
}

check_probe *check_probe_free(check_probe *p) {
    if (!p)
        return NULL;

    if (p->glue)
        curl_glue_remove(p->glue, p->easy);
    curl_easy_cleanup(p->easy);
    free(p->why);
    free(p);
    return NULL;
}

bool check_probe_is_done(const void *probe) {
    return ((const check_probe *) probe)->is_done;
}

const char *check_probe_error(const check_probe *p) {
    return p->is_done ? p->why : "no answer within 10 s";
}

usec_t check_probe_duration(const check_probe *p) {
    return p->is_done ? p->ended - p->began : 0;
}

const clock_reading *check_probe_clock(const check_probe *p) {
    return &p->clock;
}
