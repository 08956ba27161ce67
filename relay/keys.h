/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the rooms' other parts need of the agent's keys. Nothing here logs. */

#include "relay/relay.h"

#define KEYS_MAX 32

/* "encryption" of "enc", "signing" of "sig". */
const char *agent_key_purpose(const char *use);

/* Reads a JWK set with the private halves; the first key of each use is the current one. A key
 * without `exp` ends its `lifetime` after it was made. Returns 0; -EBADMSG with a static text of
 * what is wrong in *ret_why; -ENOMEM. */
int agent_keys_parse(const char *text, size_t size, usec_t lifetime, agent_keys **ret,
                     const char **ret_why);

/* The same of JSON. */
int agent_keys_from_json(const json_t *set, usec_t lifetime, agent_keys **ret,
                         const char **ret_why);

/* The encryption key `kid` as a JWK of kty, crv, x, y, d and nothing else, owned by the caller. It
 * is kept as a secret and becomes JSON for as long as it is used. Returns 0; -ENOENT where there is
 * none; -EKEYEXPIRED where it has ended; -ENOMEM. */
int agent_keys_get_private(const agent_keys *k, const char *kid, usec_t now, json_t **ret);

/* The current signing key likewise, its kid borrowed. Returns 0 or -ENOMEM. */
int agent_keys_get_signing(const agent_keys *k, const char **ret_kid, json_t **ret);
