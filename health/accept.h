/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which of two representations a client would rather have (RFC 9110 section 12.5.1). */

/* How much `header` (the value of Accept; NULL: none was sent) wants `type` ("text/plain"), from 0
 * to 1: the weight of the most specific range that matches. Parameters but q are not compared. */
double accept_weight(const char *header, const char *type);
