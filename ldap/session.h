/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One connection to a controller on which the agent's account is signed in.
 *
 * Steps: name, socket and TLS (connection.h); its turn to bind; the bind; then it is ready, and
 * kept alive by a cheap read whenever it would be idle for long. One that is signed in by Kerberos
 * gives itself up before its tickets end, when nobody waits for an answer. A session is lost once
 * and never revived. Nothing here logs. */

#include "agent/base/clock.h"
#include "ldap/connection.h"

typedef struct domain domain;
typedef struct session session;

/* Each comes from the loop. `ready` comes at most once; `alive` whenever session_probe(), or the
 * read that keeps it alive, was answered. After `lost` the callee frees the session, there or
 * later. */
typedef struct session_events {
    void (*ready)(session *s, void *userdata);
    void (*alive)(session *s, void *userdata);
    void (*lost)(session *s, outcome o, const char *reason, void *userdata);
} session_events;

/* Begins to connect. What is given is borrowed. Returns 0 or negative errno. */
int session_new(domain *d, worker *resolver, const connection_target *target,
                const session_events *events, void *userdata, session **ret);

/* Takes NULL, returns NULL. No request of somebody else's may be under way on its connection, but
 * modifies that nobody waits for any more. */
session *session_free(session *s);

/* Gives it up: `lost` will be called. */
void session_fail(session *s, outcome o, const char *reason);

/* Goes on with what waited for its turn to bind, or gives up where the account has been refused. */
void session_bind_turn(session *s);

/* To send requests on; NULL where it is not ready, or lost. May be called with NULL. */
connection *session_connection(const session *s);

/* Whether anybody waits for an answer on its connection. */
bool session_is_idle(const session *s);

/* Whether it was ready for so long that its end is no failure of the controller's, only a reason to
 * connect anew. */
bool session_was_stable(const session *s);

/* How long it has been ready; 0: it is not. */
usec_t session_age(const session *s);

/* Why the controller refused the agent's account; NULL: it did not. */
const char *session_refusal(const session *s);

/* Whether it did not even try to bind, since the account was refused elsewhere. */
bool session_was_held_back(const session *s);

/* Whether the controller refused the account because it cannot check it: a read-only one that does
 * not hold the account's secret. */
bool session_is_unknown_there(const session *s);

/* What the controller's clock said when it was asked last whether it still answers. */
clock_reading session_peer_clock(const session *s);

/* Asks it now whether it still answers. */
void session_probe(session *s);

DEFINE_CLEANUP(session *, session_free);
