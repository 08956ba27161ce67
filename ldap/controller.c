/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/controller.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "ldap/answer.h"
#include "ldap/domain.h"
#include "ldap/text.h"

#define RETRY_FIRST (1 * USEC_PER_SEC)
#define RETRY_MAX (60 * USEC_PER_SEC)

/* A request may have a controller that cannot be reached tried before its time, but not more often
 * than this. */
#define WAKE_PAUSE (1 * USEC_PER_SEC)

/* A connection that lived that long was a good one: its end is no failure, only a reason to connect
 * anew at once. */
#define STABLE_AFTER (10 * USEC_PER_SEC)

/* AD closes what is idle for fifteen minutes; and a controller that froze should be noticed before
 * the next request comes. */
#define KEEP_ALIVE (60 * USEC_PER_SEC)

/* A usual lockout is five wrong passwords within half an hour. */
#define PAUSE_WRONG_PASSWORD (15 * USEC_PER_MINUTE)
#define PAUSE_REFUSED (5 * USEC_PER_MINUTE)

#define CERTIFICATE_WARNING (30 * USEC_PER_DAY)

typedef enum controller_phase {
    PHASE_IDLE, /* until the timer */
    PHASE_OPENING,
    PHASE_WAITING, /* for the turn to bind */
    PHASE_BINDING,
    PHASE_SURVEYING,
    PHASE_READY,
} controller_phase;

struct controller {
    domain *domain;
    char *name, *host, *port;
    worker *resolver;
    connection_target target;

    controller_phase phase;
    connection *connection;
    connection_request *request; /* of the bind, or to keep alive */
    survey *survey;
    sd_event_source *timer;
    usec_t began_at, ready_at; /* CLOCK_MONOTONIC */
    unsigned failures;         /* in a row */

    controller_status status;
    char *reason;
    bool account_refused; /* the connection ends for that, which has been logged already */
    usec_t warned_of;     /* the not_after that was warned of last */
};

/* ---- Name ------------------------------------------------------------------------------------ */

static bool is_port(const char *text) {
    unsigned long n = 0;

    for (const char *p = text; *p; p++) {
        if (!isdigit((unsigned char) *p) || p - text >= 5)
            return false;
        n = n * 10 + (unsigned long) (*p - '0');
    }
    return n > 0 && n <= UINT16_MAX;
}

static int parse_name(const char *text, char **ret_host, char **ret_port) {
    const char *end, *port = "636";
    size_t length = strlen(text);

    if (text[0] == '[') {
        end = strchr(++text, ']');
        if (!end)
            return -EINVAL;
        length = (size_t) (end - text);
        if (end[1] == ':')
            port = end + 2;
        else if (end[1] != '\0')
            return -EINVAL;
    } else {
        end = strchr(text, ':');
        /* More than one colon is a bare IPv6 address. */
        if (end && !strchr(end + 1, ':')) {
            length = (size_t) (end - text);
            port = end + 1;
        }
    }

    if (length == 0 || !is_port(port))
        return -EINVAL;

    *ret_host = strndup(text, length);
    *ret_port = strdup(port);
    return *ret_host && *ret_port ? 0 : -ENOMEM;
}

static bool is_global_catalog(const controller *c) {
    return strcmp(c->port, "3268") == 0 || strcmp(c->port, "3269") == 0;
}

/* ---- Status ---------------------------------------------------------------------------------- */

static void set_state(controller *c, controller_state state) {
    if (c->status.state == state)
        return;

    c->status.state = state;
    c->status.since = now_realtime();
}

static void warn_of_expiry(controller *c) {
    char date[RFC3339_MAX];
    usec_t not_after = c->status.not_after;

    if (not_after == 0 || not_after == c->warned_of ||
        not_after > now_realtime() + CERTIFICATE_WARNING)
        return;

    c->warned_of = not_after;
    log_event(OUTCOME_CONTROLLER_CERTIFICATE_EXPIRES, {"WRITEBACK_DC", c->name},
              {"WRITEBACK_DOMAIN", c->domain->config->domain},
              {"WRITEBACK_NOT_AFTER", rfc3339_utc(not_after, date)});
}

static void become_usable(controller *c) {
    const char *hints = survey_get(c->survey)->policy_hints;
    bool is_news = c->status.state != CONTROLLER_USABLE || c->status.has_policy_hints != !!hints;

    set_state(c, CONTROLLER_USABLE);
    text_replace(&c->reason, NULL);
    c->status.outcome = OUTCOME_INVALID;
    c->status.has_policy_hints = hints;
    c->status.not_after = connection_not_after(c->connection);

    if (is_news)
        log_event(OUTCOME_CONTROLLER_USABLE, {"WRITEBACK_DC", c->name},
                  {"WRITEBACK_DOMAIN", c->domain->config->domain},
                  {"WRITEBACK_POLICY_HINTS", hints ? hints : "none"});
    warn_of_expiry(c);
}

/* `problem` is a sentence's end that follows the controller's name. */
static void become_unusable(controller *c, outcome o, const char *problem) {
    _cleanup_free_ char *reason = text_format("it %s", problem);
    bool is_news = c->status.state != CONTROLLER_UNUSABLE || !c->reason || !reason ||
                   strcmp(c->reason, reason) != 0;

    set_state(c, CONTROLLER_UNUSABLE);
    c->status.outcome = o;
    text_replace(&c->reason, reason);

    if (is_news && !c->account_refused)
        log_event(OUTCOME_CONTROLLER_UNUSABLE, {"WRITEBACK_DC", c->name},
                  {"WRITEBACK_DOMAIN", c->domain->config->domain}, {"WRITEBACK_REASON", reason});
}

/* ---- Trying again ---------------------------------------------------------------------------- */

static void set_timer(controller *c, usec_t at) {
    (void) sd_event_source_set_time(c->timer, at);
    (void) sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
}

/* A quarter more or less, so that many agents do not come back at the same moment. */
static usec_t jitter(usec_t span) {
    uint32_t random;

    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
        return span;
    return span - span / 4 + span / 2 * (random % 1024) / 1024;
}

static void try_later(controller *c) {
    usec_t pause = RETRY_FIRST << (c->failures < 6 ? c->failures : 6);
    usec_t at = now_monotonic() + jitter(pause < RETRY_MAX ? pause : RETRY_MAX);

    c->failures++;
    c->phase = PHASE_IDLE;
    if (at < c->domain->refused_until)
        at = c->domain->refused_until + jitter(RETRY_FIRST);
    set_timer(c, at);
}

static void on_opened(void *userdata);
static void on_lost(outcome o, const char *reason, void *userdata);

static void begin(controller *c) {
    (void) sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
    c->began_at = now_monotonic();
    c->account_refused = false;

    if (is_global_catalog(c))
        return become_unusable(c, OUTCOME_AD_CONFIGURATION,
                               "is given with the port of the global catalog, which takes no "
                               "changes; LDAPS has port 636");

    if (connection_new(c->domain->event, c->resolver, &c->target, on_opened, on_lost, c,
                       &c->connection) < 0) {
        become_unusable(c, OUTCOME_AD_NOT_REACHABLE, "cannot be tried, for want of memory");
        return try_later(c);
    }
    c->phase = PHASE_OPENING;
}

void controller_wake(controller *c) {
    usec_t now = now_monotonic();
    bool was_ready, is_fresh;

    assert(c);

    was_ready = c->ready_at > c->began_at;
    is_fresh = now < c->began_at + WAKE_PAUSE;
    if (c->phase == PHASE_IDLE && now >= c->domain->refused_until &&
        (c->began_at == 0 || was_ready || !is_fresh))
        begin(c);
}

static void on_lost(outcome o, const char *reason, void *userdata) {
    controller *c = userdata;
    domain *d = c->domain;
    bool was_stable = c->phase == PHASE_READY && now_monotonic() >= c->ready_at + STABLE_AFTER;

    if (!was_stable)
        become_unusable(c, o, reason);

    c->phase = PHASE_IDLE;
    c->survey = survey_free(c->survey);
    c->connection = connection_free(c->connection);

    if (was_stable) {
        c->failures = 0;
        begin(c);
    } else
        try_later(c);

    domain_bind_done(d, c);
    d->changed(d->userdata);
}

/* ---- Keeping alive --------------------------------------------------------------------------- */

static void on_alive(const connection_answer *answer, void *userdata) {
    controller *c = userdata;

    c->request = NULL;
    if (answer->result == -1)
        return;

    if (answer->result != LDAP_SUCCESS)
        return connection_fail(c->connection, OUTCOME_AD_NOT_REACHABLE,
                               "answers no longer, though it is connected");
    set_timer(c, now_monotonic() + KEEP_ALIVE);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
    static const char *const attributes[] = {"currentTime", NULL};
    controller *c = userdata;

    (void) source;
    (void) usec;

    if (c->phase == PHASE_IDLE)
        begin(c);
    else if (c->phase == PHASE_READY)
        (void) connection_search(c->connection, "", LDAP_SCOPE_BASE, "(objectClass=*)", attributes,
                                 on_alive, c, &c->request);
    return 0;
}

/* ---- From a connection to a controller that can be used -------------------------------------- */

static void on_surveyed(outcome o, const char *problem, void *userdata) {
    controller *c = userdata;
    domain *d = c->domain;

    if (o != OUTCOME_INVALID)
        return connection_fail(c->connection, o, problem);

    c->phase = PHASE_READY;
    c->failures = 0;
    c->ready_at = now_monotonic();
    set_timer(c, c->ready_at + KEEP_ALIVE);
    become_usable(c);
    d->changed(d->userdata);
}

static void on_account_refused(controller *c, const bind_refusal *refusal, const char *said) {
    _cleanup_free_ char *reason =
        text_format("refuses the agent's account: %s (%s)", refusal->reason, said);
    _cleanup_free_ char *elsewhere = text_format("is not tried, because %s refused the agent's "
                                                 "account: %s",
                                                 c->name, refusal->reason);

    log_event(
        OUTCOME_SERVICE_ACCOUNT_REFUSED, {"WRITEBACK_DC", c->name},
        {"WRITEBACK_DOMAIN", c->domain->config->domain},
        {"WRITEBACK_BIND_DN", c->domain->config->bind_dn},
        {"WRITEBACK_REASON", reason ? reason + strlen("refuses the agent's account: ") : NULL});

    c->account_refused = true;
    domain_bind_refused(c->domain, elsewhere,
                        refusal->is_wrong_password ? PAUSE_WRONG_PASSWORD : PAUSE_REFUSED);
    connection_fail(c->connection, OUTCOME_AD_CONFIGURATION,
                    reason ? reason : "refuses the agent's account");
}

static void on_bound(const connection_answer *answer, void *userdata) {
    controller *c = userdata;
    _cleanup_free_ char *said = NULL, *reason = NULL;
    const bind_refusal *refusal;

    c->request = NULL;
    if (answer->result == -1)
        return;

    if (answer->result == LDAP_SUCCESS) {
        c->phase = PHASE_SURVEYING;
        if (survey_new(c->connection, c->domain->config->privileged_groups, on_surveyed, c,
                       &c->survey) < 0)
            connection_fail(c->connection, OUTCOME_AD_NOT_REACHABLE, "takes no more requests");
        return domain_bind_done(c->domain, c);
    }

    said = answer_describe(answer->result, answer->text);
    refusal = answer_bind_refusal(answer->result, answer->text);
    if (refusal)
        return on_account_refused(c, refusal, said ? said : "");

    reason = text_format("did not sign the agent in: %s", said ? said : "");
    connection_fail(c->connection, OUTCOME_AD_NOT_REACHABLE, reason ? reason : "");
}

void controller_bind_turn(controller *c) {
    const directory_config *config;

    assert(c);

    if (c->phase != PHASE_WAITING || !connection_is_open(c->connection))
        return;

    if (now_monotonic() < c->domain->refused_until) {
        c->account_refused = true;
        return connection_fail(c->connection, OUTCOME_AD_CONFIGURATION,
                               c->domain->refusal ? c->domain->refusal : "is not tried");
    }

    if (!domain_bind_begin(c->domain, c))
        return;

    config = c->domain->config;
    c->phase = PHASE_BINDING;
    if (connection_bind(c->connection, config->bind_dn, config->bind_password, on_bound, c,
                        &c->request) < 0)
        connection_fail(c->connection, OUTCOME_AD_NOT_REACHABLE, "takes no requests");
}

static void on_opened(void *userdata) {
    controller *c = userdata;

    c->phase = PHASE_WAITING;
    controller_bind_turn(c);
}

/* ---- The controller -------------------------------------------------------------------------- */

int controller_new(domain *d, const char *text, controller **ret) {
    _cleanup_(controller_freep) controller *c = NULL;
    int r;

    assert(d);
    assert(text);
    assert(ret);

    c = calloc(1, sizeof(controller));
    if (!c)
        return -ENOMEM;

    c->domain = d;
    c->status.since = now_realtime();
    c->status.outcome = OUTCOME_INVALID;
    r = parse_name(text, &c->host, &c->port);
    if (r < 0)
        return r;

    c->name = strdup(strcmp(c->port, "636") == 0 ? c->host : text);
    if (!c->name)
        return -ENOMEM;
    c->target = (connection_target){.name = c->name,
                                    .host = c->host,
                                    .port = c->port,
                                    .ca_file = d->config->ca_file,
                                    .ca_directory = d->config->ca_directory};

    r = worker_new(d->event, "resolver", &c->resolver);
    if (r >= 0)
        r = sd_event_add_time(d->event, &c->timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_timer, c);
    if (r >= 0)
        r = sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(c);
    return 0;
}

controller *controller_free(controller *c) {
    if (!c)
        return NULL;

    survey_free(c->survey);
    connection_request_free(c->request);
    connection_free(c->connection);
    worker_free(c->resolver);
    sd_event_source_disable_unref(c->timer);
    free(c->name);
    free(c->host);
    free(c->port);
    free(c->reason);
    free(c);
    return NULL;
}

connection *controller_connection(const controller *c) {
    assert(c);
    return c->phase == PHASE_READY && connection_is_open(c->connection) ? c->connection : NULL;
}

const survey_result *controller_survey(const controller *c) {
    assert(c);
    return survey_get(c->survey);
}

bool controller_is_busy(const controller *c) {
    assert(c);
    return c->phase != PHASE_IDLE && !controller_connection(c);
}

const controller_status *controller_get_status(controller *c) {
    assert(c);

    c->status.name = c->name;
    c->status.reason = c->reason;
    if (c->connection)
        c->status.latency = connection_latency(c->connection);
    return &c->status;
}

const char *controller_name(const controller *c) {
    assert(c);
    return c->name;
}
