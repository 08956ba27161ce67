/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Secrets of this host, to be looked for in everything that leaves it. Nothing here logs. */

#include "agent/base/json.h"

typedef struct known_secrets known_secrets;

/* Reads all credentials that the configuration's files name (NULL-terminated paths), however wrong
 * they are otherwise, and what is in the folder of the running service's credentials and in
 * /etc/writeback/credentials. What those files have where something else is expected counts too,
 * and what redact_config() masks in values. What cannot be read is passed over. NULL where memory
 * is out. */
known_secrets *known_secrets_read(const char *const *files);
known_secrets *known_secrets_free(known_secrets *k);

/* A copy of `text` in which each of them is masked, and what stands before the @ of any address:
 * the journal may have one that the configuration had last week. malloc(3)ed, or NULL. */
char *known_secrets_mask(const known_secrets *k, const char *text);

/* The same of all strings in it, however JSON would write them: with a \ before " and \, one would
 * not be found in the text. A new reference, or NULL where memory is out. */
json_t *known_secrets_mask_json(const known_secrets *k, const json_t *document);

DEFINE_CLEANUP(known_secrets *, known_secrets_free);
