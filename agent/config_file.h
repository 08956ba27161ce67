/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The form of the configuration, without its meaning: settings in sections, each with its place.
 *
 * INI as inih reads it: `[Section]` or `[Section "name"]`, `Key=value`, comments behind `#` or `;`
 * at the start of a line and behind ` ;` within one. A line that begins with white space continues
 * the value before it. The main file is read first, then PATH.d/ *.conf in the order of their
 * names. Nothing here logs. */

#include <stdbool.h>
#include <stddef.h>

#include "agent/base/macro.h"

typedef struct config_place {
    char *file;
    int line;
} config_place;

typedef struct config_setting {
    char *key;
    char *value; /* continuation lines are joined by a newline */
    config_place place;
    bool used; /* for the reader of the meaning: what nobody asked for is an error */
} config_setting;

typedef struct config_section {
    char *type; /* "Relay" */
    char *name; /* "primary"; NULL where the header has none */
    config_place place;
    config_setting *settings;
    size_t n_settings;
} config_section;

typedef struct config_file {
    config_section *sections;
    size_t n_sections;
} config_file;

/* Reads the file and its drop-ins. A setting in a later file replaces that of an earlier one; one
 * that stands twice in the same file is listed twice.
 *
 * Returns 0; negative errno with a malloc(3)ed text "FILE:LINE: what is wrong" in *ret_why (NULL
 * where memory is out). */
int config_file_read(const char *path, config_file *ret, char **ret_why);
void config_file_done(config_file *f);
