/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One controller of a domain: connected all the time, or being tried again.
 *
 * Steps: name, socket and TLS (connection.h); its turn to bind; the bind; the survey; then ready.
 * Whatever fails, it is tried again by itself, at first after a second, later every minute; where
 * the agent's own account was refused, after minutes, so that the agent does not lock it out.
 *
 * Logs OUTCOME_CONTROLLER_USABLE, OUTCOME_CONTROLLER_UNUSABLE, OUTCOME_SERVICE_ACCOUNT_REFUSED and
 * OUTCOME_CONTROLLER_CERTIFICATE_EXPIRES, each when something has changed. */

#include "ldap/connection.h"
#include "ldap/directory.h"
#include "ldap/survey.h"

typedef struct controller controller;
typedef struct domain domain;

/* `text` is a host name or address with an optional :port, "[…]:port" for IPv6. Does not connect
 * yet. Returns 0; -EINVAL where the text is none of that; or another negative errno. */
int controller_new(domain *d, const char *text, controller **ret);
controller *controller_free(controller *c);

/* Connects now, if nothing is under way and it may be tried again already. */
void controller_wake(controller *c);

/* Goes on with what waited for its turn to bind, or gives up where the account has been refused. */
void controller_bind_turn(controller *c);

/* An open, bound and surveyed connection to send requests on; NULL where there is none. */
connection *controller_connection(const controller *c);
const survey_result *controller_survey(const controller *c);

/* Whether it is on the way to be ready. */
bool controller_is_busy(const controller *c);

const controller_status *controller_get_status(controller *c);
const char *controller_name(const controller *c);

DEFINE_CLEANUP(controller *, controller_free);
