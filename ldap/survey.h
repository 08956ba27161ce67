/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A first look at a controller: what it is, what it can, and where the places are that the
 * configuration names: privileged groups, units and groups in or out of scope; and which site this
 * host is in.
 *
 * Nothing here logs. */

#include <stdbool.h>

#include "agent/base/clock.h"
#include "agent/base/outcome.h"
#include "ldap/connection.h"
#include "ldap/identity.h"

typedef enum place_use {
    PLACE_PRIVILEGED,
    PLACE_ALLOWED,
    PLACE_DENIED,
    PLACE_USE_MAX_,
} place_use;

/* An entry that the configuration names. */
typedef struct place {
    place_use use;
    char *dn;        /* as the directory spells it */
    security_id sid; /* its size is 0 where it is no group */
} place;

/* What was found; the survey's. */
typedef struct survey_result {
    clock_reading clock;      /* the controller's */
    char *naming_context;     /* of the domain */
    char *host;               /* as it calls itself; NULL: it does not say */
    const char *policy_hints; /* OID of the control; NULL: the controller has none */
    bool is_read_only;
    bool is_pdc; /* the domain's PDC emulator; where that was asked for */
    char *site;  /* this host's; NULL: not asked for, or not known */
    place *places;
    size_t n_places;
    bool has_groups;    /* among the places */
    security_id *token; /* whom the agent is in this session: its account and all its groups */
    size_t n_token;
} survey_result;

typedef struct survey survey;

/* The controller can be used (OUTCOME_INVALID), or cannot, and why: a sentence's end that follows
 * its name, borrowed. The callee may free the survey. */
typedef void (*survey_done_fn)(outcome o, const char *problem, void *userdata);

/* Borrowed as long as the survey lives. */
typedef struct survey_questions {
    char *const *places[PLACE_USE_MAX_]; /* DNs, NULL-terminated; may be NULL */
    bool wants_pdc, wants_site;
} survey_questions;

/* Begins to look, over a bound connection.
 *
 * Returns 0 or negative errno; `done` is not called from here. Where the connection is lost, `done`
 * is not called at all. */
int survey_new(connection *c, const survey_questions *questions, survey_done_fn done,
               void *userdata, survey **ret);
survey *survey_free(survey *s);

const survey_result *survey_get(const survey *s);

DEFINE_CLEANUP(survey *, survey_free);
