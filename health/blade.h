/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* From the components to what the portal shows: pure functions, nothing allocated, nothing logged.
 *
 * Components are grouped into alternatives: all relays; the controllers of one domain; all issuers;
 * each other component alone. A group fails when every one of it fails; a failure that an
 * alternative covers is a warning. */

#include "health/components.h"

/* The portal's words (the contract's blade). */
typedef enum blade_state {
    BLADE_UP_AND_RUNNING,
    BLADE_TEMPORARILY_UNAVAILABLE,
    BLADE_NOT_CONFIGURED, /* no relay, or no directory */
    BLADE_NOT_ENABLED,    /* the tenant is known to have no licence for writeback */
} blade_state;

/* Why the blade does not show: the support article's three groups. */
typedef enum blade_reason {
    BLADE_REASON_NONE,
    BLADE_REASON_NOT_IN_USE,
    BLADE_REASON_WRITEBACK, /* its installation or connectivity */
    BLADE_REASON_SYNC,      /* the same of directory synchronisation */
} blade_reason;

typedef struct blade {
    health_status overall; /* pass, warn or fail */
    bool ready;            /* requests can be served: synchronisation and licence do not matter */
    blade_state state;     /* the blade is visible exactly where it is up and running */
    bool has_relay;
    bool has_directory;
} blade;

blade blade_fold(const components *all);

/* The failure that this one follows from, and which hides it until that is mended; NULL where it
 * stands for itself. A wrong clock makes certificates and tokens look wrong, at relays, controllers
 * and issuers. Where no relay can be reached, issuers and Microsoft Graph mostly cannot be either,
 * by the same way out; a relay that refuses the agent was reached, and says nothing of them. */
const component *blade_root_of(const components *all, const component *c);

/* What this component adds to the reasons; NONE where it, or an alternative to it, works, or where
 * it follows from another failure. What requests need and nobody has tried yet is a reason, too:
 * the blade must not show before it is known to work. */
blade_reason blade_reason_of(const components *all, const component *c);

/* Whether requests cannot be served because of it: it fails, or has not been tried yet (since a
 * reload, not again), and nothing stands in for it. */
bool blade_is_in_the_way(const components *all, const component *c);

/* Whether people should be told what to do about it. */
bool blade_needs_cure(const components *all, const component *c);

const char *blade_state_name(blade_state state);

/* What the portal says of it. */
const char *blade_state_sentence(blade_state state);

/* The group's name in JSON, and a title for people. */
const char *blade_reason_name(blade_reason reason);
const char *blade_reason_title(blade_reason reason);

const char *health_status_name(health_status status);
