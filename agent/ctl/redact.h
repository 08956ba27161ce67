/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Takes out of a text what must not leave this host. Nothing here logs. */

#include "agent/base/macro.h"

#define REDACTED "(masked)"

/* A copy of an address with what stands before its @ masked. malloc(3)ed, or NULL. */
char *redact_url(const char *url);

/* A copy of a configuration file that tells nothing but settings that writebackd.conf(5) has, with
 * their values: comments, unknown settings, keys and passwords within values, and what stands in
 * the place of a credential's name without being one are masked. Lines keep their numbers.
 * malloc(3)ed, or NULL. */
char *redact_config(const char *text);

/* Secrets of this host, to be looked for in everything. */
typedef struct known_secrets known_secrets;

/* Reads all credentials that the configuration's files name (NULL-terminated paths), however wrong
 * they are otherwise, and what is in the folder of the running service's credentials and in
 * /etc/writeback/credentials. What those files have where something else is expected counts too.
 * What cannot be read is passed over. NULL where memory is out. */
known_secrets *known_secrets_read(const char *const *files);
known_secrets *known_secrets_free(known_secrets *k);

/* A copy of `text` in which each of them is masked. malloc(3)ed, or NULL. */
char *known_secrets_mask(const known_secrets *k, const char *text);

DEFINE_CLEANUP(known_secrets *, known_secrets_free);
