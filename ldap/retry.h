/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* When to try again. Pure: no clock, no randomness of its own; `random` is any number
 * (agent/base/random.h). */

#include <stdbool.h>

#include "agent/base/macro.h"

/* A controller after `failures` earlier ones in a row: 1, 2, 4 … 60 s, each a quarter more or less,
 * so that many agents do not come back at the same moment. */
usec_t retry_controller(unsigned failures, uint32_t random);

/* How often credentials that were refused as wrong are tried until the configuration is read
 * again: once more, for a refusal that was a mistake, and never three times, which is what strict
 * domains lock an account for, some for good. */
#define RETRY_WRONG_CREDENTIALS_MAX 2

/* The agent's account, refused now; its credentials as wrong `n_wrong` times since it was accepted
 * last, this one included, whatever other refusals came between. Wrong credentials are tried
 * again after 31 to 46 minutes: AD forgets a wrong password after 30 minutes by default, so that
 * the two do not count together towards a lockout; and after RETRY_WRONG_CREDENTIALS_MAX no more,
 * which is USEC_INFINITY. A state of the account that may mend itself is looked at again after 5 to
 * 6 minutes; it costs the account nothing. */
usec_t retry_account(bool is_wrong_password, unsigned n_wrong, uint32_t random);
