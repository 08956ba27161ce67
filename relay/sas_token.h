/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Shared access signature tokens (Microsoft: azure-relay/relay-authentication-and-authorization).
 * Nothing here logs. */

#include "agent/base/secret.h"

/* What a token is for: "http://HOST/PATH/", malloc(3)ed, or NULL. Always http, without a port and
 * with a slash at its end, whatever the connection is: so do Microsoft's clients. */
char *sas_resource(const char *host, const char *path);

/* Signs `resource`. The key's text is the key, not what it decodes to. `expiry` in seconds since
 * 1970. The token's characters need no escaping in a header or in JSON.
 *
 * Returns 0; -ENOMEM; -EIO where OpenSSL fails. */
int sas_token_make(const char *resource, const char *key_name, const secret *key, uint64_t expiry,
                   secret **ret);
