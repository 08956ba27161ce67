/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ctl/agent.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/text.h"
#include "agent/ctl/ctl.h"
#include "agent/ctl/say.h"

/* An agent that does not answer within this is not well. */
#define TIMEOUT_SECONDS 5L
#define DOCUMENT_MAX ((size_t) 1024 * 1024)

typedef struct body {
    char *data;
    size_t size;
} body;

static size_t on_data(char *data, size_t one, size_t size, void *userdata) {
    body *b = userdata;
    char *grown;

    (void) one;

    if (size > DOCUMENT_MAX - b->size)
        return 0;
    grown = realloc(b->data, b->size + size);
    if (!grown)
        return 0;
    memcpy(grown + b->size, data, size);
    b->data = grown;
    b->size += size;
    return size;
}

static CURLcode set_up(CURL *easy, const char *address, const char *url, body *b) {
    CURLcode code = CURLE_OK;

#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (code == CURLE_OK)                                                                      \
            code = curl_easy_setopt(easy, option, value);                                          \
    } while (false)

    SET(CURLOPT_URL, url);
    if (*address == '/')
        SET(CURLOPT_UNIX_SOCKET_PATH, address);
    SET(CURLOPT_PROTOCOLS_STR, "http");
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_TIMEOUT, TIMEOUT_SECONDS);
    SET(CURLOPT_WRITEFUNCTION, on_data);
    SET(CURLOPT_WRITEDATA, b);
#undef SET
    return code;
}

static int get(CURL *easy, const char *address, json_t **ret, char **ret_why) {
    _cleanup_free_ char *url =
        text_format("http://%s/status", *address == '/' ? "localhost" : address);
    _cleanup_(json_freep) json_t *document = NULL;
    body b = {0};
    const char *why = "no status";
    CURLcode code;

    if (!url)
        return -ENOMEM;
    code = set_up(easy, address, url, &b);
    if (code == CURLE_OK)
        code = curl_easy_perform(easy);

    if (code != CURLE_OK)
        *ret_why = text_format("the agent does not answer on %s: %s\n"
                               "Does it run? systemctl status writebackd",
                               address, curl_easy_strerror(code));
    else if (json_parse(b.data, b.size, DOCUMENT_MAX, &document, &why) < 0 ||
             !json_get_string(document, "status"))
        *ret_why = text_format("what answers on %s is not the agent: %s", address, why);
    free(b.data);
    if (*ret_why)
        return -EHOSTUNREACH;

    *ret = TAKE_PTR(document);
    return *ret ? 0 : -ENOMEM;
}

int agent_get_health(const char *address, json_t **ret, char **ret_why) {
    CURL *easy = curl_easy_init();
    int r;

    *ret_why = NULL;
    r = easy ? get(easy, address, ret, ret_why) : -ENOMEM;
    curl_easy_cleanup(easy);
    return r;
}

int agent_find_health(const ctl_options *options, json_t **ret, char **ret_why) {
    _cleanup_free_ char *address = NULL;
    int r = 0;

    if (options->health)
        address = strdup(options->health);
    else
        r = ctl_read_listen(options->config, &address, ret_why);
    if (r < 0)
        return -EINVAL;
    return address ? agent_get_health(address, ret, ret_why) : -ENOMEM;
}
