/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The agent's keys with their private halves, on their way to another agent. */

#include "relay/relay.h"

/* Writes them to standard output, which must not be a terminal, nor a file that others may read;
 * and to standard error what they are and how to treat them. Returns 0, or negative errno with a
 * malloc(3)ed text. */
int keys_share_write(const agent_keys_options *options, char **ret_why);

/* Reads what that wrote, from a file, or "-", standard input. Returns 0, or negative errno with a
 * malloc(3)ed text. */
int keys_share_read(const char *path, secret **ret, char **ret_why);
