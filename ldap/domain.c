/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/domain.h"

#include <errno.h>
#include <string.h>

#include "agent/base/clock.h"
#include "ldap/text.h"

static bool is_complete(const directory_config *c) {
    /* Without a password a simple bind succeeds and is anonymous (RFC 4513 section 5.1.2). */
    return c->domain && c->controllers && c->controllers[0] && c->bind_dn && *c->bind_dn &&
           c->bind_password && secret_size(c->bind_password) > 0;
}

int domain_init(domain *d, sd_event *event, const directory_config *config,
                void (*changed)(void *userdata), void *userdata) {
    int r;

    assert(d);
    assert(event);
    assert(config);

    *d = (domain){
        .event = sd_event_ref(event), .config = config, .changed = changed, .userdata = userdata};
    if (!is_complete(config))
        return -EINVAL;

    for (char **text = config->controllers; *text; text++) {
        if (d->n_controllers == DOMAIN_CONTROLLERS_MAX)
            return -E2BIG;
        r = controller_new(d, *text, &d->controllers[d->n_controllers]);
        if (r < 0)
            return r;
        d->n_controllers++;
    }

    domain_wake(d);
    return 0;
}

void domain_done(domain *d) {
    assert(d);

    for (size_t i = 0; i < d->n_controllers; i++)
        controller_free(d->controllers[i]);
    d->n_controllers = 0;
    free(d->refusal);
    d->refusal = NULL;
    d->event = sd_event_unref(d->event);
}

bool domain_bind_begin(domain *d, controller *c) {
    if (d->binding && d->binding != c)
        return false;

    d->binding = c;
    return true;
}

static void next_turn(domain *d) {
    for (size_t i = 0; i < d->n_controllers; i++)
        controller_bind_turn(d->controllers[i]);
}

void domain_bind_done(domain *d, controller *c) {
    if (d->binding != c)
        return;

    d->binding = NULL;
    next_turn(d);
}

void domain_bind_refused(domain *d, const char *refusal, usec_t pause) {
    d->refused_until = now_monotonic() + pause;
    text_replace(&d->refusal, refusal);
}

void domain_wake(domain *d) {
    for (size_t i = 0; i < d->n_controllers; i++)
        controller_wake(d->controllers[i]);
}

/* How much a controller is wanted; 0: it cannot be asked. */
static unsigned rank(const controller *c, unsigned attempts, bool need_hints,
                     const char *preferred) {
    if (!controller_connection(c) || attempts >= DOMAIN_ATTEMPTS_MAX ||
        (need_hints && !controller_survey(c)->policy_hints))
        return 0;

    return 1 + (attempts == 0 ? 2u : 0u) +
           (preferred && strcmp(preferred, controller_name(c)) == 0 ? 1u : 0u);
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
        unsigned r = rank(c, attempts->n[i], need_hints, preferred);

        if (r > best_rank) {
            best = i;
            best_rank = r;
        }
        if (controller_is_busy(c) && attempts->n[i] < DOMAIN_ATTEMPTS_MAX)
            *ret_wait = true;
    }

    if (best_rank == 0)
        return NULL;

    attempts->n[best]++;
    return d->controllers[best];
}

char *domain_explain(domain *d, bool need_hints, outcome *ret_outcome) {
    outcome o = OUTCOME_INVALID;
    char *text = NULL;

    assert(d);
    assert(ret_outcome);

    for (size_t i = 0; i < d->n_controllers; i++) {
        const controller_status *s = controller_get_status(d->controllers[i]);
        _cleanup_free_ char *one = NULL;
        outcome its = s->outcome;

        if (s->state == CONTROLLER_UNUSABLE)
            one = text_format("%s: %s", s->name, s->reason ? s->reason : "memory is short");
        else if (need_hints && s->state == CONTROLLER_USABLE && !s->has_policy_hints) {
            one = text_format("%s: it does not have the policy hints control", s->name);
            its = OUTCOME_POLICY_HINTS_UNAVAILABLE;
        } else {
            one = text_format("%s: it did not answer", s->name);
            its = OUTCOME_AD_NOT_REACHABLE;
        }

        if (one)
            text_append(&text, "; ", one);

        /* What must be mended is told rather than what may pass; a missing control rather than
         * both. */
        if (o == OUTCOME_INVALID || its == OUTCOME_POLICY_HINTS_UNAVAILABLE ||
            (its == OUTCOME_AD_CONFIGURATION && o == OUTCOME_AD_NOT_REACHABLE))
            o = its;
    }

    *ret_outcome = o;
    return text;
}
