/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The running agent, asked for its health. Blocks, for 5 s at most. Nothing here logs. */

#include "agent/base/json.h"
#include "agent/ctl/ctl.h"

/* The document of /status at `address`, HOST:PORT or the path of a Unix socket. Returns 0;
 * -EHOSTUNREACH where no agent answers; -ENOMEM; with a malloc(3)ed text in *ret_why. */
int agent_get_health(const char *address, json_t **ret, char **ret_why);

/* The same, where the command line or else the configuration says that the agent serves it. -EINVAL
 * too, where the configuration cannot be read. */
int agent_find_health(const ctl_options *options, json_t **ret, char **ret_why);
