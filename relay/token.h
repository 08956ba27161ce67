/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One access token: its form, its signature, its claims. Pure: no network, no clock, no log.
 *
 * The functions return -EACCES where the token is refused, with a malloc(3)ed text for people in
 * *ret_why. A text quotes of the token its algorithm, kid, issuer, audience, tenant and times at
 * most, each cut short. */

#include "relay/compact.h"
#include "relay/relay.h"

#define TOKEN_MAX ((size_t) 16 * 1024)

/* The parts of a compact JWS (RFC 7515 section 7.1). */
enum { TOKEN_HEADER, TOKEN_PAYLOAD, TOKEN_SIGNATURE, TOKEN_PARTS };

typedef struct token {
    compact_part parts[TOKEN_PARTS]; /* borrowed */
    json_t *header, *claims;
    const char *alg, *kid; /* of the header, never NULL */
} token;

/* Splits and parses a token without believing it: size, form, header parameters, algorithm.
 * Borrows `text`. Returns 0, -EACCES or -ENOMEM. */
int token_parse(const char *text, size_t size, token *ret, char **ret_why);

/* Frees the members, not the struct; leaves it all zero. */
void token_done(token *t);

/* The signature against `jwk`, one of issuer_keys_parse(). Returns 0, -EACCES or -ENOMEM. */
int token_check_signature(const token *t, const json_t *jwk, char **ret_why);

/* iss, tid, aud, exp, nbf, iat and what kind of token it is. `now` is of CLOCK_REALTIME. Returns 0,
 * -EACCES or -ENOMEM. */
int token_check_claims(const token *t, const issuer_config *config, usec_t now, char **ret_why);

/* Moves the claims over. */
void token_take_claims(token *t, token_claims *ret);

#define QUOTE_MAX 128

/* A text from outside for a text of ours: as it is, or its beginning and "…" in the buffer. It is
 * cut between characters, so that it stays UTF-8. */
const char *quote(const char *text, char buffer[static QUOTE_MAX]);
