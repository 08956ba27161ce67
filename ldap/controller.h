/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One controller of a domain: connected all the time, or being tried again.
 *
 * It has two sessions (session.h), since a controller answers the requests of one connection
 * strictly one after another: one for searches, one for changes, so that nobody waits for an
 * account to be found behind somebody else's slow reset. Both are opened at once and not when first
 * needed: a reset then pays for no handshake and no bind, and that it cannot be done is known
 * before it is asked for. The second is bound when the first has been, so that a wrong password
 * costs one failed sign-in.
 *
 * Steps: the session for searches; the survey; the session for changes; then ready. Whatever fails,
 * it is tried again by itself (retry.h). A session that ends after it was good for a while is only
 * replaced. While changes are unanswered their session is kept, whatever becomes of the other.
 *
 * Logs OUTCOME_CONTROLLER_USABLE, OUTCOME_CONTROLLER_UNUSABLE, OUTCOME_SERVICE_ACCOUNT_REFUSED and
 * OUTCOME_CONTROLLER_CERTIFICATE_EXPIRES, each when something has changed. */

#include "ldap/directory.h"
#include "ldap/session.h"
#include "ldap/survey.h"

typedef struct controller controller;

/* Whether it can be one's: a host name or address with an optional :port, "[…]:port" for IPv6. */
bool controller_name_is_valid(const char *text);

/* Does not connect yet.
 *
 * text            its name, as above
 * is_discovered   DNS told of it, nobody else: its certificate must name the domain, and if it is
 *                 read-only it is passed over without a word of complaint
 * slot            its number in the domain
 *
 * Returns 0; -EINVAL where the text is none of that; or another negative errno. */
int controller_new(domain *d, const char *text, bool is_discovered, unsigned slot,
                   controller **ret);
controller *controller_ref(controller *c);

/* Takes NULL, returns NULL. */
controller *controller_unref(controller *c);

/* It is no controller of the domain's any more: not asked, not tried again. */
void controller_retire(controller *c);
bool controller_is_retired(const controller *c);

/* Connects now, if nothing is under way and it may be tried again already. */
void controller_wake(controller *c);

/* Goes on with what waited for its turn to bind. */
void controller_bind_turn(controller *c);

/* Whether a request may be begun on it. */
bool controller_is_ready(const controller *c);

/* Where requests can be sent. One that was begun must be ready to find either NULL later. */
connection *controller_connection(const controller *c);       /* for searches */
connection *controller_write_connection(const controller *c); /* for changes */

/* The last one that succeeded; there is one as soon as the controller was ready once. */
const survey_result *controller_survey(const controller *c);

/* Whether its configured name is its own, as far as can be told; an address counts as one. Behind
 * another name, the domain's for example, there may be several, and which one answers next is not
 * known. */
bool controller_is_itself(const controller *c);

/* Whether policy hints can be sent to it, as far as is known: it may never have been ready. */
bool controller_may_have_hints(const controller *c);

/* Whether it is on the way to be ready. */
bool controller_is_busy(const controller *c);

/* It lets a request wait: it is asked whether it still answers, and comes last until it does. */
void controller_suspect(controller *c);
bool controller_is_suspect(const controller *c);
/* Connects once more, for the caller alone, who binds as he likes. As connection_new(); the
 * connection must not outlive the controller. */
int controller_dial(controller *c, connection_opened_fn opened, connection_lost_fn lost,
                    void *userdata, connection **ret);

const controller_status *controller_get_status(controller *c);
const char *controller_name(const controller *c);
bool controller_is_discovered(const controller *c);
unsigned controller_slot(const controller *c);

DEFINE_CLEANUP(controller *, controller_unref);
