/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which host this is, so that a state directory which was copied from another is noticed. Nothing
 * here logs. */

#include <stdbool.h>

#include "agent/base/macro.h"

#define HOST_ID_MAX 33

/* What this host is known by: /etc/machine-id, hashed with an id of this program
 * (sd_id128_get_machine_app_specific(3)), so that the machine id itself is told to nobody. 32
 * hexadecimal digits. Returns 0, or negative errno where the host has no machine id. */
int host_id(char ret[static HOST_ID_MAX]);

/* Whether the folder is this host's, by the file `path` in it, which is made where it is not there.
 * Blocks for the disk. Returns 0; -EXDEV where it is another's; or another negative errno. */
int host_claim(const char *path, const char *id);
