/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the rooms' other parts need of the agent's keys. */

#include "relay/relay.h"

/* Reads a JWK set with the private halves. Returns 0; -EBADMSG with a static text of what is wrong
 * in *ret_why; -ENOMEM. */
int agent_keys_parse(const char *text, size_t size, agent_keys **ret, const char **ret_why);

/* The encryption key `kid` as a JWK of kty, crv, x, y, d and nothing else, owned by the caller. It
 * is kept as a secret and becomes JSON for as long as it is used. Returns 0; -ENOENT where there is
 * none; -ENOMEM. */
int agent_keys_get_private(const agent_keys *k, const char *kid, json_t **ret);
