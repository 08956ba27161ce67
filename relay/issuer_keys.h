/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* An issuer's published keys (RFC 7517). Nothing here logs. */

#include <stdbool.h>

#include "relay/relay.h"

#define ISSUER_KEYS_SIZE_MAX ((size_t) 256 * 1024)
#define ISSUER_KEYS_MAX 100

/* Reads a JWK set and keeps the keys that can verify what we accept: with a kid; for signatures; EC
 * P-256, or RSA of at least 2048 bits; sound. Others are passed over, and so is a second key of the
 * same kid, and those that say (`issuer`) that they are another issuer's than `config`'s, as
 * Entra's may; NULL: that is not looked at. `*ret` maps each kid to a JWK of public members and alg
 * alone.
 *
 * Returns 0; -EBADMSG with a static text in *ret_why where it is no such set or holds no such key;
 * -ENOMEM. */
int issuer_keys_parse(const char *text, size_t size, const issuer_config *config, json_t **ret,
                      const char **ret_why);

/* Whether the type of the key, and its alg where it has one, go with the algorithm. */
bool issuer_key_fits(const json_t *jwk, const char *alg);
