/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/http_fetch.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/curl_fault.h"
#include "agent/base/text.h"

struct http_fetch {
    curl_glue *glue;
    CURL *easy;
    struct curl_slist *headers;
    char *host; /* for messages */
    char *body; /* the answer's */
    size_t size, limit;
    usec_t timeout;
    bool too_large;
    http_fetch_done_fn done;
    void *userdata;
    bool *freed; /* set where `done` frees us */
    char error[CURL_ERROR_SIZE];
};

static size_t on_body(char *data, size_t one, size_t size, void *userdata) {
    http_fetch *f = userdata;
    char *larger;

    (void) one;

    if (size > f->limit - f->size) {
        f->too_large = true;
        return CURL_WRITEFUNC_ERROR;
    }

    larger = realloc(f->body, f->size + size + 1);
    if (!larger)
        return CURL_WRITEFUNC_ERROR;

    memcpy(larger + f->size, data, size);
    f->body = larger;
    f->size += size;
    f->body[f->size] = '\0';
    return size;
}

static char *describe(http_fetch *f, CURLcode result) {
    curl_fault fault = curl_fault_of(f->easy, result, f->error);

    return f->too_large ? text_format("%s sent more than %zu bytes", f->host, f->limit)
                        : curl_fault_describe(&fault, f->host, f->timeout);
}

static void on_done(CURL *easy, CURLcode result, void *userdata) {
    http_fetch *f = userdata;
    _cleanup_free_ char *why = NULL;
    bool freed = false;
    long status = 0;

    (void) curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    if (result != CURLE_OK) {
        why = describe(f, result);
        status = 0;
    }

    f->freed = &freed;
    f->done(result == CURLE_OK ? NULL : (why ? why : "out of memory"), status,
            f->body ? f->body : "", f->size, f->userdata);
    if (!freed) {
        f->freed = NULL;
        (void) http_fetch_free(f);
    }
}

/* "issuer.example:8443", malloc(3)ed, without user and password, which an issuer may have put into
 * the address of its keys. Where it is no URL, libcurl will say so. */
static char *host_of(const char *url) {
    const char *scheme_end = strstr(url, "://");
    const char *host = scheme_end ? scheme_end + strlen("://") : url;
    size_t n = strcspn(host, "/?#");
    const char *at = memrchr(host, '@', n);

    return at ? strndup(at + 1, n - (size_t) (at + 1 - host)) : strndup(host, n);
}

static CURLcode set_options(http_fetch *f, const http_fetch_options *o) {
    CURLcode r = CURLE_OK;

#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (r == CURLE_OK)                                                                         \
            r = curl_easy_setopt(f->easy, option, value);                                          \
    } while (0)

    SET(CURLOPT_URL, o->url);
    SET(CURLOPT_PROTOCOLS_STR, "https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_TIMEOUT_MS, (long) (o->timeout / USEC_PER_MSEC));
    SET(CURLOPT_ERRORBUFFER, f->error);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, f);
    SET(CURLOPT_USERAGENT, PACKAGE_NAME "/" PACKAGE_VERSION);
    /* An empty string also shuts the environment's proxies out. */
    SET(CURLOPT_PROXY, o->proxy ? o->proxy : "");
    SET(CURLOPT_HEADEROPT, (long) CURLHEADER_SEPARATE);
    SET(CURLOPT_FORBID_REUSE, o->is_secret ? 1L : 0L);
    if (o->ca_file)
        SET(CURLOPT_CAINFO, o->ca_file);
    if (o->ca_file)
        SET(CURLOPT_CAPATH, NULL);
    if (o->body)
        SET(CURLOPT_COPYPOSTFIELDS, o->body);
    if (f->headers)
        SET(CURLOPT_HTTPHEADER, f->headers);
#undef SET

    return r;
}

/* Copies stand in memory that is wiped when it is freed (agent/base/wipe.c). */
static int add_header(http_fetch *f, const char *name, const char *value) {
    _cleanup_free_ char *header = NULL;
    struct curl_slist *longer;

    if (asprintf(&header, "%s: %s", name, value) < 0) {
        header = NULL;
        return -ENOMEM;
    }

    longer = curl_slist_append(f->headers, header);
    if (!longer)
        return -ENOMEM;

    f->headers = longer;
    return 0;
}

static int add_bearer(http_fetch *f, const secret *token) {
    _cleanup_free_ char *value = NULL;

    if (asprintf(&value, "Bearer %s", secret_data(token)) < 0) {
        value = NULL;
        return -ENOMEM;
    }
    return add_header(f, "Authorization", value);
}

int http_fetch_start(curl_glue *glue, const http_fetch_options *options, http_fetch_done_fn done,
                     void *userdata, http_fetch **ret) {
    _cleanup_(http_fetch_freep) http_fetch *f = NULL;
    int r;

    assert(glue);
    assert(options);
    assert(options->url);
    assert(done);
    assert(ret);

    f = calloc(1, sizeof(http_fetch));
    if (!f)
        return -ENOMEM;

    f->limit = options->limit;
    f->timeout = options->timeout;
    f->done = done;
    f->userdata = userdata;
    f->host = host_of(options->url);
    if (!f->host)
        return -ENOMEM;

    if (options->body && options->content_type) {
        r = add_header(f, "Content-Type", options->content_type);
        if (r < 0)
            return r;
    }
    if (options->bearer) {
        r = add_bearer(f, options->bearer);
        if (r < 0)
            return r;
    }

    f->easy = curl_easy_init();
    if (!f->easy || set_options(f, options) != CURLE_OK)
        return -ENOMEM;

    r = curl_glue_add(glue, f->easy, on_done, f);
    if (r < 0)
        return r;

    f->glue = glue;
    *ret = TAKE_PTR(f);
    return 0;
}

usec_t http_fetch_retry_after(const http_fetch *f) {
    curl_off_t seconds = 0;

    assert(f);

    /* Where it names a date, libcurl has counted the seconds until then. */
    if (curl_easy_getinfo(f->easy, CURLINFO_RETRY_AFTER, &seconds) != CURLE_OK || seconds <= 0)
        return 0;
    return (usec_t) seconds * USEC_PER_SEC;
}

clock_reading http_fetch_clock(const http_fetch *f) {
    assert(f);
    return curl_glue_peer_clock(f->easy);
}

http_fetch *http_fetch_free(http_fetch *f) {
    if (!f)
        return NULL;

    if (f->freed)
        *f->freed = true;
    if (f->glue)
        curl_glue_remove(f->glue, f->easy);
    curl_easy_cleanup(f->easy);
    curl_slist_free_all(f->headers);
    free(f->host);
    free(f->body);
    free(f);
    return NULL;
}
