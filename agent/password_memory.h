/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which passwords a request id came with, so that a repetition with another one is noticed, for as
 * long as the request lives and the agent runs, reloads included.
 *
 * Holds keyed fingerprints (HMAC-SHA256 with a key made at start and never stored) of the last
 * requests, in memory only: as many as come in a request's life at the default RequestRate=. With a
 * higher one the oldest may be forgotten sooner. Logs nothing. */

#include "agent/request.h"

typedef struct password_memory password_memory;

/* Returns 0, or negative errno where no random key is to be had. */
int password_memory_new(password_memory **ret);
password_memory *password_memory_free(password_memory *m);

/* Remembers the passwords of a request (which may have none), or compares them where its id is
 * remembered already. Returns 0 where they are the same or were not known; -EBADMSG where they are
 * others; -ENOMEM where memory for secrets is used up, and it cannot be told. */
int password_memory_compare(password_memory *m, const request *q);

DEFINE_CLEANUP(password_memory *, password_memory_free);
