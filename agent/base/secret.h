/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Memory for passwords, tokens and keys: locked into RAM, left out of core dumps, wiped when freed.
 *
 * It is OpenSSL's secure heap (OPENSSL_secure_malloc(3)), of a fixed size that is also the budget
 * for everything secret at once: where it is used up, allocation fails and the request at hand is
 * refused. Before secret_memory_init(), and in sanitizer builds, the same functions use the
 * ordinary heap and still wipe.
 *
 * Libraries hold copies for a moment in the ordinary heap; agent/base/wipe.c wipes what is freed
 * there. Nothing here logs. */

#include <stdbool.h>
#include <sys/types.h>

#include "agent/base/macro.h"

/* Sets the secure heap up, locks all memory of this process (mlockall(2)), makes jansson wipe what
 * it frees, and forbids core dumps (prctl(2) PR_SET_DUMPABLE). Call once, first thing in main(),
 * before any thread and any JSON.
 *
 * *ret_lock_error is 0, or the negative errno of mlockall(2) where all works but the process could
 * not be locked (RLIMIT_MEMLOCK too low, mostly). Returns 0 or negative errno. */
int secret_memory_init(int *ret_lock_error);

/* calloc(3) and free(3) on that heap; contents are wiped on free. secret_mfree() takes what came
 * from plain malloc(3) as well. */
void *secret_calloc(size_t n, size_t size);
void secret_mfree(void *p);

/* A secret string of bytes; may hold NULs, and has one behind its end that `size` does not count.
 */
typedef struct secret secret;

/* Copies `size` bytes. Returns 0 or -ENOMEM. */
int secret_new(const void *data, size_t size, secret **ret);

/* Room for `size` bytes, all zero, to be filled through secret_buffer(). Returns 0 or -ENOMEM. */
int secret_new_empty(size_t size, secret **ret);

/* Wipes and frees; takes NULL; returns NULL. */
secret *secret_free(secret *s);

const char *secret_data(const secret *s);
size_t secret_size(const secret *s);
char *secret_buffer(secret *s);

/* Makes it shorter, wiping what is cut off. `size` must not exceed secret_size(). */
void secret_truncate(secret *s, size_t size);

/* Compares in a time that depends on the sizes alone. */
bool secret_equal(const secret *a, const secret *b);

DEFINE_CLEANUP(secret *, secret_free);
