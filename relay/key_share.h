/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Another agent's keys, as agent_keys_export() gave them away: opened, and judged as strictly as
 * the agent's own file. No file, no log. */

#include "relay/relay.h"

/* What follows the last bracket or letter is cut off if it is white space. Returns 0 and the set;
 * -EBADMSG where these are no keys, or public ones alone; -ENOKEY, -EKEYREJECTED where they are
 * sealed and there is no seal, or another one; -EKEYEXPIRED; all with a static text in *ret_why; or
 * -ENOMEM. */
int key_share_read(const secret *text, const agent_keys_options *options, usec_t now, json_t **ret,
                   const char **ret_why);
