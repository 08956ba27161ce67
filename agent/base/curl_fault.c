/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/curl_fault.h"

#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/text.h"

static bool has_time(CURL *easy, CURLINFO info) {
    curl_off_t time = 0;

    return curl_easy_getinfo(easy, info, &time) == CURLE_OK && time > 0;
}

curl_fault curl_fault_of(CURL *easy, CURLcode result, const char *text) {
    curl_fault f = {.result = result, .text = text};
    long by_proxy = 0;

    (void) curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &f.os_error);
    (void) curl_easy_getinfo(easy, CURLINFO_HTTP_CONNECTCODE, &f.proxy_status);
    (void) curl_easy_getinfo(easy, CURLINFO_USED_PROXY, &by_proxy);
    f.by_proxy = by_proxy != 0;

    /* A connection that was there already has the last of these times only. */
    f.has_tls =
        has_time(easy, CURLINFO_APPCONNECT_TIME_T) || has_time(easy, CURLINFO_PRETRANSFER_TIME_T);
    f.is_connected = f.has_tls || has_time(easy, CURLINFO_CONNECT_TIME_T);
    f.is_resolved = f.is_connected || has_time(easy, CURLINFO_NAMELOOKUP_TIME_T);
    return f;
}

static char *describe_timeout(const curl_fault *f, const char *where, usec_t patience) {
    const char *proxy = f->by_proxy ? "the proxy for " : "";
    char span[USEC_TEXT_MAX];

    (void) usec_describe(patience, span);
    if (!f->is_resolved)
        return text_format("the name of %s%s did not resolve within %s", proxy, where, span);
    if (!f->is_connected)
        return text_format("no connection to %s%s within %s", proxy, where, span);
    if (!f->has_tls)
        return text_format("no TLS session with %s%s within %s", where,
                           f->by_proxy ? " through the proxy" : "", span);
    return text_format("%s did not answer within %s", where, span);
}

char *curl_fault_describe(const curl_fault *f, const char *where, usec_t patience) {
    const char *own = curl_easy_strerror(f->result);
    const char *proxy = f->by_proxy ? "the proxy for " : "";

    assert(f->text);
    assert(where);

    if (f->proxy_status >= 300)
        return text_format("the proxy answered %ld for %s", f->proxy_status, where);

    switch (f->result) {
    case CURLE_OPERATION_TIMEDOUT:
        return describe_timeout(f, where, patience);
    case CURLE_COULDNT_CONNECT:
        return text_format("no connection to %s%s: %s", proxy, where,
                           f->os_error ? strerrordesc_np((int) f->os_error) : own);
    case CURLE_COULDNT_RESOLVE_PROXY:
        return text_format("the name of the proxy for %s does not resolve", where);
    case CURLE_PARTIAL_FILE:
    case CURLE_HTTP2_STREAM:
        return text_format("%s broke its answer off", where);
    case CURLE_HTTP2:
    case CURLE_TOO_LARGE:
    case CURLE_WRITE_ERROR:
        return text_format("%s: %s", where, own);
    default:
        return text_format("%s: %s", where, f->text[0] ? f->text : own);
    }
}
