/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The problem document of an outcome (RFC 9457), the same from whichever room it comes. */

#include "agent/base/json.h"
#include "agent/base/outcome.h"

#define PROBLEM_CONTENT_TYPE "application/problem+json"

/* What the outcome's row says, and of this very case:
 *
 * id       of the request (jti); NULL where it is not known
 * detail   for people; NULL: the row's title
 * steps    lines; NULL: the row's
 *
 * A new reference, or NULL where memory is out. Logs nothing. */
json_t *problem_new(outcome o, const char *id, const char *detail, const char *steps);
