/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/message.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define ID_MAX 256

static int refuse(const char **ret_why, const char *why) {
    *ret_why = why;
    return -EBADMSG;
}

/* RFC 9110 section 5.6.2 */
static bool is_token(const char *text) {
    return *text &&
           text[strspn(text, "!#$%&'*+-.^_`|~0123456789"
                             "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")] == '\0';
}

/* What a sender, or the relay, has made of the request: NULL where it can be served. */
static const char *find_fault(const message *m, const json_t *headers, const json_t *body) {
    if (!m->method || !is_token(m->method))
        return "the request's method is no HTTP method";
    if (!m->target)
        return "the request's target is no text, or holds a NUL";
    if (headers && !json_is_object(headers) && !json_is_null(headers))
        return "the request's headers are no object";
    if (body && !json_is_boolean(body))
        return "the request's body is neither true nor false";
    return NULL;
}

/* Takes what `method` makes a request and not a pointer to one. */
static int take_request(const json_t *request, message *m, const char **ret_why) {
    json_t *headers = json_object_get(request, "requestHeaders");
    const json_t *body = json_object_get(request, "body");

    m->type = MESSAGE_REQUEST;

    /* Without it there is nobody to answer. */
    m->id = json_get_string(request, "id");
    if (!m->id || !*m->id || strlen(m->id) > ID_MAX)
        return refuse(ret_why, "the request's id is missing or too long");

    m->method = json_get_string(request, "method");
    m->target = json_get_string(request, "requestTarget");
    m->headers = json_is_object(headers) ? headers : NULL;
    m->has_body = json_is_true(body);
    m->fault = find_fault(m, headers, body);
    return 0;
}

static int take_content(message *m, const char **ret_why) {
    const json_t *request = json_object_get(m->json, "request");
    const json_t *accept = json_object_get(m->json, "accept");
    const json_t *content = request ? request : accept;

    if (!content)
        return 0;
    if (!json_is_object(content))
        return refuse(ret_why, "the message holds no object");

    m->address = json_get_string(content, "address");
    if (!m->address || !*m->address)
        return refuse(ret_why, "the message has no address");

    if (request && json_object_get(request, "method"))
        return take_request(request, m, ret_why);

    m->type = request ? MESSAGE_POINTER : MESSAGE_ACCEPT;
    return 0;
}

int message_parse(const char *text, size_t size, message *ret, const char **ret_why) {
    message m = {.type = MESSAGE_UNKNOWN};
    int r;

    assert(text || size == 0);
    assert(ret);
    assert(ret_why);

    /* The service decodes paths (%00 too), and who sent it is to be answered. */
    r = json_parse_with_nuls(text, size, RELAY_CONTROL_MAX, &m.json, ret_why);
    if (r < 0)
        return r == -ENOMEM ? r : -EBADMSG;

    r = json_is_object(m.json) ? take_content(&m, ret_why) : refuse(ret_why, "not an object");
    if (r < 0) {
        message_done(&m);
        return r;
    }

    *ret = m;
    return 0;
}

void message_done(message *m) {
    assert(m);

    json_decref(m->json);
    *m = (message){.type = MESSAGE_UNKNOWN};
}

const char *message_header(const message *m, const char *name) {
    assert(m);
    assert(name);

    for (void *i = json_object_iter(m->headers); i; i = json_object_iter_next(m->headers, i))
        if (strcasecmp(json_object_iter_key(i), name) == 0)
            return json_text(json_object_iter_value(i));

    return NULL;
}

char *message_path(const message *m, const char *entity_path) {
    size_t size, entity;
    const char *path;

    assert(m);
    assert(entity_path);

    if (!m->target)
        return strdup("");

    path = m->target;
    size = strcspn(path, "?");
    entity = strlen(entity_path);

    /* Entity names are compared without case, as the service does. */
    if (path[0] == '/' && size > entity && strncasecmp(path + 1, entity_path, entity) == 0 &&
        (size == entity + 1 || path[entity + 1] == '/')) {
        path += entity + 1;
        size -= entity + 1;
    }

    return size > 0 ? strndup(path, size) : strdup("/");
}

static int add_header(json_t *headers, const char *name, const char *value) {
    return json_object_set_new(headers, name, json_string(value));
}

char *message_response(const char *id, int status, const char *content_type,
                       const relay_header *headers, size_t n_headers, bool has_body) {
    _cleanup_(json_freep) json_t *all = json_object(), *response = NULL;
    int r = 0;

    assert(id);
    assert(headers || n_headers == 0);

    if (content_type)
        r = add_header(all, "Content-Type", content_type);
    for (size_t i = 0; i < n_headers && r == 0; i++)
        r = add_header(all, headers[i].name, headers[i].value);
    if (r != 0)
        return NULL;

    response = json_pack("{s:{s:s, s:i, s:O, s:b}}", "response", "requestId", id, "statusCode",
                         status, "responseHeaders", all, "body", has_body);
    return response ? json_to_text(response) : NULL;
}

int message_renew_token(const secret *token, secret **ret) {
    static const char format[] = "{\"renewToken\":{\"token\":\"%s\"}}";
    size_t size;
    int r;

    assert(token);
    assert(ret);

    size = strlen(format) - strlen("%s") + secret_size(token);
    r = secret_new_empty(size, ret);
    if (r < 0)
        return r;

    (void) snprintf(secret_buffer(*ret), size + 1, format, secret_data(token));
    return 0;
}
