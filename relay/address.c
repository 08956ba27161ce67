/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/address.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define ADDRESS_MAX 4096

static inline void curl_url_cleanupp(CURLU **url) {
    curl_url_cleanup(*url);
}

static inline void curl_textp(char **text) {
    curl_free(*text);
}

static bool is_ip_address(const char *host) {
    struct in_addr ipv4;

    return inet_pton(AF_INET, host, &ipv4) == 1;
}

/* What the namespace's gateways share: all behind the first label. NULL where that is no domain of
 * several labels, since below a top-level domain stands everybody. */
static const char *gateway_domain(const char *host) {
    const char *dot = strchr(host, '.');

    return dot && strchr(dot + 1, '.') && !is_ip_address(host) ? dot : NULL;
}

static bool host_is_allowed(const char *host, const char *namespace_host) {
    const char *domain = gateway_domain(namespace_host);

    if (strcasecmp(host, namespace_host) == 0)
        return true;

    /* The domain begins with its dot: the match ends at a border between labels. */
    return domain && strlen(host) > strlen(domain) &&
           strcasecmp(host + strlen(host) - strlen(domain), domain) == 0;
}

static bool has(const CURLU *url, CURLUPart part) {
    _cleanup_(curl_textp) char *text = NULL;

    return curl_url_get(url, part, &text, 0) == CURLUE_OK;
}

bool address_is_allowed(const char *address, const char *namespace_host, unsigned port) {
    _cleanup_(curl_url_cleanupp) CURLU *url = curl_url();
    _cleanup_(curl_textp) char *scheme = NULL, *host = NULL, *port_text = NULL, *path = NULL;

    assert(address);
    assert(namespace_host);

    if (!url || strlen(address) > ADDRESS_MAX ||
        curl_url_set(url, CURLUPART_URL, address, 0) != CURLUE_OK)
        return false;

    if (curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_PORT, &port_text, CURLU_DEFAULT_PORT) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_PATH, &path, 0) != CURLUE_OK)
        return false;

    return strcmp(scheme, "wss") == 0 && host_is_allowed(host, namespace_host) &&
           strtoul(port_text, NULL, 10) == port && strncmp(path, "/$hc/", strlen("/$hc/")) == 0 &&
           !has(url, CURLUPART_USER) && !has(url, CURLUPART_PASSWORD) &&
           !has(url, CURLUPART_FRAGMENT);
}

char *address_for_refusal(const char *address, int status, const char *description) {
    _cleanup_(curl_textp) char *encoded = curl_easy_escape(NULL, description, 0);
    char *refusal;

    assert(address);

    if (!encoded || asprintf(&refusal, "%s%csb-hc-statusCode=%d&sb-hc-statusDescription=%s",
                             address, strchr(address, '?') ? '&' : '?', status, encoded) < 0)
        return NULL;

    return refusal;
}
