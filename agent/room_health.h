/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the rooms tell, in the words of health: the status, why, and the event whose steps cure it.
 * Pure functions; name and instance of the component are left to the caller, texts are borrowed
 * from what was told. */

#include "agent/key_keeper.h"
#include "health/health.h"
#include "ldap/directory.h"
#include "relay/relay.h"

health_component relay_health(const relay_status *s);

/* A controller that answers and yet cannot do a reset is of no use: `needs_hints` where
 * PolicyHints=require. */
health_component controller_health(const controller_status *s, bool needs_hints);

health_component issuer_health(const issuer_status *s);
health_component keys_health(const key_keeper_status *s);

/* `r` and `why` as the ledger tells them (agent/ledger.h). */
health_component ledger_health(int r, const char *why);
