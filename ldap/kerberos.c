/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/kerberos.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/text.h"
#include "ldap/spnego.h"

#define MECHANISM "GSS-SPNEGO"

/* A Kerberos over SPNEGO has one or two; more are no honest server's. */
#define ROUNDS_MAX 4

#define RENEWAL_MARGIN_MAX (5 * USEC_PER_MINUTE)

struct kerberos {
    sd_event *event;
    const directory_config *config;
    char *realm;
    worker *worker;
};

/* What the worker thread works on: it may outlive the bind that wanted it. */
typedef struct step {
    spnego *spnego;
    kerberos_bind *bind; /* gone where the job was cancelled */
    char *said;          /* by the controller */
    size_t size;
    bool succeeded;
} step;

struct kerberos_bind {
    kerberos *kerberos;
    connection *connection;
    kerberos_bound_fn fn;
    void *userdata;

    spnego *spnego; /* the step's while one is running */
    step *step;
    worker_job *job;
    sd_event_source *timer;
    connection_request *request;
    unsigned rounds;
    bool accepted; /* by the controller: only its own proof is missing */
};

usec_t kerberos_renewal(usec_t lifetime) {
    usec_t margin = lifetime / 4;

    return lifetime - (margin < RENEWAL_MARGIN_MAX ? margin : RENEWAL_MARGIN_MAX);
}

/* ---- Ends ------------------------------------------------------------------------------------ */

static void finish(kerberos_bind *b, const bind_refusal *refusal, const char *said) {
    usec_t renew_at = now_monotonic() + kerberos_renewal(spnego_lifetime(b->spnego));
    kerberos_bound_fn fn = b->fn;
    void *userdata = b->userdata;
    spnego *texts = TAKE_PTR(b->spnego); /* what is told is its own */

    kerberos_bind_free(b);
    fn(refusal, said, renew_at, userdata);
    (void) spnego_free(texts);
}

static void give_up(kerberos_bind *b, outcome o, const char *reason) {
    connection_fail(b->connection, o, reason ? reason : "cannot be signed in to: memory is short");
}

static void end_in_trouble(kerberos_bind *b) {
    const kerberos_trouble *t = spnego_trouble(b->spnego);
    const bind_refusal refusal = {.reason = t->reason ? t->reason : "memory is short",
                                  .is_wrong_password = t->is_wrong_password};

    if (t->is_refusal)
        finish(b, &refusal, t->said ? t->said : "");
    else
        give_up(b, t->outcome, t->reason);
}

/* What a refused bind says, where it is about the way of signing in. */
static const bind_refusal *refusal_of(int result, const char *text) {
    static const bind_refusal not_bound = {
        .data = 0x80090346,
        .reason = "it does not take the channel binding: something between it and this host, such "
                  "as a proxy or load balancer, ends TLS and shows a certificate of its own",
        .is_controllers = true};
    static const bind_refusal wrong_way = {.reason = "it does not take " MECHANISM
                                                     " over TLS; set BindMethod=simple",
                                           .is_controllers = true};
    const bind_refusal *refusal = answer_bind_refusal(result, text);

    if (result != LDAP_INVALID_CREDENTIALS)
        return refusal ? &wrong_way : NULL;
    return refusal->data == 0x35b || refusal->data == 0x80090346 ? &not_bound : refusal;
}

static void end_refused(kerberos_bind *b, const connection_answer *answer) {
    _cleanup_free_ char *said = answer_describe(answer->result, answer->text), *reason = NULL;
    const bind_refusal *refusal = refusal_of(answer->result, answer->text);

    if (refusal)
        return finish(b, refusal, said ? said : "");

    reason = text_format("did not sign the agent in: %s", said ? said : "");
    give_up(b, OUTCOME_AD_NOT_REACHABLE, reason);
}

/* ---- Rounds: a token from the worker, an answer from the controller -------------------------- */

static void on_answer(const connection_answer *answer, void *userdata);

static void on_stepped(void *userdata) {
    step *s = userdata;
    kerberos_bind *b = s->bind;
    const void *token;
    size_t size;

    b->job = NULL;
    b->step = NULL;
    b->spnego = TAKE_PTR(s->spnego);
    (void) sd_event_source_set_enabled(b->timer, SD_EVENT_OFF);

    if (!connection_is_open(b->connection))
        return;
    if (!s->succeeded)
        return end_in_trouble(b);
    if (b->accepted)
        return spnego_is_complete(b->spnego)
                   ? finish(b, NULL, "")
                   : give_up(b, OUTCOME_AD_CONFIGURATION,
                             "has not proved to be the controller that Kerberos knows");

    token = spnego_token(b->spnego, &size);
    if (connection_bind_sasl(b->connection, MECHANISM, token, size, on_answer, b, &b->request) < 0)
        give_up(b, OUTCOME_AD_NOT_REACHABLE, "takes no requests");
}

static void step_free(void *userdata) {
    step *s = userdata;

    spnego_free(s->spnego);
    free(s->said);
    free(s);
}

/* In the worker. */
static void run_step(void *userdata) {
    step *s = userdata;

    s->succeeded = spnego_step(s->spnego, s->said, s->size);
}

static int begin_step(kerberos_bind *b, const struct berval *said) {
    step *s;
    int r = 0;

    s = calloc(1, sizeof(step));
    if (!s)
        return -ENOMEM;

    s->bind = b;
    if (said && said->bv_len > 0) {
        s->said = malloc(said->bv_len);
        if (!s->said)
            r = -ENOMEM;
        else
            memcpy(s->said, said->bv_val, s->size = said->bv_len);
    }
    if (r >= 0)
        r = sd_event_source_set_time_relative(b->timer, CONNECTION_PATIENCE);
    if (r >= 0)
        r = sd_event_source_set_enabled(b->timer, SD_EVENT_ONESHOT);
    s->spnego = TAKE_PTR(b->spnego);
    if (r >= 0)
        r = worker_submit(b->kerberos->worker, run_step, on_stepped, step_free, s, &b->job);
    if (r < 0) {
        b->spnego = TAKE_PTR(s->spnego);
        step_free(s);
        return r;
    }

    b->step = s;
    return 0;
}

static void on_answer(const connection_answer *answer, void *userdata) {
    kerberos_bind *b = userdata;

    b->request = NULL;
    if (answer->result == -1)
        return;
    if (answer->result != LDAP_SUCCESS && answer->result != LDAP_SASL_BIND_IN_PROGRESS)
        return end_refused(b, answer);

    b->accepted = answer->result == LDAP_SUCCESS;
    if (b->accepted && spnego_is_complete(b->spnego) && !answer->sasl)
        return finish(b, NULL, "");
    if (++b->rounds > ROUNDS_MAX || spnego_is_complete(b->spnego))
        return give_up(b, OUTCOME_AD_CONFIGURATION, "does not come to an end of signing in");
    if (begin_step(b, answer->sasl) < 0)
        give_up(b, OUTCOME_AD_NOT_REACHABLE, NULL);
}

static int on_patience_lost(sd_event_source *source, uint64_t usec, void *userdata) {
    kerberos_bind *b = userdata;

    (void) source;
    (void) usec;

    give_up(b, OUTCOME_AD_NOT_REACHABLE,
            kerberos_silence(b->kerberos->config->bind_dn, b->kerberos->realm));
    return 0;
}

/* ---- A bind ---------------------------------------------------------------------------------- */

int kerberos_bind_new(kerberos *k, connection *c, const char *host, kerberos_bound_fn fn,
                      void *userdata, kerberos_bind **ret) {
    _cleanup_(kerberos_bind_freep) kerberos_bind *b = NULL;
    spnego_options options = {};
    int r;

    assert(k);
    assert(c);
    assert(host);
    assert(fn);
    assert(ret);

    b = calloc(1, sizeof(kerberos_bind));
    if (!b)
        return -ENOMEM;

    b->kerberos = k;
    b->connection = c;
    b->fn = fn;
    b->userdata = userdata;
    options = (spnego_options){.principal = k->config->bind_dn,
                               .keytab = k->config->keytab,
                               .host = host,
                               .realm = k->realm};
    r = connection_peer_address(c, &options.address);
    if (r >= 0)
        r = connection_end_point(c, options.end_point, &options.end_point_size);
    if (r == -ENOTSUP) {
        connection_fail(c, OUTCOME_AD_CONFIGURATION,
                        "bears a certificate whose signature has no hash of its own (Ed25519), so "
                        "that no bind by Kerberos can be tied to it; give it one of RSA or ECDSA");
        *ret = TAKE_PTR(b);
        return 0;
    }
    if (r >= 0)
        r = spnego_new(&options, &b->spnego);
    if (r >= 0)
        r = sd_event_add_time(k->event, &b->timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC,
                              on_patience_lost, b);
    if (r >= 0)
        r = begin_step(b, NULL);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(b);
    return 0;
}

kerberos_bind *kerberos_bind_free(kerberos_bind *b) {
    if (!b)
        return NULL;

    if (b->job) {
        spnego_cancel(b->step->spnego);
        worker_cancel(b->job);
    }
    connection_request_free(b->request);
    sd_event_source_disable_unref(b->timer);
    spnego_free(b->spnego);
    free(b);
    return NULL;
}

/* ---- The account ----------------------------------------------------------------------------- */

int kerberos_new(sd_event *event, const directory_config *config, kerberos **ret) {
    _cleanup_(kerberos_freep) kerberos *k = NULL;
    int r;

    assert(event);
    assert(config);
    assert(ret);

    k = calloc(1, sizeof(kerberos));
    if (!k)
        return -ENOMEM;

    k->event = sd_event_ref(event);
    k->config = config;
    k->realm = strdup(config->domain);
    if (!k->realm)
        return -ENOMEM;
    for (char *p = k->realm; *p; p++)
        *p = (char) toupper((unsigned char) *p);

    r = worker_new(event, "kerberos", &k->worker);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(k);
    return 0;
}

kerberos *kerberos_free(kerberos *k) {
    if (!k)
        return NULL;

    worker_abandon(k->worker);
    sd_event_unref(k->event);
    free(k->realm);
    free(k);
    return NULL;
}
