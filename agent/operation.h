/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One reset, change, unlock or check, from sealed request to answer, in one direction:
 *
 *   opened → token verified → seen before? → initiator authorised → account located → target
 * authorised → about to send, recorded → one modify → outcome recorded → answered, logged, counted
 *
 * The account is looked for in all domains side by side (account_search.h), and nothing is sent to
 * the directory in the last seconds.
 *
 * An answer is recorded before it leaves. Where the disk does not take it any more, it leaves all
 * the same, and 35063 is logged: the ledger still says that the modify was sent, or that nothing
 * was, so a repetition is told what the directory says, and nothing is done twice.
 *
 * Every request given to operations_begin() is answered, 45 s after it came at the latest. Logs for
 * each request, repeated ones too, one entry that has WRITEBACK_OUTCOME and tells all of it: who,
 * what, on whom, by which relay, on which controller, how it ended and after how long. For what
 * changes something another one tells its start and, where it fails, one more the cause. */

#include "agent/config.h"
#include "agent/ledger.h"
#include "agent/licence.h"
#include "agent/limits.h"
#include "agent/password_memory.h"
#include "health/health.h"
#include "ldap/directory.h"
#include "relay/relay.h"

typedef struct operations operations;

/* What operations stand on; all borrowed and longer-lived. */
typedef struct operations_context {
    sd_event *event;
    const config *config;
    const agent_keys *keys;
    const identities *identities;
    issuer *const *issuers; /* as many as config has */
    directory *const *directories;
    ledger *ledger;
    health *health;
    password_memory *passwords;
    limits *limits;
} operations_context;

/* Called when the last operation under way has been answered. */
typedef void (*operations_idle_fn)(void *userdata);

int operations_new(const operations_context *context, operations_idle_fn on_idle, void *userdata,
                   operations **ret);

/* Operations under way are dropped without an answer: drain first, and free the ledger before,
 * since it may still have something to tell. Takes NULL, returns NULL. */
operations *operations_free(operations *o);

/* Takes over a POST /v1/requests, whose body is the sealed request. */
void operations_begin(operations *o, relay_request *q);

/* What is known of the tenant's licence; LICENCE_UNKNOWN at first. Counts for whatever is
 * authorised from now on. */
void operations_set_licence(operations *o, licence l);

/* How many are under way. */
size_t operations_pending(const operations *o);

DEFINE_CLEANUP(operations *, operations_free);
