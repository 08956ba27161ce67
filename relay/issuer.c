/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/issuer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <syslog.h>

#include "agent/base/clock.h"
#include "agent/base/http_fetch.h"
#include "agent/base/log.h"
#include "agent/base/random.h"
#include "agent/base/redact_url.h"
#include "agent/base/shell.h"
#include "relay/issuer_keys.h"
#include "relay/token.h"

#define METADATA_MAX ((size_t) 64 * 1024)
#define WELL_KNOWN "/.well-known/openid-configuration"

const issuer_timing issuer_timing_default = {
    .refresh = USEC_PER_DAY,
    .throttle = USEC_PER_MINUTE,
    .patience = 10 * USEC_PER_SEC,
    .timeout = 10 * USEC_PER_SEC,
};

/* A verification that waits for keys. */
struct issuer_call {
    TAILQ_ENTRY(issuer_call) others;
    issuer *issuer;
    token token;
    unsigned long fetch; /* the number of the fetch after which it is decided */
    sd_event_source *deadline;
    issuer_verified_fn verified;
    void *userdata;
};

struct issuer {
    sd_event *event;
    curl_glue *glue;
    const issuer_config *config;
    const issuer_timing *timing;
    issuer_state_fn on_state;
    void *userdata;

    char *metadata_url;
    char *metadata_shown; /* without its query, for the log */
    json_t *keys;         /* kid → JWK; NULL: none yet */
    issuer_status status;
    char *reason;

    http_fetch *request; /* of the metadata or the keys, while a fetch is under way */
    sd_event_source *timer;
    usec_t asked;           /* when an unknown kid last made us fetch, CLOCK_MONOTONIC; 0: never */
    unsigned long finished; /* fetches, whatever came of them */
    unsigned failures;      /* in a row */

    TAILQ_HEAD(issuer_calls, issuer_call) waiting;
    size_t n_waiting;
};

/* ---- Verifying ------------------------------------------------------------------------------- */

static int verify_with(const issuer *i, token *t, const json_t *jwk, token_claims *ret,
                       char **ret_why) {
    int r;

    r = token_check_signature(t, jwk, ret_why);
    if (r < 0)
        return r;

    r = token_check_claims(t, i->config, now_realtime(), ret_why);
    if (r < 0)
        return r;

    token_take_claims(t, ret);
    return 0;
}

static void tell(int r, const char *why, token_claims *claims, issuer_verified_fn verified,
                 void *userdata) {
    if (r == -ENOMEM)
        why = "out of memory";

    verified(r, r < 0 ? why : NULL, r < 0 ? NULL : claims, userdata);
    token_claims_done(claims);
}

/* Tells the caller, and the call is gone. */
static void finish(issuer_call *call, int r, const char *why, token_claims *claims) {
    issuer_verified_fn verified = call->verified;
    void *userdata = call->userdata;

    (void) issuer_call_free(call);
    tell(r, why, claims, verified, userdata);
}

static int explain_missing_keys(const issuer *i, char **ret_why) {
    if (asprintf(ret_why, "the keys of issuer %s cannot be had: %s", i->config->url,
                 i->reason ? i->reason : "it has not answered yet") < 0)
        return -ENOMEM;
    return -EHOSTUNREACH;
}

/* The issuer's keys are as new as they may be, and the token's is not among them. */
static int explain_unknown_key(const issuer *i, char **ret_why) {
    if (i->reason)
        return explain_missing_keys(i, ret_why);

    if (asprintf(ret_why, "the token's key (kid) is none of issuer %s", i->config->url) < 0)
        return -ENOMEM;
    return -EACCES;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
    issuer_call *call = userdata;
    _cleanup_free_ char *why = NULL;
    token_claims none = {0};
    int r;

    (void) source;
    (void) usec;

    r = explain_missing_keys(call->issuer, &why);
    finish(call, r, why, &none);
    return 0;
}

static void decide(issuer_call *call) {
    const issuer *i = call->issuer;
    const json_t *jwk = json_object_get(i->keys, call->token.kid);
    _cleanup_free_ char *why = NULL;
    token_claims claims = {0};
    int r;

    if (jwk)
        r = verify_with(i, &call->token, jwk, &claims, &why);
    else
        r = explain_unknown_key(i, &why);
    finish(call, r, why, &claims);
}

static issuer_call *find_decidable(const issuer *i) {
    issuer_call *call;

    /* Without any keys they go on waiting: the next attempt may come before their deadline. */
    if (!i->keys)
        return NULL;

    TAILQ_FOREACH(call, &i->waiting, others)
        if (call->fetch <= i->finished)
            return call;
    return NULL;
}

/* A callback may start and cancel others, so the list is looked through afresh after each. */
static void decide_waiting(issuer *i) {
    issuer_call *call;

    while ((call = find_decidable(i)))
        decide(call);
}

/* ---- Fetching -------------------------------------------------------------------------------- */

static void schedule(issuer *i, usec_t pause) {
    if (sd_event_source_set_time_relative(i->timer, pause) < 0 ||
        sd_event_source_set_enabled(i->timer, SD_EVENT_ONESHOT) < 0)
        log_text(LOG_ERR, "Issuer %s: the next fetch of its keys cannot be scheduled.",
                 i->config->name);
}

static usec_t pause_after(const issuer *i) {
    static const unsigned seconds[] = {1, 2, 5, 10, 30, 60};
    unsigned step = i->failures < ELEMENTSOF(seconds) ? i->failures : ELEMENTSOF(seconds);

    return with_jitter(step == 0 ? i->timing->refresh : seconds[step - 1] * USEC_PER_SEC);
}

/* A fetch has ended. `reason` is NULL where it brought keys; it is taken over. */
static void end_fetch(issuer *i, char *reason) {
    bool is_new = reason && (!i->reason || strcmp(reason, i->reason) != 0);
    char count[24];

    free(i->reason);
    i->reason = reason;
    i->status.reason = reason;
    i->status.has_keys = i->keys != NULL;
    i->finished++;
    i->failures = reason ? i->failures + 1 : 0;

    if (!reason) {
        i->status.fetched = now_realtime();
        (void) snprintf(count, sizeof(count), "%zu", json_object_size(i->keys));
        log_event(OUTCOME_ISSUER_KEYS_FETCHED, {"WRITEBACK_ISSUER", i->config->url},
                  {"WRITEBACK_COUNT", count});
    } else if (is_new) {
        _cleanup_free_ char *options = shell_curl_options(i->config->ca_file, i->config->proxy);

        log_event(OUTCOME_ISSUER_UNREACHABLE, {"WRITEBACK_ISSUER", i->config->url},
                  {"WRITEBACK_ADDRESS", i->metadata_shown},
                  {"WRITEBACK_CURL_OPTIONS_QUOTED", options}, {"WRITEBACK_REASON", reason});
    }

    schedule(i, pause_after(i));
    if (i->on_state)
        i->on_state(&i->status, i->userdata);
    decide_waiting(i);
}

static _printf_(2, 3) void fail_fetch(issuer *i, const char *format, ...) {
    char *reason = NULL;
    va_list ap;

    va_start(ap, format);
    if (vasprintf(&reason, format, ap) < 0)
        reason = strdup("out of memory");
    va_end(ap);
    end_fetch(i, reason);
}

/* True where a body came that may be read; else the fetch is ended. */
static bool is_answered(issuer *i, const char *what, const char *error, long status) {
    clock_reading theirs = http_fetch_clock(i->request);

    i->request = NULL;
    if (theirs.date > 0)
        i->status.clock = theirs;
    if (error)
        fail_fetch(i, "%s: %s", what, error);
    else if (status >= 300 && status < 400)
        fail_fetch(i, "%s: answered with a redirect (%ld), which is not followed", what, status);
    else if (status != 200)
        fail_fetch(i, "%s: answered with status %ld", what, status);
    else
        return true;
    return false;
}

static int request(issuer *i, const char *url, size_t limit, http_fetch_done_fn done) {
    const http_fetch_options options = {
        .url = url,
        .ca_file = i->config->ca_file,
        .proxy = i->config->proxy,
        .limit = limit,
        .timeout = i->timing->timeout,
    };

    return http_fetch_start(i->glue, &options, done, i, &i->request);
}

static void on_keys(const char *error, long status, const char *body, size_t size, void *userdata) {
    issuer *i = userdata;
    const char *why = "out of memory";
    json_t *keys;

    if (!is_answered(i, "keys", error, status))
        return;

    if (issuer_keys_parse(body, size, i->config, &keys, &why) < 0) {
        fail_fetch(i, "keys: %s", why);
        return;
    }

    json_decref(i->keys);
    i->keys = keys;
    end_fetch(i, NULL);
}

static void on_metadata(const char *error, long status, const char *body, size_t size,
                        void *userdata) {
    issuer *i = userdata;
    _cleanup_(json_freep) json_t *metadata = NULL;
    const char *why, *name, *jwks_uri;
    char buffer[QUOTE_MAX];
    int r;

    if (!is_answered(i, "metadata", error, status))
        return;

    r = json_parse(body, size, METADATA_MAX, &metadata, &why);
    if (r < 0) {
        fail_fetch(i, "metadata: %s", why);
        return;
    }

    /* OpenID Connect Discovery 1.0 section 4.3: else one issuer could speak for another. */
    name = json_get_string(metadata, "issuer");
    if (!name || !issuer_config_names(i->config, name)) {
        fail_fetch(i, "metadata: it is of issuer %s, not %s", quote(name ? name : "(none)", buffer),
                   i->config->url);
        return;
    }

    jwks_uri = json_get_string(metadata, "jwks_uri");
    if (!jwks_uri || strncmp(jwks_uri, "https://", strlen("https://")) != 0) {
        fail_fetch(i, "metadata: it has no jwks_uri that begins with https://");
        return;
    }

    r = request(i, jwks_uri, ISSUER_KEYS_SIZE_MAX, on_keys);
    if (r < 0)
        fail_fetch(i, "keys: cannot be asked for: %s", strerror(-r));
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
    issuer *i = userdata;
    int r;

    (void) source;
    (void) usec;

    r = request(i, i->metadata_url, METADATA_MAX, on_metadata);
    if (r < 0)
        fail_fetch(i, "metadata: cannot be asked for: %s", strerror(-r));
    return 0;
}

/* ---- The door -------------------------------------------------------------------------------- */

/* OpenID Connect Discovery 1.0 section 4.1: a slash at the issuer's end is left out. */
static char *make_metadata_url(const issuer_config *config) {
    size_t length = strlen(config->url);
    char *url;

    if (config->metadata_url)
        return strdup(config->metadata_url);

    while (length > 0 && config->url[length - 1] == '/')
        length--;
    if (asprintf(&url, "%.*s" WELL_KNOWN, (int) length, config->url) < 0)
        return NULL;
    return url;
}

int issuer_new_with_timing(sd_event *event, curl_glue *glue, const issuer_config *config,
                           const issuer_timing *timing, issuer_state_fn on_state, void *userdata,
                           issuer **ret) {
    _cleanup_(issuer_freep) issuer *i = NULL;
    int r;

    assert(event);
    assert(glue);
    assert(config);
    assert(config->url);
    assert(config->audiences);
    assert(timing);
    assert(ret);

    i = calloc(1, sizeof(issuer));
    if (!i)
        return -ENOMEM;

    TAILQ_INIT(&i->waiting);
    i->event = sd_event_ref(event);
    i->glue = glue;
    i->config = config;
    i->timing = timing;
    i->on_state = on_state;
    i->userdata = userdata;
    i->metadata_url = make_metadata_url(config);
    i->metadata_shown = i->metadata_url ? url_without_query(i->metadata_url) : NULL;
    if (!i->metadata_shown)
        return -ENOMEM;

    i->keys = json_incref(config->keys);
    i->status.has_keys = i->keys != NULL;
    if (i->keys) {
        *ret = TAKE_PTR(i);
        return 0;
    }

    /* The first fetch begins with the next turn of the loop. */
    r = sd_event_add_time_relative(event, &i->timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_timer,
                                   i);
    if (r < 0)
        return r;
    (void) sd_event_source_set_description(i->timer, "issuer-fetch");

    *ret = TAKE_PTR(i);
    return 0;
}

int issuer_new(sd_event *event, curl_glue *glue, const issuer_config *config,
               issuer_state_fn on_state, void *userdata, issuer **ret) {
    return issuer_new_with_timing(event, glue, config, &issuer_timing_default, on_state, userdata,
                                  ret);
}

issuer *issuer_free(issuer *i) {
    if (!i)
        return NULL;

    while (!TAILQ_EMPTY(&i->waiting))
        (void) issuer_call_free(TAILQ_FIRST(&i->waiting));

    (void) http_fetch_free(i->request);
    (void) sd_event_source_disable_unref(i->timer);
    (void) sd_event_unref(i->event);
    json_decref(i->keys);
    free(i->metadata_url);
    free(i->metadata_shown);
    free(i->reason);
    free(i);
    return NULL;
}

const issuer_status *issuer_get_status(const issuer *i) {
    assert(i);
    return &i->status;
}

const char *issuer_url(const issuer *i) {
    assert(i);
    return i->config->url;
}

bool issuer_speaks_for(const issuer *i, const char *iss) {
    assert(i);
    assert(iss);
    return issuer_config_speaks_for(i->config, iss);
}

/* Takes the token over. */
static int wait_for_fetch(issuer *i, token *t, issuer_verified_fn verified, void *userdata,
                          issuer_call **ret) {
    issuer_call *call;
    int r;

    call = calloc(1, sizeof(issuer_call));
    if (!call)
        return -ENOMEM;

    r = sd_event_add_time_relative(i->event, &call->deadline, CLOCK_MONOTONIC, i->timing->patience,
                                   0, on_deadline, call);
    if (r < 0) {
        free(call);
        return r;
    }
    (void) sd_event_source_set_description(call->deadline, "issuer-deadline");

    call->issuer = i;
    call->token = *t;
    call->fetch = i->finished + 1;
    call->verified = verified;
    call->userdata = userdata;
    *t = (token){0};
    TAILQ_INSERT_TAIL(&i->waiting, call, others);
    i->n_waiting++;

    *ret = call;
    return 0;
}

/* Whether the keys are being fetched, or may be fetched again for an unknown kid. */
static bool may_get_keys(const issuer *i) {
    if (i->config->keys)
        return false;
    return !i->keys || i->request || i->n_waiting > 0 || i->asked == 0 ||
           now_monotonic() >= i->asked + i->timing->throttle;
}

/* Decides at once where that is possible. Returns 1 and keeps the token where it is not; else 0 or
 * a refusal as `verified` is told it. */
static int verify_now(issuer *i, token *t, token_claims *ret, char **ret_why) {
    const json_t *jwk = json_object_get(i->keys, t->kid);
    int r;

    if (jwk)
        return verify_with(i, t, jwk, ret, ret_why);

    /* For a token that would be refused anyway nobody is asked for keys. */
    r = token_check_claims(t, i->config, now_realtime(), ret_why);
    if (r < 0)
        return r;

    if (!may_get_keys(i))
        return explain_unknown_key(i, ret_why);
    if (i->n_waiting >= ISSUER_WAITING_MAX)
        return explain_missing_keys(i, ret_why);
    return 1;
}

int issuer_verify(issuer *i, const secret *text, issuer_verified_fn verified, void *userdata,
                  issuer_call **ret) {
    _cleanup_(token_done) token t = {0};
    _cleanup_free_ char *why = NULL;
    token_claims claims = {0};
    int r;

    assert(i);
    assert(text);
    assert(verified);
    assert(ret);

    r = token_parse(secret_data(text), secret_size(text), &t, &why);
    if (r == 0)
        r = verify_now(i, &t, &claims, &why);

    if (r <= 0) {
        *ret = NULL;
        tell(r, why, &claims, verified, userdata);
        return 0;
    }

    r = wait_for_fetch(i, &t, verified, userdata, ret);
    if (r < 0)
        return r;

    /* Without keys the next attempt is already under way or scheduled. */
    if (i->keys && !i->request) {
        i->asked = now_monotonic();
        schedule(i, 0);
    }
    return 0;
}

issuer_call *issuer_call_free(issuer_call *call) {
    if (!call)
        return NULL;

    TAILQ_REMOVE(&call->issuer->waiting, call, others);
    call->issuer->n_waiting--;
    (void) sd_event_source_disable_unref(call->deadline);
    token_done(&call->token);
    free(call);
    return NULL;
}
