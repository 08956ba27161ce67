/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Takes out of a text what must not leave this host. Nothing here logs. */

#include "agent/base/redact_url.h"

/* A copy of a configuration file that tells nothing but settings that writebackd.conf(5) has, with
 * their values: comments, unknown settings, keys and passwords within values, what may be secret in
 * addresses, and what stands in the place of a credential's name without being one are masked.
 * Lines keep their numbers. malloc(3)ed, or NULL. */
char *redact_config(const char *text);
