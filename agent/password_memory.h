/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which password a request id came with, so that a repetition with another one is noticed.
 *
 * Holds keyed fingerprints (HMAC-SHA256 with a key made at start and never stored) of the last
 * requests, in memory only. Logs nothing. */

#include "agent/base/secret.h"

typedef struct password_memory password_memory;

/* Returns 0, or negative errno where no random key is to be had. */
int password_memory_new(password_memory **ret);
password_memory *password_memory_free(password_memory *m);

/* Remembers the password of `id`, or compares it where the id is remembered already. Returns true
 * where it is the same or was not known, false where it is another. */
bool password_memory_agrees(password_memory *m, const char *id, const secret *password);

DEFINE_CLEANUP(password_memory *, password_memory_free);
