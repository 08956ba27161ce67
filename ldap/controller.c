/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/controller.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <syslog.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/random.h"
#include "agent/base/text.h"
#include "ldap/domain.h"
#include "ldap/retry.h"

#define READ_ONLY "it is a read-only domain controller, which takes no changes"

/* A request may have a controller that cannot be reached tried before its time, but not more often
 * than this. */
#define WAKE_PAUSE (1 * USEC_PER_SEC)

#define CERTIFICATE_WARNING (30 * USEC_PER_DAY)

/* What is known of a certificate is of the day the session was opened. When it seems to run out,
 * the session is replaced after this time, lest a warning outlive the renewal. */
#define RENEW_AFTER USEC_PER_DAY

typedef enum controller_phase {
    PHASE_IDLE,     /* until the timer */
    PHASE_STARTING, /* the session for searches */
    PHASE_SURVEYING,
    PHASE_OPENING, /* the session for changes */
    PHASE_READY,
} controller_phase;

struct controller {
    unsigned n_refs;
    domain *domain;
    char *name, *host, *port;
    char *address; /* host:port, for the log */
    bool is_discovered, is_retired;
    unsigned slot;
    worker *resolver;
    connection_target target;

    controller_phase phase;
    session *searches, *writes;
    survey *survey, *surveying; /* the last that succeeded, and the one under way */
    sd_event_source *timer;
    usec_t began_at, ready_at; /* CLOCK_MONOTONIC */
    unsigned failures;         /* in a row */
    bool is_suspect;

    controller_status status;
    char *reason;
    usec_t warned_of; /* the not_after that was warned of last */
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

/* Which part of the text is the host, and what its port is. Returns false where it is no name. */
static bool split_name(const char *text, const char **ret_host, size_t *ret_length,
                       const char **ret_port) {
    const char *end, *port = "636";
    size_t length = strlen(text);

    if (text[0] == '[') {
        end = strchr(++text, ']');
        if (!end)
            return false;
        length = (size_t) (end - text);
        if (end[1] == ':')
            port = end + 2;
        else if (end[1] != '\0')
            return false;
    } else {
        end = strchr(text, ':');
        /* More than one colon is a bare IPv6 address. */
        if (end && !strchr(end + 1, ':')) {
            length = (size_t) (end - text);
            port = end + 1;
        }
    }

    *ret_host = text;
    *ret_length = length;
    *ret_port = port;

    /* What stands between names elsewhere, or around them, is in no name. */
    return length > 0 && strcspn(text, ",;/\\@\"'[]") >= length && is_port(port);
}

static int parse_name(const char *text, char **ret_host, char **ret_port) {
    const char *host, *port;
    size_t length;

    if (!split_name(text, &host, &length, &port))
        return -EINVAL;

    *ret_host = strndup(host, length);
    *ret_port = strdup(port);
    return *ret_host && *ret_port ? 0 : -ENOMEM;
}

bool controller_name_is_valid(const char *text) {
    const char *host, *port;
    size_t length;

    return split_name(text, &host, &length, &port);
}

/* Why nothing that listens on this port can be of use; NULL where something may. */
static const char *wrong_port(const controller *c) {
    if (strcmp(c->port, "3268") == 0 || strcmp(c->port, "3269") == 0)
        return "is given with the port of the global catalog, which takes no changes; LDAPS has "
               "port 636";
    if (strcmp(c->port, "389") == 0)
        return "is given with the port of LDAP in plain text, which takes no passwords; LDAPS has "
               "port 636";
    return NULL;
}

/* ---- Status ---------------------------------------------------------------------------------- */

static void set_state(controller *c, controller_state state) {
    if (c->status.state == state)
        return;

    c->status.state = state;
    c->status.since = now_realtime();
}

static void tell_domain(controller *c) {
    c->domain->changed(c->domain->userdata);
}

static bool certificate_expires_soon(const controller *c) {
    return c->status.not_after != 0 && c->status.not_after <= now_realtime() + CERTIFICATE_WARNING;
}

static void warn_of_expiry(controller *c) {
    char date[RFC3339_MAX];
    usec_t not_after = c->status.not_after;

    if (!certificate_expires_soon(c) || not_after == c->warned_of)
        return;

    c->warned_of = not_after;
    log_event(OUTCOME_CONTROLLER_CERTIFICATE_EXPIRES, {"WRITEBACK_DC", c->name},
              {"WRITEBACK_DOMAIN", c->domain->config->domain}, {"WRITEBACK_ADDRESS", c->address},
              {"WRITEBACK_NOT_AFTER", rfc3339_utc(not_after, date)});
}

static void note_figures(controller *c) {
    connection *searches = session_connection(c->searches);

    if (!searches)
        return;

    c->status.latency = connection_latency(searches);
    c->status.not_after = connection_not_after(searches);
    warn_of_expiry(c);
}

static void note_clock(controller *c, clock_reading theirs) {
    if (theirs.date > 0)
        c->status.clock = theirs;
}

static void become_usable(controller *c) {
    const char *hints = survey_get(c->survey)->policy_hints;
    bool is_news = c->status.state != CONTROLLER_USABLE || c->status.has_policy_hints != !!hints;

    set_state(c, CONTROLLER_USABLE);
    text_replace(&c->reason, NULL);
    c->status.outcome = OUTCOME_INVALID;
    c->status.is_account_refused = false;
    c->status.has_policy_hints = hints;

    if (is_news)
        log_event(OUTCOME_CONTROLLER_USABLE, {"WRITEBACK_DC", c->name},
                  {"WRITEBACK_DOMAIN", c->domain->config->domain},
                  {"WRITEBACK_POLICY_HINTS", hints ? hints : "none"});
    if (is_news && !controller_is_itself(c))
        log_text(
            LOG_WARNING,
            "%s calls itself %s. Name it so in Controllers=: behind another name there may be several "
            "controllers, so where an answer is lost, the agent cannot find out that nothing was done.",
            c->name, survey_get(c->survey)->host);
    note_figures(c);
}

/* By which authorities its certificate is judged. */
static const char *ca_file(const directory_config *config) {
    if (config->ca_file)
        return config->ca_file;
    return config->ca_directory ? config->ca_directory : LOG_SYSTEM_CA_FILE;
}

static void log_unusable(const controller *c, const session *s) {
    const directory_config *config = c->domain->config;
    bool is_folder = !config->ca_file && config->ca_directory; /* ldap.conf(5) */

    if (s && session_refusal(s))
        log_event(OUTCOME_SERVICE_ACCOUNT_REFUSED, {"WRITEBACK_DC", c->name},
                  {"WRITEBACK_DOMAIN", config->domain}, {"WRITEBACK_ADDRESS", c->address},
                  {"WRITEBACK_CA_FILE", ca_file(config)},
                  {"WRITEBACK_CA_KIND", is_folder ? "CACERTDIR" : "CACERT"},
                  {"WRITEBACK_BIND_DN", config->bind_dn}, {"WRITEBACK_REASON", session_refusal(s)});
    else if (!s || !session_was_held_back(s))
        log_event(OUTCOME_CONTROLLER_UNUSABLE, {"WRITEBACK_DC", c->name},
                  {"WRITEBACK_DOMAIN", config->domain}, {"WRITEBACK_HOST", c->host},
                  {"WRITEBACK_ADDRESS", c->address}, {"WRITEBACK_CA_FILE", ca_file(config)},
                  {"WRITEBACK_REASON", c->reason});
}

/* `problem` is a sentence's end that follows the controller's name; `s` is the session that failed,
 * or NULL. */
static void become_unusable(controller *c, const session *s, outcome o, const char *problem) {
    _cleanup_free_ char *reason = text_format("it %s", problem);
    bool is_news = c->status.state != CONTROLLER_UNUSABLE || !c->reason || !reason ||
                   strcmp(c->reason, reason) != 0;

    set_state(c, CONTROLLER_UNUSABLE);
    c->status.outcome = o;
    c->status.is_account_refused = s && (session_refusal(s) || session_was_held_back(s));
    text_replace(&c->reason, reason);
    if (is_news)
        log_unusable(c, s);
}

/* ---- Trying again ---------------------------------------------------------------------------- */

static void try_later(controller *c) {
    usec_t at = now_monotonic() + retry_controller(c->failures++, random_number());

    if (c->domain->refused_until == USEC_INFINITY)
        return;
    if (at < c->domain->refused_until)
        at = c->domain->refused_until + retry_controller(0, random_number());

    (void) sd_event_source_set_time(c->timer, at);
    (void) sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
}

/* ---- Giving up ------------------------------------------------------------------------------- */

/* Who waits for an answer to a search is told; who waits for one to a change may still get it. */
static void drop_sessions(controller *c) {
    if (c->searches)
        session_fail(c->searches, OUTCOME_AD_NOT_REACHABLE, "was given up");
    if (c->writes && session_is_idle(c->writes))
        session_fail(c->writes, OUTCOME_AD_NOT_REACHABLE, "was given up");
}

static void stop(controller *c) {
    c->phase = PHASE_IDLE;
    c->is_suspect = false;
    c->surveying = survey_free(c->surveying);
    drop_sessions(c);
}

/* It is none that can be chosen, and that is nobody's fault. */
static void pass_over(controller *c) {
    set_state(c, CONTROLLER_GONE);
    c->status.outcome = OUTCOME_INVALID;
    text_replace(&c->reason, READ_ONLY);
    stop(c);
    log_text(LOG_INFO, "%s is a read-only domain controller and is passed over", c->name);
    tell_domain(c);
}

/* `s` is the session that failed, which the caller frees; or NULL. */
static void fail(controller *c, const session *s, outcome o, const char *problem) {
    become_unusable(c, s, o, problem);
    stop(c);
    try_later(c);
    tell_domain(c);
}

/* ---- From a session to a controller that can be used ----------------------------------------- */

static void begin(controller *c);

static void become_ready(controller *c) {
    c->phase = PHASE_READY;
    c->failures = 0;
    c->is_suspect = false;
    c->ready_at = now_monotonic();
    become_usable(c);
    tell_domain(c);
}

static const session_events session_events_of_controller;

static int open_session(controller *c, session **ret) {
    return session_new(c->domain, c->resolver, &c->target, &session_events_of_controller, c, ret);
}

/* One that is still there from before must show that it is alive: it may have gone down with the
 * one for searches. */
static void open_writes(controller *c) {
    c->phase = PHASE_OPENING;
    if (session_connection(c->writes))
        return session_probe(c->writes);

    if (!c->writes && open_session(c, &c->writes) < 0)
        fail(c, NULL, OUTCOME_AD_NOT_REACHABLE, "cannot be tried, for want of memory");
}

static void on_surveyed(outcome o, const char *problem, void *userdata) {
    controller *c = userdata;
    const survey_result *found = survey_get(c->surveying);

    if (found->is_read_only && c->is_discovered)
        return pass_over(c);
    if (o != OUTCOME_INVALID)
        return session_fail(c->searches, o, problem);

    survey_free(c->survey);
    c->survey = TAKE_PTR(c->surveying);
    note_clock(c, found->clock);
    if (found->site)
        domain_set_site(c->domain, found->site);
    open_writes(c);
}

static void on_ready(session *s, void *userdata) {
    controller *c = userdata;
    const survey_questions questions = {
        .places = {[PLACE_PRIVILEGED] = c->domain->config->privileged_groups,
                   [PLACE_ALLOWED] = c->domain->config->allowed_targets,
                   [PLACE_DENIED] = c->domain->config->denied_targets},
        .wants_pdc = c->domain->config->prefers_pdc,
        .wants_site = domain_wants_site(c->domain),
    };

    if (s == c->writes) {
        if (c->phase == PHASE_OPENING)
            become_ready(c);
        return;
    }

    c->phase = PHASE_SURVEYING;
    if (survey_new(session_connection(s), &questions, on_surveyed, c, &c->surveying) < 0)
        session_fail(s, OUTCOME_AD_NOT_REACHABLE, "takes no more requests");
}

static void on_alive(session *s, void *userdata) {
    controller *c = userdata;

    if (s == c->searches) {
        c->is_suspect = false;
        note_clock(c, session_peer_clock(s));
        note_figures(c);
        tell_domain(c);
    } else if (c->phase == PHASE_OPENING)
        become_ready(c);

    if (session_age(s) >= RENEW_AFTER && session_is_idle(s) && certificate_expires_soon(c))
        session_fail(s, OUTCOME_AD_NOT_REACHABLE, "is connected to anew");
}

static void on_searches_lost(controller *c, session *s, outcome o, const char *reason) {
    bool was_stable = c->phase >= PHASE_OPENING && session_was_stable(s);

    c->surveying = survey_free(c->surveying);
    c->searches = NULL;
    if (c->phase == PHASE_IDLE)
        return;

    if (was_stable)
        begin(c);
    else if (c->is_discovered && session_is_unknown_there(s))
        pass_over(c);
    else
        fail(c, s, o, reason);
}

static void on_writes_lost(controller *c, session *s, outcome o, const char *reason) {
    bool was_ready = session_age(s) > 0;

    c->writes = NULL;
    if (c->phase < PHASE_OPENING)
        return;

    /* One from before that did not live; or a good one that has ended. */
    if (was_ready && (c->phase == PHASE_OPENING || session_was_stable(s)))
        open_writes(c);
    else
        fail(c, s, o, reason);
}

static void on_lost(session *s, outcome o, const char *reason, void *userdata) {
    controller *c = userdata;

    if (c->is_retired)
        c->phase = PHASE_IDLE;
    if (s == c->searches)
        on_searches_lost(c, s, o, reason);
    else
        on_writes_lost(c, s, o, reason);
    session_free(s);
}

static const session_events session_events_of_controller = {
    .ready = on_ready, .alive = on_alive, .lost = on_lost};

static void begin(controller *c) {
    const char *problem;

    (void) sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);

    /* It is about to be lost. */
    if (c->searches)
        return try_later(c);

    c->began_at = now_monotonic();
    problem = wrong_port(c);
    if (problem)
        return become_unusable(c, NULL, OUTCOME_AD_CONFIGURATION, problem);

    c->phase = PHASE_STARTING;
    if (open_session(c, &c->searches) < 0)
        fail(c, NULL, OUTCOME_AD_NOT_REACHABLE, "cannot be tried, for want of memory");
}

static bool can_be_tried(const controller *c) {
    return c->phase == PHASE_IDLE && !c->is_retired && c->status.state != CONTROLLER_GONE;
}

void controller_wake(controller *c) {
    usec_t now = now_monotonic();
    bool was_ready, is_fresh;

    assert(c);

    was_ready = c->ready_at > c->began_at;
    is_fresh = now < c->began_at + WAKE_PAUSE;
    if (can_be_tried(c) && now >= c->domain->refused_until &&
        (c->began_at == 0 || was_ready || !is_fresh))
        begin(c);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
    controller *c = userdata;

    (void) source;
    (void) usec;

    if (can_be_tried(c))
        begin(c);
    return 0;
}

void controller_bind_turn(controller *c) {
    assert(c);

    if (c->searches)
        session_bind_turn(c->searches);
    if (c->writes)
        session_bind_turn(c->writes);
}

void controller_suspect(controller *c) {
    assert(c);

    if (c->phase != PHASE_READY || c->is_suspect)
        return;

    c->is_suspect = true;
    session_probe(c->searches);
}

/* ---- The controller -------------------------------------------------------------------------- */

int controller_new(domain *d, const char *text, bool is_discovered, unsigned slot,
                   controller **ret) {
    _cleanup_(controller_unrefp) controller *c = NULL;
    int r;

    assert(d);
    assert(text);
    assert(ret);

    c = calloc(1, sizeof(controller));
    if (!c)
        return -ENOMEM;

    c->n_refs = 1;
    c->domain = d;
    c->is_discovered = is_discovered;
    c->slot = slot;
    c->status.since = now_realtime();
    c->status.outcome = OUTCOME_INVALID;
    r = parse_name(text, &c->host, &c->port);
    if (r < 0)
        return r;

    c->name = strdup(strcmp(c->port, "636") == 0 ? c->host : text);
    c->address = text_format(strchr(c->host, ':') ? "[%s]:%s" : "%s:%s", c->host, c->port);
    if (!c->name || !c->address)
        return -ENOMEM;
    c->target = (connection_target){.name = c->name,
                                    .host = c->host,
                                    .port = c->port,
                                    .domain = is_discovered ? d->config->domain : NULL,
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

controller *controller_ref(controller *c) {
    assert(c);
    c->n_refs++;
    return c;
}

controller *controller_unref(controller *c) {
    if (!c || --c->n_refs > 0)
        return NULL;

    survey_free(c->surveying);
    survey_free(c->survey);
    session_free(c->searches);
    session_free(c->writes);
    worker_abandon(c->resolver);
    sd_event_source_disable_unref(c->timer);
    free(c->name);
    free(c->host);
    free(c->address);
    free(c->port);
    free(c->reason);
    free(c);
    return NULL;
}

void controller_retire(controller *c) {
    assert(c);

    c->is_retired = true;
    set_state(c, CONTROLLER_GONE);
    (void) sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
}

bool controller_is_retired(const controller *c) {
    assert(c);
    return c->is_retired;
}

bool controller_is_ready(const controller *c) {
    assert(c);
    return c->phase == PHASE_READY && session_connection(c->searches) &&
           session_connection(c->writes);
}

connection *controller_connection(const controller *c) {
    assert(c);
    return session_connection(c->searches);
}

connection *controller_write_connection(const controller *c) {
    assert(c);
    return session_connection(c->writes);
}

const survey_result *controller_survey(const controller *c) {
    assert(c);
    return survey_get(c->survey);
}

static bool is_address(const char *host) {
    struct in6_addr any;

    return inet_pton(AF_INET, host, &any) == 1 || inet_pton(AF_INET6, host, &any) == 1;
}

bool controller_is_itself(const controller *c) {
    const char *own;

    assert(c);
    own = c->survey ? survey_get(c->survey)->host : NULL;
    return !own || is_address(c->host) || strcasecmp(c->host, own) == 0;
}

bool controller_may_have_hints(const controller *c) {
    assert(c);
    return !c->survey || survey_get(c->survey)->policy_hints;
}

bool controller_is_busy(const controller *c) {
    assert(c);
    return c->phase != PHASE_IDLE && !controller_is_ready(c);
}

bool controller_is_suspect(const controller *c) {
    assert(c);
    return c->is_suspect;
}

int controller_dial(controller *c, connection_opened_fn opened, connection_lost_fn lost,
                    void *userdata, connection **ret) {
    assert(c);
    return connection_new(c->domain->event, c->resolver, &c->target, opened, lost, userdata, ret);
}

const controller_status *controller_get_status(controller *c) {
    assert(c);

    c->status.name = c->name;
    c->status.reason = c->reason;
    return &c->status;
}

const char *controller_name(const controller *c) {
    assert(c);
    return c->name;
}

bool controller_is_discovered(const controller *c) {
    assert(c);
    return c->is_discovered;
}

unsigned controller_slot(const controller *c) {
    assert(c);
    return c->slot;
}
