/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The readers of those sections that have a file of their own. Each reads one section into
 * `r->into`; what is wrong is noted in `r`. */

#include "agent/config.h"
#include "agent/config_reader.h"

void config_read_directory(config_reader *r, config_section *s); /* the next one of [Directory] */
