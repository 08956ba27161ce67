/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How the subcommands speak: one line to standard error where something is wrong, JSON to standard
 * output. */

#include "agent/base/json.h"

/* Writes "writebackctl: …" to standard error, without control characters. Returns `status`. */
int ctl_complain(int status, const char *format, ...) _printf_(2, 3);

/* Writes it indented and drops the reference; NULL stands for memory that is out. Returns the exit
 * status. */
int ctl_print_json(json_t *j);
