/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The controllers of one domain, which of them to ask, and the care taken of the agent's account.
 *
 * They come from the configuration, from DNS (discovery.h), or from both: then the configured ones
 * come first. On one level it is known which hosts there are and for how long that holds, on the
 * other, with each controller, whether its service can be used.
 *
 * Binds go one after another: a wrong password costs one failed sign-in however many controllers
 * there are. Logs OUTCOME_CONTROLLERS_NOT_FOUND. */

#include "ldap/answer.h"
#include "ldap/controller.h"
#include "ldap/discovery.h"
#include "ldap/kerberos.h"

/* How often one controller is tried for one call. */
#define DOMAIN_ATTEMPTS_MAX 2

struct domain {
    sd_event *event;
    const directory_config *config;

    /* In order of preference; those that are retired come last until domain_sweep(). */
    controller *controllers[DIRECTORY_CONTROLLERS_MAX];
    size_t n_controllers;

    discovery *discovery;            /* NULL: all are configured */
    controller_status search_status; /* of DNS, while no controller is known */
    char
        *search_problem; /* what DNS was asked in vain, though others may be known; NULL: nothing */

    kerberos *kerberos;         /* NULL: the agent's account binds with its password */
    session *binding;           /* whose bind is under way */
    usec_t refused_until;       /* CLOCK_MONOTONIC; the agent's account is not tried before */
    unsigned wrong_credentials; /* refusals as wrong since the account was accepted */
    char *refusal;
    char prospect[96];

    void (*changed)(void *userdata); /* a controller's state, or which there are */
    void *userdata;
};

/* Makes the controllers of the configuration and begins to connect to all. Returns 0; -EINVAL where
 * the configuration is incomplete or wrong; or another negative errno. */
int domain_init(domain *d, sd_event *event, const directory_config *config,
                void (*changed)(void *userdata), void *userdata);
void domain_done(domain *d);

/* Puts those that DNS told of behind the configured ones and retires the others. */
void domain_take_list(domain *d, const discovery_list *found);

/* Lets go of retired controllers: whoever shows their state has seen that they are gone. */
void domain_sweep(domain *d);

/* What stands for the controllers as long as DNS told of none; NULL where they are configured. */
const controller_status *domain_search_status(domain *d);

/* Whether it is worth finding out in which site this host is; and the site. */
bool domain_wants_site(const domain *d);
void domain_set_site(domain *d, const char *site);

/* ---- The agent's account --------------------------------------------------------------------- */

/* Whether the agent's account may be used by this session now; if so, it has the turn until
 * domain_bind_done(). */
bool domain_bind_begin(domain *d, session *s);

/* Gives the turn back, where `s` has it. */
void domain_bind_done(domain *d, session *s);

/* The account is good; gives the turn back. */
void domain_bind_accepted(domain *d, session *s);

/* The account was refused by the controller `name`: nobody tries it for a while (retry.h). */
void domain_bind_refused(domain *d, const char *name, const bind_refusal *refusal);

/* When the account is tried again, as a sentence's end: "; it is tried again after …". */
const char *domain_bind_prospect(const domain *d);

/* ---- Which controller to ask ----------------------------------------------------------------- */

/* What a call has tried so far, by the controller's slot. */
typedef struct domain_attempts {
    uint8_t n[DIRECTORY_CONTROLLERS_MAX];
} domain_attempts;

/* Chooses a controller that is ready: one not tried yet before one that was; one that is not
 * suspected of being stuck; `preferred`; the PDC emulator, where that is configured; and then the
 * first in the list. Counts the attempt.
 *
 * need_hints   only controllers with policy hints
 *
 * Returns the controller, borrowed; or NULL, with *ret_wait telling whether one may soon be
 * usable. */
controller *domain_pick(domain *d, domain_attempts *attempts, bool need_hints,
                        const char *preferred, bool *ret_wait);

/* Whether domain_pick() would choose one that is neither suspected nor tried yet. */
bool domain_has_another(const domain *d, const domain_attempts *attempts, bool need_hints);

/* Has every controller tried again that can be. */
void domain_wake(domain *d);

/* Why no controller can be used: what is wrong with each, and what that comes to as an outcome.
 * OUTCOME_AD_NOT_REACHABLE as long as one that would do is only away; what is wrong with the others
 * is in the text all the same. malloc(3)ed, or NULL. */
char *domain_explain(domain *d, bool need_hints, outcome *ret_outcome);
