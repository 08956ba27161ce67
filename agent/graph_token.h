/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The agent's own access token, by OAuth 2.0 client credentials (RFC 6749 section 4.4; Microsoft:
 * entra/identity-platform/v2-oauth2-client-creds-grant-flow): what is posted, and what comes back.
 * Nothing here logs. */

#include "agent/graph.h"

/* Reads a certificate (PEM) and finds that `key` (PEM) is its key, RSA of 2048 bits or more, as
 * Entra wants. Sets thumbprint and not_after.
 *
 * Returns 0; -EINVAL with a static text that ends a sentence, in *ret_why; -ENOMEM. */
int graph_certificate_read(const secret *certificate, const secret *key, graph_config *ret,
                           const char **ret_why);

/* The client assertion: a JWT signed with the certificate's key, good for five minutes from `now`
 * (CLOCK_REALTIME) on. Returns 0, -EIO where it cannot be signed, or -ENOMEM. */
int graph_assertion_make(const graph_config *c, usec_t now, secret **ret);

/* The form that is posted (application/x-www-form-urlencoded). Returns as above. */
int graph_token_request(const graph_config *c, usec_t now, secret **ret);

/* The answer with status 200: the token, and how long it is good. Returns 0; -EBADMSG with a static
 * text in *ret_why; -ENOMEM. */
int graph_token_read(const char *body, size_t size, secret **ret_token, usec_t *ret_lifetime,
                     const char **ret_why);

/* What an error of the token endpoint (RFC 6749 section 5.2) or of Graph says, for people:
 * "AADSTS7000215: Invalid client secret provided"; "Authorization_RequestDenied: …". Without what
 * varies from one to the next (Trace ID and the like), cut short. malloc(3)ed, or NULL where it is
 * no such answer. */
char *graph_error_describe(const char *body, size_t size);
