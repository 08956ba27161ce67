/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which files the configuration is made of. Unlike config_file_read() it minds nothing that is
 * wrong in them. Nothing here logs. */

#include "agent/base/macro.h"

#define CONFIG_FILES_MAX 50

typedef struct config_files {
    char *paths[CONFIG_FILES_MAX + 1]; /* NULL-terminated; the main one first */
    size_t n;
} config_files;

/* `path` and its drop-ins, in the order in which they are read; NULL is the default. Returns 0 or
 * -ENOMEM. */
int config_files_find(const char *path, config_files *ret);
void config_files_done(config_files *files);

/* When one of them was written last, CLOCK_REALTIME; 0 where none is there. */
usec_t config_files_changed(const config_files *files);
