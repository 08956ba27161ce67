/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* When a key is made, replaced and dropped. Pure but for random keys: no file, no clock, no log.
 *
 * A set is the JSON of the agent's key file: `iat` tells when a key was made and `exp` when it
 * ends. The first key of each use is the current one. */

#include "relay/relay.h"

/* Replaces the current keys that are due (all of them where `force`; none for its age where they
 * are renewed elsewhere), or missing; drops keys that were replaced and have ended; gives keys
 * without an end theirs. A key from the future, made while the clock was wrong, is due. Returns 1
 * where something has changed, 0, or -ENOMEM. */
int key_life_tend(json_t *set, const agent_keys_options *options, usec_t now, bool force);

/* Whether a current key is due: what key_life_tend() would replace. */
bool key_life_is_due(const json_t *set, const agent_keys_options *options, usec_t now);

/* Puts the keys of another agent's set in front. Current keys that are not among them are replaced
 * thereby; what has ended is dropped. Returns 1 where something has changed, 0, or -ENOMEM. */
int key_life_adopt(json_t *set, const json_t *theirs, const agent_keys_options *options,
                   usec_t now);

/* Drops the key `kid`. Returns 0; -ENOENT; -EBUSY where it is a current one. */
int key_life_retire(json_t *set, const char *kid);
