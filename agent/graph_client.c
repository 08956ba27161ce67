/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/graph_client.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/http_fetch.h"
#include "agent/graph_token.h"

#define ORGANIZATION "/v1.0/organization?$select=onPremisesSyncEnabled,onPremisesLastSyncDateTime"
#define SUBSCRIPTIONS "/v1.0/subscribedSkus?$select=capabilityStatus,servicePlans"

#define TIMEOUT (20 * USEC_PER_SEC)
/* A large tenant has a hundred subscriptions of some fifty plans each. */
#define ANSWER_MAX ((size_t) 4 * 1024 * 1024)
#define PAGES_MAX 20
#define WAIT_MAX USEC_PER_HOUR
/* A token is renewed so long before its end, or at its half. */
#define TOKEN_MARGIN (5 * USEC_PER_MINUTE)

struct graph_client {
    curl_glue *glue;
    const graph_config *config;
    graph_looked_fn done;
    void *userdata;

    http_fetch *fetch; /* the request under way, or NULL */
    secret *token;
    usec_t token_until; /* CLOCK_BOOTTIME */
    clock_reading clock;

    /* Of this look: */
    bool token_is_new;
    bool knows_sync;
    tenant_organization organization;
    unsigned pages;
    usec_t wait;
};

clock_reading graph_client_clock(const graph_client *c) {
    assert(c);
    return c->clock;
}

usec_t graph_client_time(const graph_client *c) {
    assert(c);
    return c->clock.date > 0 ? c->clock.date + (now_boottime() - c->clock.at) : now_realtime();
}

/* ---- The end of a look ----------------------------------------------------------------------- */

static void end_look(graph_client *c, const graph_result *result) {
    graph_result whole = *result;

    whole.wait = c->wait;
    whole.knows_sync = c->knows_sync;
    whole.organization = c->organization;
    c->done(&whole, c->userdata);
}

static _printf_(3, 4) void fail_look(graph_client *c, outcome event, const char *format, ...) {
    _cleanup_free_ char *why = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&why, format, args) < 0)
        why = NULL;
    va_end(args);

    end_look(c, &(const graph_result){.why = why ? why : "out of memory", .event = event});
}

/* ---- Asking ---------------------------------------------------------------------------------- */

static int get(graph_client *c, const char *url, http_fetch_done_fn done) {
    const http_fetch_options options = {
        .url = url,
        .ca_file = c->config->ca_file,
        .proxy = c->config->proxy,
        .bearer = c->token,
        .limit = ANSWER_MAX,
        .timeout = TIMEOUT,
    };

    return http_fetch_start(c->glue, &options, done, c, &c->fetch);
}

/* Whoever answers with these refuses: it is for somebody to mend. */
static bool is_refusal(long status) {
    return status == 400 || status == 401 || status == 403;
}

/* What every answer is looked at for. True where its body is to be read; else the look has ended.
 */
static bool is_answered(graph_client *c, const char *what, const char *error, long status,
                        const char *body, size_t size) {
    _cleanup_free_ char *said = NULL;
    clock_reading theirs = http_fetch_clock(c->fetch);
    usec_t wait = http_fetch_retry_after(c->fetch);

    c->fetch = NULL;
    if (theirs.date > 0)
        c->clock = theirs;
    if (!error && status == 200)
        return true;

    c->wait = wait < WAIT_MAX ? wait : WAIT_MAX;
    if (error) {
        fail_look(c, OUTCOME_GRAPH_UNREACHABLE, "%s: %s", what, error);
        return false;
    }

    said = graph_error_describe(body, size);
    fail_look(c, is_refusal(status) ? OUTCOME_GRAPH_REFUSED : OUTCOME_GRAPH_UNREACHABLE,
              "%s: answered with status %ld%s%s", what, status, said ? ": " : "", said ? said : "");
    return false;
}

static void forget_token(graph_client *c) {
    c->token = secret_free(c->token);
}

static void ask_for_token(graph_client *c);

/* A token may have been taken back before its end: then a new one is tried, once. */
static bool is_token_spent(graph_client *c, const char *error, long status) {
    if (error || status != 401)
        return false;

    forget_token(c);
    return !c->token_is_new;
}

static json_t *read_document(graph_client *c, const char *what, const char *body, size_t size) {
    const char *why;
    json_t *document = NULL;

    if (json_parse(body, size, ANSWER_MAX, &document, &why) < 0)
        fail_look(c, OUTCOME_GRAPH_UNREACHABLE, "%s: %s", what, why);
    return document;
}

/* ---- The subscriptions ----------------------------------------------------------------------- */

static void ask_for_subscriptions(graph_client *c, const char *url);

/* The token goes to Graph alone, whatever an answer names. */
static bool is_graphs(const graph_client *c, const char *url) {
    size_t n = strlen(c->config->url);

    return strncmp(url, c->config->url, n) == 0 && url[n] == '/';
}

static void read_subscriptions(graph_client *c, const json_t *document) {
    const char *next = json_get_string(document, "@odata.nextLink"), *why;
    licence found;

    if (tenant_read_skus(document, &found, &why) < 0) {
        fail_look(c, OUTCOME_GRAPH_UNREACHABLE, "subscribedSkus: %s", why);
        return;
    }
    if (found == LICENCE_HELD || !next) {
        end_look(c, &(const graph_result){.licence = found});
        return;
    }
    if (!is_graphs(c, next)) {
        fail_look(c, OUTCOME_GRAPH_UNREACHABLE, "subscribedSkus: the next page is elsewhere");
        return;
    }
    if (++c->pages >= PAGES_MAX) {
        fail_look(c, OUTCOME_GRAPH_UNREACHABLE, "subscribedSkus: more than %d pages", PAGES_MAX);
        return;
    }
    ask_for_subscriptions(c, next);
}

static void on_subscriptions(const char *error, long status, const char *body, size_t size,
                             void *userdata) {
    graph_client *c = userdata;
    _cleanup_(json_freep) json_t *document = NULL;

    if (!is_answered(c, "subscribedSkus", error, status, body, size))
        return;
    document = read_document(c, "subscribedSkus", body, size);
    if (document)
        read_subscriptions(c, document);
}

static void ask_for_subscriptions(graph_client *c, const char *url) {
    int r = get(c, url, on_subscriptions);

    if (r < 0)
        fail_look(c, OUTCOME_GRAPH_UNREACHABLE, "subscribedSkus: %s", strerrordesc_np(-r));
}

static void ask_for_first_subscriptions(graph_client *c) {
    _cleanup_free_ char *url = NULL;

    c->pages = 0;
    if (asprintf(&url, "%s" SUBSCRIPTIONS, c->config->url) < 0) {
        url = NULL;
        fail_look(c, OUTCOME_GRAPH_UNREACHABLE, "out of memory");
        return;
    }
    ask_for_subscriptions(c, url);
}

/* ---- The organization ------------------------------------------------------------------------ */

static void on_organization(const char *error, long status, const char *body, size_t size,
                            void *userdata) {
    graph_client *c = userdata;
    _cleanup_(json_freep) json_t *document = NULL;
    const char *why;

    if (is_token_spent(c, error, status)) {
        c->fetch = NULL;
        ask_for_token(c);
        return;
    }
    if (!is_answered(c, "organization", error, status, body, size))
        return;
    document = read_document(c, "organization", body, size);
    if (!document)
        return;
    if (tenant_read_organization(document, &c->organization, &why) < 0) {
        fail_look(c, OUTCOME_GRAPH_UNREACHABLE, "organization: %s", why);
        return;
    }

    c->knows_sync = true;
    ask_for_first_subscriptions(c);
}

static void ask_for_organization(graph_client *c) {
    _cleanup_free_ char *url = NULL;
    int r;

    r = asprintf(&url, "%s" ORGANIZATION, c->config->url) < 0 ? -ENOMEM : 0;
    if (r < 0)
        url = NULL;
    else
        r = get(c, url, on_organization);
    if (r < 0)
        fail_look(c, OUTCOME_GRAPH_UNREACHABLE, "organization: %s", strerrordesc_np(-r));
}

/* ---- The token ------------------------------------------------------------------------------- */

static void on_token(const char *error, long status, const char *body, size_t size,
                     void *userdata) {
    graph_client *c = userdata;
    const char *why;
    usec_t lifetime, margin;

    if (!is_answered(c, "token", error, status, body, size))
        return;
    if (graph_token_read(body, size, &c->token, &lifetime, &why) < 0) {
        fail_look(c, OUTCOME_GRAPH_UNREACHABLE, "token: %s", why);
        return;
    }

    margin = lifetime / 2 < TOKEN_MARGIN ? lifetime / 2 : TOKEN_MARGIN;
    c->token_until = now_boottime() + lifetime - margin;
    c->token_is_new = true;
    ask_for_organization(c);
}

static int post_token_request(graph_client *c) {
    _cleanup_(secret_freep) secret *form = NULL;
    http_fetch_options options = {
        .url = c->config->token_url,
        .ca_file = c->config->ca_file,
        .proxy = c->config->proxy,
        .content_type = "application/x-www-form-urlencoded",
        .is_secret = true,
        .limit = ANSWER_MAX,
        .timeout = TIMEOUT,
    };
    int r;

    /* Entra compares the assertion with its own clock, which Graph's answers tell. */
    r = graph_token_request(c->config, graph_client_time(c), &form);
    if (r < 0)
        return r;

    options.body = secret_data(form);
    return http_fetch_start(c->glue, &options, on_token, c, &c->fetch);
}

static void ask_for_token(graph_client *c) {
    int r;

    forget_token(c);
    r = post_token_request(c);
    if (r < 0)
        fail_look(c, OUTCOME_GRAPH_UNREACHABLE, "token: %s", strerrordesc_np(-r));
}

/* ---- The door -------------------------------------------------------------------------------- */

void graph_client_look(graph_client *c) {
    assert(c);

    if (c->fetch)
        return;
    c->token_is_new = false;
    c->knows_sync = false;
    c->wait = 0;
    if (c->token && now_boottime() < c->token_until)
        ask_for_organization(c);
    else
        ask_for_token(c);
}

int graph_client_new(curl_glue *glue, const graph_config *config, graph_looked_fn done,
                     void *userdata, graph_client **ret) {
    graph_client *c;

    assert(glue);
    assert(config && config->url && config->token_url);
    assert(done);
    assert(ret);

    c = calloc(1, sizeof(graph_client));
    if (!c)
        return -ENOMEM;

    c->glue = glue;
    c->config = config;
    c->done = done;
    c->userdata = userdata;
    *ret = c;
    return 0;
}

graph_client *graph_client_free(graph_client *c) {
    if (!c)
        return NULL;

    (void) http_fetch_free(c->fetch);
    forget_token(c);
    free(c);
    return NULL;
}
