/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The agent's key file, encrypted: a compact JWE (RFC 7516) with alg dir and enc A256GCM, which any
 * JOSE tool opens that has the key. Nothing here logs. */

#include "agent/base/secret.h"

/* key: AGENT_KEYS_SEAL_SIZE bytes. Returns 0 or -ENOMEM. */
int key_seal(const secret *key, const secret *plain, secret **ret);

/* Returns 0; -EBADMSG where it is no such JWE; -EKEYREJECTED where another key sealed it, or it was
 * changed; -ENOMEM. */
int key_unseal(const secret *key, const char *text, size_t size, secret **ret);
