/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The controllers of one domain, which of them to ask, and the care taken of the agent's account.
 *
 * Binds go one after another: a wrong password costs one failed sign-in however many controllers
 * there are. Nothing here logs. */

#include "ldap/controller.h"

#define DOMAIN_CONTROLLERS_MAX 64

/* How often one controller is tried for one call. */
#define DOMAIN_ATTEMPTS_MAX 2

struct domain {
    sd_event *event;
    const directory_config *config;

    controller *controllers[DOMAIN_CONTROLLERS_MAX];
    size_t n_controllers;

    controller *binding;  /* whose bind is under way */
    usec_t refused_until; /* CLOCK_MONOTONIC; the agent's account is not tried before */
    char *refusal;

    void (*changed)(void *userdata); /* a controller's state */
    void *userdata;
};

/* Makes the controllers of the configuration and begins to connect to all. Returns 0; -EINVAL where
 * the configuration is incomplete or wrong; or another negative errno. */
int domain_init(domain *d, sd_event *event, const directory_config *config,
                void (*changed)(void *userdata), void *userdata);
void domain_done(domain *d);

/* Whether the agent's account may be used by this controller now; if so, it has the turn until
 * domain_bind_done(). */
bool domain_bind_begin(domain *d, controller *c);

/* Gives the turn back, where `c` has it. */
void domain_bind_done(domain *d, controller *c);

/* The account was refused: nobody tries it for `pause`. */
void domain_bind_refused(domain *d, const char *refusal, usec_t pause);

/* What a call has tried so far, by index of the controller. */
typedef struct domain_attempts {
    uint8_t n[DOMAIN_CONTROLLERS_MAX];
} domain_attempts;

/* Chooses a controller: `preferred` where it can be used, else the first in the list that can; one
 * not tried yet before one that was. Counts the attempt.
 *
 * need_hints   only controllers with policy hints
 *
 * Returns the controller; or NULL, with *ret_wait telling whether one may soon be usable. */
controller *domain_pick(domain *d, domain_attempts *attempts, bool need_hints,
                        const char *preferred, bool *ret_wait);

/* Has every controller tried again that can be. */
void domain_wake(domain *d);

/* Why no controller can be used: what is wrong with each, and what that comes to as an outcome.
 * malloc(3)ed, or NULL. */
char *domain_explain(domain *d, bool need_hints, outcome *ret_outcome);
