/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/domain.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <syslog.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/random.h"
#include "agent/base/text.h"
#include "ldap/retry.h"

/* ---- Which there are ------------------------------------------------------------------------- */

static bool is_complete(const directory_config *c) {
    if (!c->domain || !(c->discovers || (c->controllers && c->controllers[0])) || !c->bind_dn ||
        !*c->bind_dn)
        return false;
    if (c->bind_method == BIND_KERBEROS)
        return c->keytab;

    /* Without a password a simple bind succeeds and is anonymous (RFC 4513 section 5.1.2). */
    return c->bind_password && secret_size(c->bind_password) > 0;
}

/* Attempts of calls are counted by slot, so that it must be nobody else's. */
static unsigned free_slot(const domain *d) {
    bool taken[DIRECTORY_CONTROLLERS_MAX] = {};
    unsigned slot = 0;

    for (size_t i = 0; i < d->n_controllers; i++)
        taken[controller_slot(d->controllers[i])] = true;
    while (taken[slot])
        slot++;
    return slot;
}

static int add(domain *d, const char *name, bool is_discovered) {
    int r;

    if (d->n_controllers == DIRECTORY_CONTROLLERS_MAX)
        return -E2BIG;

    r = controller_new(d, name, is_discovered, free_slot(d), &d->controllers[d->n_controllers]);
    if (r < 0)
        return r;

    d->n_controllers++;
    return 0;
}

/* Returns its index, or n_controllers. */
static size_t find(const domain *d, const char *name) {
    size_t i = 0;

    while (i < d->n_controllers && (controller_is_retired(d->controllers[i]) ||
                                    strcasecmp(controller_name(d->controllers[i]), name) != 0))
        i++;
    return i;
}

static void move(domain *d, size_t from, size_t to) {
    controller *c = d->controllers[from];

    memmove(&d->controllers[to + 1], &d->controllers[to], (from - to) * sizeof(controller *));
    d->controllers[to] = c;
}

void domain_take_list(domain *d, const discovery_list *found) {
    size_t n = 0;

    assert(d);
    assert(found);

    while (n < d->n_controllers && !controller_is_discovered(d->controllers[n]))
        n++;

    for (size_t i = 0; i < found->n; i++) {
        size_t at = find(d, found->hosts[i]);

        /* A name in DNS that cannot be one, or more than there is room for, is passed over. */
        if (at == d->n_controllers && add(d, found->hosts[i], /* is_discovered= */ true) < 0)
            continue;
        if (at >= n)
            move(d, at, n++);
    }

    for (; n < d->n_controllers; n++)
        controller_retire(d->controllers[n]);
}

/* As long as there is a list, that DNS does not answer is worth a word, and no more. */
static void log_problem(const domain *d, const discovery_list *found, const char *problem) {
    if (d->search_problem && strcmp(d->search_problem, problem) == 0)
        return;

    if (found)
        log_text(LOG_WARNING, "%s: %s; the controllers that are known stay in use",
                 d->config->domain, problem);
    else
        log_event(OUTCOME_CONTROLLERS_NOT_FOUND, {"WRITEBACK_DOMAIN", d->config->domain},
                  {"WRITEBACK_REASON", problem});
}

static void on_discovered(const discovery_list *found, const char *problem, void *userdata) {
    domain *d = userdata;

    if (problem)
        log_problem(d, found, problem);
    text_replace(&d->search_problem, problem);
    if (found) {
        domain_take_list(d, found);
        domain_wake(d);
    }
    d->changed(d->userdata);
}

static bool has_controllers(const domain *d) {
    for (size_t i = 0; i < d->n_controllers; i++)
        if (!controller_is_retired(d->controllers[i]))
            return true;
    return false;
}

const controller_status *domain_search_status(domain *d) {
    controller_state state = CONTROLLER_UNTRIED;

    assert(d);

    if (!d->discovery)
        return NULL;

    if (has_controllers(d))
        state = CONTROLLER_GONE;
    else if (d->search_problem)
        state = CONTROLLER_UNUSABLE;

    if (d->search_status.state != state)
        d->search_status.since = now_realtime();
    d->search_status.state = state;
    d->search_status.name = discovery_name(d->discovery);
    d->search_status.outcome =
        state == CONTROLLER_UNUSABLE ? OUTCOME_CONTROLLERS_NOT_FOUND : OUTCOME_INVALID;
    d->search_status.reason = d->search_problem;
    return &d->search_status;
}

bool domain_wants_site(const domain *d) {
    return d->discovery && !d->config->site;
}

void domain_set_site(domain *d, const char *site) {
    if (domain_wants_site(d))
        discovery_set_site(d->discovery, site);
}

int domain_init(domain *d, sd_event *event, const directory_config *config,
                void (*changed)(void *userdata), void *userdata) {
    int r;

    assert(d);
    assert(event);
    assert(config);

    *d = (domain){
        .event = sd_event_ref(event), .config = config, .changed = changed, .userdata = userdata};
    d->search_status.since = now_realtime();
    if (!is_complete(config))
        return -EINVAL;

    if (config->bind_method == BIND_KERBEROS) {
        r = kerberos_new(event, config, &d->kerberos);
        if (r < 0)
            return r;
    }

    for (char **text = config->controllers; text && *text; text++) {
        r = add(d, *text, /* is_discovered= */ false);
        if (r < 0)
            return r;
    }

    if (config->discovers) {
        r = discovery_new(event, config->domain, config->site, config->prefers_pdc, on_discovered,
                          d, &d->discovery);
        if (r < 0)
            return r;
    }

    domain_wake(d);
    return 0;
}

void domain_sweep(domain *d) {
    size_t n = 0;

    assert(d);

    for (size_t i = 0; i < d->n_controllers; i++)
        if (controller_is_retired(d->controllers[i]))
            controller_unref(d->controllers[i]);
        else
            d->controllers[n++] = d->controllers[i];
    d->n_controllers = n;
}

void domain_done(domain *d) {
    size_t n = d->n_controllers;

    assert(d);

    /* None of them gets the turn to bind any more. */
    d->n_controllers = 0;
    d->discovery = discovery_free(d->discovery);
    for (size_t i = 0; i < n; i++)
        controller_unref(d->controllers[i]);
    d->kerberos = kerberos_free(d->kerberos);
    free(d->refusal);
    free(d->search_problem);
    d->refusal = d->search_problem = NULL;
    d->event = sd_event_unref(d->event);
}

/* ---- The agent's account --------------------------------------------------------------------- */

bool domain_bind_begin(domain *d, session *s) {
    if (d->binding && d->binding != s)
        return false;

    d->binding = s;
    return true;
}

static void next_turn(domain *d) {
    for (size_t i = 0; i < d->n_controllers; i++)
        controller_bind_turn(d->controllers[i]);
}

void domain_bind_done(domain *d, session *s) {
    if (d->binding != s)
        return;

    d->binding = NULL;
    next_turn(d);
}

void domain_bind_accepted(domain *d, session *s) {
    d->wrong_credentials = 0;
    d->refused_until = 0;
    domain_bind_done(d, s);
}

void domain_bind_refused(domain *d, const char *name, const bind_refusal *refusal) {
    _cleanup_free_ char *text = NULL;
    char date[RFC3339_MAX];
    usec_t pause;

    if (refusal->is_wrong_password)
        d->wrong_credentials++;
    pause = retry_account(refusal->is_wrong_password, d->wrong_credentials, random_number());
    if (pause == USEC_INFINITY) {
        d->refused_until = USEC_INFINITY;
        (void) snprintf(d->prospect, sizeof(d->prospect),
                        "; it is not tried again until the configuration is reloaded");
    } else {
        d->refused_until = now_monotonic() + pause;
        (void) snprintf(d->prospect, sizeof(d->prospect), "; it is tried again after %s",
                        rfc3339_utc(now_realtime() + pause, date));
    }

    text = text_format("is not tried, because %s refused the agent's account: %s%s", name,
                       refusal->reason, d->prospect);
    text_replace(&d->refusal, text);
}

const char *domain_bind_prospect(const domain *d) {
    return d->prospect;
}

/* ---- Which to ask ---------------------------------------------------------------------------- */

void domain_wake(domain *d) {
    for (size_t i = 0; i < d->n_controllers; i++)
        controller_wake(d->controllers[i]);
}

static bool can_be_asked(const controller *c, bool need_hints) {
    return controller_is_ready(c) && !controller_is_retired(c) &&
           (!need_hints || controller_survey(c)->policy_hints);
}

/* How much a controller is wanted; 0: it cannot be asked. */
static unsigned rank(const domain *d, const controller *c, unsigned attempts, bool need_hints,
                     const char *preferred) {
    if (attempts >= DOMAIN_ATTEMPTS_MAX || !can_be_asked(c, need_hints))
        return 0;

    return 1 + (attempts == 0 ? 8u : 0u) + (controller_is_suspect(c) ? 0u : 4u) +
           (preferred && strcmp(preferred, controller_name(c)) == 0 ? 2u : 0u) +
           (d->config->prefers_pdc && controller_survey(c)->is_pdc ? 1u : 0u);
}

bool domain_has_another(const domain *d, const domain_attempts *attempts, bool need_hints) {
    for (size_t i = 0; i < d->n_controllers; i++) {
        const controller *c = d->controllers[i];

        if (attempts->n[controller_slot(c)] == 0 && !controller_is_suspect(c) &&
            can_be_asked(c, need_hints))
            return true;
    }
    return false;
}

controller *domain_pick(domain *d, domain_attempts *attempts, bool need_hints,
                        const char *preferred, bool *ret_wait) {
    size_t best = 0;
    unsigned best_rank = 0;

    assert(d);
    assert(attempts);
    assert(ret_wait);

    *ret_wait = false;
    for (size_t i = 0; i < d->n_controllers; i++) {
        controller *c = d->controllers[i];
        unsigned tried = attempts->n[controller_slot(c)];
        unsigned r = rank(d, c, tried, need_hints, preferred);

        if (r > best_rank) {
            best = i;
            best_rank = r;
        }
        if (controller_is_busy(c) && !controller_is_retired(c) && tried < DOMAIN_ATTEMPTS_MAX)
            *ret_wait = true;
    }

    /* DNS is being asked for the first time. */
    if (d->n_controllers == 0 && d->discovery && !d->search_problem)
        *ret_wait = true;

    if (best_rank == 0)
        return NULL;

    attempts->n[controller_slot(d->controllers[best])]++;
    return d->controllers[best];
}

/* What of a controller that cannot be asked comes to as an outcome, and in words. */
static outcome explain(controller *c, bool need_hints, char **ret_text) {
    const controller_status *s = controller_get_status(c);

    if (s->state == CONTROLLER_UNUSABLE) {
        *ret_text = text_format("%s: %s", s->name, s->reason ? s->reason : "memory is short");
        return need_hints && !controller_may_have_hints(c) ? OUTCOME_POLICY_HINTS_UNAVAILABLE
                                                           : s->outcome;
    }
    if (need_hints && s->state == CONTROLLER_USABLE && !s->has_policy_hints) {
        *ret_text = text_format("%s: it does not have the policy hints control", s->name);
        return OUTCOME_POLICY_HINTS_UNAVAILABLE;
    }
    *ret_text = text_format("%s: it did not answer", s->name);
    return OUTCOME_AD_NOT_REACHABLE;
}

/* Which outcome counts. As long as one controller that would do is only away, the request can be
 * done as soon as it is back; else what must be mended counts; and that none has policy hints only
 * where all are known to have none. But while the agent's account is refused, it is of no use that
 * one comes back. */
static unsigned rank_outcome(const domain *d, outcome o) {
    switch (o) {
    case OUTCOME_INVALID:
        return 0;
    case OUTCOME_POLICY_HINTS_UNAVAILABLE:
        return 2;
    case OUTCOME_AD_NOT_REACHABLE:
        return now_monotonic() < d->refused_until ? 1 : 4;
    default:
        return 3;
    }
}

char *domain_explain(domain *d, bool need_hints, outcome *ret_outcome) {
    outcome o = OUTCOME_INVALID;
    char *text = NULL;

    assert(d);
    assert(ret_outcome);

    for (size_t i = 0; i < d->n_controllers; i++) {
        _cleanup_free_ char *one = NULL;
        outcome its;

        if (controller_get_status(d->controllers[i])->state == CONTROLLER_GONE)
            continue;

        its = explain(d->controllers[i], need_hints, &one);
        if (one)
            text_append(&text, "; ", one);
        if (rank_outcome(d, its) > rank_outcome(d, o))
            o = its;
    }

    if (o == OUTCOME_INVALID) {
        o = OUTCOME_AD_NOT_REACHABLE;
        text = d->search_problem ? strdup(d->search_problem)
                                 : strdup("no writable domain controller is known");
    }
    *ret_outcome = o;
    return text;
}
