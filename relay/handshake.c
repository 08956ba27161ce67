/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/handshake.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "agent/base/curl_fault.h"
#include "agent/base/curl_glue.h"
#include "agent/base/encoding.h"

/* Unacknowledged data for this long means that the peer is gone. */
#define TCP_TIMEOUT (30 * USEC_PER_SEC)
#define TCP_IDLE_SECONDS 30L
#define TCP_PROBE_SECONDS 10L

int tracking_split(const char *text, char **ret_text, char ret_id[static TRACKING_ID_MAX]) {
    static const char label[] = "TrackingId:";
    const char *tracking;
    size_t size;

    assert(text);
    assert(ret_text);

    tracking = strstr(text, label);
    size = tracking ? (size_t) (tracking - text) : strlen(text);
    while (size > 0 && strchr(" .,\r\n", text[size - 1]))
        size--;

    *ret_text = strndup(text, size);
    if (!*ret_text)
        return -ENOMEM;

    if (tracking) {
        tracking += strlen(label);
        (void) snprintf(ret_id, TRACKING_ID_MAX, "%.*s", (int) strcspn(tracking, ", \r\n"),
                        tracking);
    }
    return 0;
}

/* Where `line` is the header `name`, its value without white space around it, else NULL. */
static const char *header_value(const char *line, size_t size, const char *name, size_t *ret_size) {
    size_t length = strlen(name);

    if (size <= length || strncasecmp(line, name, length) != 0 || line[length] != ':')
        return NULL;

    line += length + 1;
    size -= length + 1;
    while (size > 0 && strchr(" \t", line[0])) {
        line++;
        size--;
    }
    while (size > 0 && strchr(" \t\r\n", line[size - 1]))
        size--;

    *ret_size = size;
    return line;
}

static size_t on_header(char *line, size_t one, size_t size, void *userdata) {
    handshake *h = userdata;
    static const char version[] = "HTTP/1.1 ";
    const char *value;
    size_t n;

    (void) one;

    if (size > strlen(version) && strncmp(line, version, strlen(version)) == 0)
        (void) snprintf(h->answer, sizeof(h->answer), "%.*s", (int) (size - strlen(version)),
                        line + strlen(version));
    else if ((value = header_value(line, size, "Sec-WebSocket-Accept", &n)))
        h->accepted = n == strlen(h->accept) && memcmp(value, h->accept, n) == 0;
    else if (header_value(line, size, "Sec-WebSocket-Extensions", &n) ||
             header_value(line, size, "Sec-WebSocket-Protocol", &n))
        h->unwanted = true;
    else if ((value = header_value(line, size, "TrackingId", &n)))
        (void) snprintf(h->tracking_id, sizeof(h->tracking_id), "%.*s", (int) n, value);

    return size;
}

static int on_socket(void *userdata, curl_socket_t fd, curlsocktype purpose) {
    unsigned milliseconds = (unsigned) (TCP_TIMEOUT / USEC_PER_MSEC);

    (void) userdata;
    (void) purpose;

    return setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds, sizeof(milliseconds)) < 0
               ? CURL_SOCKOPT_ERROR
               : CURL_SOCKOPT_OK;
}

/* RFC 6455 section 4.2.2 */
static int make_key(handshake *h) {
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    _cleanup_free_ char *key = NULL, *accept = NULL;
    unsigned char nonce[16], digest[EVP_MAX_MD_SIZE];
    char text[sizeof(h->key) + sizeof(guid)];
    unsigned size = 0;

    if (RAND_bytes(nonce, sizeof(nonce)) != 1)
        return -EIO;

    key = base64_encode(nonce, sizeof(nonce));
    if (!key)
        return -ENOMEM;

    (void) snprintf(h->key, sizeof(h->key), "%s", key);
    (void) snprintf(text, sizeof(text), "%s%s", h->key, guid);
    if (EVP_Digest(text, strlen(text), digest, &size, EVP_sha1(), NULL) != 1)
        return -EIO;

    accept = base64_encode(digest, size);
    if (!accept)
        return -ENOMEM;

    (void) snprintf(h->accept, sizeof(h->accept), "%s", accept);
    return 0;
}

static int add_header(handshake *h, const char *name, const char *value) {
    struct curl_slist *longer;
    char *header;

    if (asprintf(&header, "%s: %s", name, value) < 0)
        return -ENOMEM;

    longer = curl_slist_append(h->headers, header);
    OPENSSL_cleanse(header, strlen(header));
    free(header);
    if (!longer)
        return -ENOMEM;

    h->headers = longer;
    return 0;
}

static int make_headers(handshake *h, const char *authorization) {
    int r;

    r = make_key(h);
    if (r < 0)
        return r;

    r = add_header(h, "Sec-WebSocket-Key", h->key);
    if (r == 0 && authorization)
        r = add_header(h, "ServiceBusAuthorization", authorization);
    return r;
}

/* The headers hold a token. */
static void forget_headers(handshake *h) {
    for (struct curl_slist *s = h->headers; s; s = s->next)
        OPENSSL_cleanse(s->data, strlen(s->data));

    curl_slist_free_all(h->headers);
    h->headers = NULL;
}

static CURLcode set_options(handshake *h, CURL *easy, const handshake_options *o) {
    CURLcode r = CURLE_OK;

#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (r == CURLE_OK)                                                                         \
            r = curl_easy_setopt(easy, option, value);                                             \
    } while (0)

    SET(CURLOPT_URL, o->url);
    SET(CURLOPT_PROTOCOLS_STR, "wss");
    SET(CURLOPT_CONNECT_ONLY, 2L);
    /* libcurl's own PONG breaks a frame that was begun. */
    SET(CURLOPT_WS_OPTIONS, (long) CURLWS_NOAUTOPONG);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_TIMEOUT_MS, (long) (HANDSHAKE_TIMEOUT / USEC_PER_MSEC));
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long) (HANDSHAKE_TIMEOUT / USEC_PER_MSEC));
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_TCP_KEEPIDLE, TCP_IDLE_SECONDS);
    SET(CURLOPT_TCP_KEEPINTVL, TCP_PROBE_SECONDS);
    SET(CURLOPT_SOCKOPTFUNCTION, on_socket);
    SET(CURLOPT_ERRORBUFFER, h->error);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, h);
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    SET(CURLOPT_USERAGENT, PACKAGE_NAME "/" PACKAGE_VERSION);
    SET(CURLOPT_HTTPHEADER, h->headers);
    /* A proxy must not see the relay's token. */
    SET(CURLOPT_HEADEROPT, (long) CURLHEADER_SEPARATE);
    /* An empty string also shuts the environment's proxies out. */
    SET(CURLOPT_PROXY, o->proxy ? o->proxy : "");
    if (o->ca_file)
        SET(CURLOPT_CAINFO, o->ca_file);
    if (o->ca_file)
        SET(CURLOPT_CAPATH, NULL);
#undef SET

    return r;
}

int handshake_prepare(handshake *h, CURL *easy, const handshake_options *options) {
    const char *host;
    int r;

    assert(h);
    assert(easy);
    assert(options);
    assert(options->url);

    host = strstr(options->url, "://");
    if (!host)
        return -EINVAL;
    host += strlen("://");

    h->where = strndup(host, strcspn(host, "/?#"));
    if (!h->where)
        return -ENOMEM;

    r = make_headers(h, options->authorization);
    if (r < 0)
        return r;

    return set_options(h, easy, options) == CURLE_OK ? 0 : -ENOMEM;
}

static int describe_refusal(handshake *h, char **ret_why) {
    _cleanup_free_ char *text = NULL;
    int r;

    r = tracking_split(h->answer, &text, h->tracking_id);
    if (r < 0)
        return r;

    return asprintf(ret_why, "%s answered %s", h->where, text) < 0 ? -ENOMEM : 0;
}

static int describe_failure(handshake *h, CURL *easy, CURLcode result, char **ret_why) {
    curl_fault fault = curl_fault_of(easy, result, h->error);

    *ret_why = curl_fault_describe(&fault, h->where, HANDSHAKE_TIMEOUT);
    return *ret_why ? 0 : -ENOMEM;
}

static int describe_violation(const handshake *h, char **ret_why) {
    return asprintf(ret_why, "%s answered the Upgrade with %s", h->where,
                    h->unwanted ? "an extension or protocol that was not asked for"
                                : "a wrong Sec-WebSocket-Accept") < 0
               ? -ENOMEM
               : 0;
}

int handshake_finish(handshake *h, CURL *easy, CURLcode result, char **ret_why, int *ret_status) {
    long status = 0;

    assert(h);
    assert(ret_why);
    assert(ret_status);

    (void) curl_easy_setopt(easy, CURLOPT_HTTPHEADER, NULL);
    forget_headers(h);

    h->clock = curl_glue_peer_clock(easy);
    (void) curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    *ret_status = h->answer[0] ? (int) status : 0;
    *ret_why = NULL;

    if (result == CURLE_OK)
        return h->accepted && !h->unwanted ? 0 : describe_violation(h, ret_why);
    if (*ret_status >= 200 && result != CURLE_OPERATION_TIMEDOUT)
        return describe_refusal(h, ret_why);
    return describe_failure(h, easy, result, ret_why);
}

void handshake_done(handshake *h) {
    assert(h);

    forget_headers(h);
    free(h->where);
    *h = (handshake){0};
}
