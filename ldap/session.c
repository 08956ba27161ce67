/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/session.h"

#include <errno.h>
#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/text.h"
#include "ldap/answer.h"
#include "ldap/domain.h"
#include "ldap/entry.h"

/* AD closes what is idle for fifteen minutes; and a controller that froze should be noticed before
 * the next request comes. */
#define KEEP_ALIVE (60 * USEC_PER_SEC)

#define STABLE_AFTER (10 * USEC_PER_SEC)

#define RENEWAL_PAUSE (1 * USEC_PER_SEC)

typedef enum session_state {
    SESSION_OPENING,
    SESSION_WAITING, /* for the turn to bind */
    SESSION_BINDING,
    SESSION_READY,
} session_state;

struct session {
    domain *domain;
    const char *name, *host; /* the controller's */
    const session_events *events;
    void *userdata;

    session_state state;
    connection *connection;
    connection_request *request; /* of the bind, or to keep alive */
    kerberos_bind *kerberos_bind;
    sd_event_source *timer;
    usec_t ready_at; /* CLOCK_MONOTONIC; 0: it was not */
    usec_t renew_at; /* CLOCK_MONOTONIC; 0: it has no end of its own */
    char *refusal;
    bool was_held_back, is_unknown_there;
    clock_reading clock;
};

static void on_lost(outcome o, const char *reason, void *userdata) {
    session *s = userdata;

    (void) sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
    s->events->lost(s, o, reason, s->userdata);
}

void session_fail(session *s, outcome o, const char *reason) {
    assert(s);
    connection_fail(s->connection, o, reason);
}

/* ---- Keeping alive --------------------------------------------------------------------------- */

static void set_timer(session *s, usec_t at) {
    (void) sd_event_source_set_time(s->timer, at);
    (void) sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
}

/* The next look: to keep it alive, or to replace it before its tickets end. */
static void look_later(session *s) {
    usec_t at = now_monotonic() + KEEP_ALIVE;

    set_timer(s, s->renew_at != 0 && s->renew_at < at ? s->renew_at : at);
}

/* Another session brings new tickets. Whoever waits for an answer gets it first. */
static void renew(session *s) {
    if (connection_is_idle(s->connection))
        connection_fail(s->connection, OUTCOME_AD_NOT_REACHABLE, "is connected to anew");
    else
        set_timer(s, now_monotonic() + RENEWAL_PAUSE);
}

static void on_alive(const connection_answer *answer, void *userdata) {
    session *s = userdata;

    s->request = NULL;
    if (answer->result == -1)
        return;

    if (answer->result != LDAP_SUCCESS)
        return connection_fail(s->connection, OUTCOME_AD_NOT_REACHABLE,
                               "answers no longer, though it is connected");
    if (answer->n_entries == 1)
        s->clock = clock_read(entry_time((entry){answer->ld, answer->entries[0]}, "currentTime"));
    look_later(s);
    s->events->alive(s, s->userdata);
}

void session_probe(session *s) {
    static const char *const attributes[] = {"currentTime", NULL};

    assert(s);

    if (session_connection(s) && !s->request)
        (void) connection_search(s->connection, "", LDAP_SCOPE_BASE, "(objectClass=*)", attributes,
                                 on_alive, s, &s->request);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
    session *s = userdata;

    (void) source;
    (void) usec;

    if (s->renew_at != 0 && now_monotonic() >= s->renew_at)
        renew(s);
    else
        session_probe(s);
    return 0;
}

/* ---- The bind -------------------------------------------------------------------------------- */

/* A read-only controller that does not hold the account's secret. */
#define CANNOT_CHECK_ACCOUNT 0x51f

static void on_refused(session *s, const bind_refusal *refusal, const char *said) {
    _cleanup_free_ char *problem = NULL;

    if (!refusal->is_controllers)
        domain_bind_refused(s->domain, s->name, refusal);

    s->is_unknown_there = refusal->data == CANNOT_CHECK_ACCOUNT;
    s->refusal = text_format("%s (%s)%s", refusal->reason, said,
                             refusal->is_controllers ? "" : domain_bind_prospect(s->domain));
    problem = text_format("refuses the agent's account: %s", s->refusal ? s->refusal : "");
    connection_fail(s->connection, OUTCOME_AD_CONFIGURATION,
                    problem ? problem : "refuses the agent's account");
}

static void become_ready(session *s) {
    s->state = SESSION_READY;
    s->ready_at = now_monotonic();
    look_later(s);
    domain_bind_accepted(s->domain, s);
    s->events->ready(s, s->userdata);
}

static void on_bound_by_kerberos(const bind_refusal *refusal, const char *said, usec_t renew_at,
                                 void *userdata) {
    session *s = userdata;

    s->kerberos_bind = NULL;
    if (refusal)
        return on_refused(s, refusal, said);

    s->renew_at = renew_at;
    become_ready(s);
}

static void on_bound(const connection_answer *answer, void *userdata) {
    session *s = userdata;
    _cleanup_free_ char *said = NULL, *reason = NULL;
    const bind_refusal *refusal;

    s->request = NULL;
    if (answer->result == -1)
        return;

    if (answer->result == LDAP_SUCCESS)
        return become_ready(s);

    said = answer_describe(answer->result, answer->text);
    refusal = answer_bind_refusal(answer->result, answer->text);
    if (refusal)
        return on_refused(s, refusal, said ? said : "");

    reason = text_format("did not sign the agent in: %s", said ? said : "");
    connection_fail(s->connection, OUTCOME_AD_NOT_REACHABLE, reason ? reason : "");
}

static int begin_bind(session *s) {
    const directory_config *config = s->domain->config;

    if (s->domain->kerberos)
        return kerberos_bind_new(s->domain->kerberos, s->connection, s->host, on_bound_by_kerberos,
                                 s, &s->kerberos_bind);
    return connection_bind(s->connection, config->bind_dn, config->bind_password, on_bound, s,
                           &s->request);
}

void session_bind_turn(session *s) {
    assert(s);

    if (s->state != SESSION_WAITING || !connection_is_open(s->connection))
        return;

    if (now_monotonic() < s->domain->refused_until) {
        s->was_held_back = true;
        return connection_fail(s->connection, OUTCOME_AD_CONFIGURATION,
                               s->domain->refusal ? s->domain->refusal : "is not tried");
    }

    if (!domain_bind_begin(s->domain, s))
        return;

    s->state = SESSION_BINDING;
    if (begin_bind(s) < 0)
        connection_fail(s->connection, OUTCOME_AD_NOT_REACHABLE, "takes no requests");
}

static void on_opened(void *userdata) {
    session *s = userdata;

    s->state = SESSION_WAITING;
    session_bind_turn(s);
}

/* ---- The session ----------------------------------------------------------------------------- */

int session_new(domain *d, worker *resolver, const connection_target *target,
                const session_events *events, void *userdata, session **ret) {
    _cleanup_(session_freep) session *s = NULL;
    int r;

    assert(d);
    assert(target);
    assert(events);
    assert(ret);

    s = calloc(1, sizeof(session));
    if (!s)
        return -ENOMEM;

    s->domain = d;
    s->name = target->name;
    s->host = target->host;
    s->events = events;
    s->userdata = userdata;
    r = sd_event_add_time(d->event, &s->timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_timer, s);
    if (r >= 0)
        r = sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
    if (r >= 0)
        r = connection_new(d->event, resolver, target, on_opened, on_lost, s, &s->connection);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(s);
    return 0;
}

session *session_free(session *s) {
    if (!s)
        return NULL;

    kerberos_bind_free(s->kerberos_bind);
    connection_request_free(s->request);
    connection_free(s->connection);
    sd_event_source_disable_unref(s->timer);
    domain_bind_done(s->domain, s);
    free(s->refusal);
    free(s);
    return NULL;
}

connection *session_connection(const session *s) {
    return s && s->state == SESSION_READY && connection_is_open(s->connection) ? s->connection
                                                                               : NULL;
}

bool session_is_idle(const session *s) {
    assert(s);
    return connection_is_idle(s->connection);
}

bool session_was_stable(const session *s) {
    return session_age(s) >= STABLE_AFTER;
}

usec_t session_age(const session *s) {
    assert(s);
    return s->ready_at == 0 ? 0 : now_monotonic() - s->ready_at;
}

const char *session_refusal(const session *s) {
    assert(s);
    return s->refusal;
}

bool session_was_held_back(const session *s) {
    assert(s);
    return s->was_held_back;
}

bool session_is_unknown_there(const session *s) {
    assert(s);
    return s->is_unknown_there;
}

clock_reading session_peer_clock(const session *s) {
    assert(s);
    return s->clock;
}
