/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Whether this host's clock is right, by what others' clocks say: a pure function.
 *
 * It is this host's clock that is wrong where more than half of the votes, and two at least, say
 * that it is off to the same side. Each other clock has a vote, but the controllers of one domain
 * have one together, since they all follow one of them. So one wrong peer accuses nobody but
 * itself, and neither does a domain with a wrong clock.
 *
 * From a minute on requests look expired or of the future (the contract's skew), which warns. From
 * five minutes on nothing works any more: Kerberos (RFC 4120 section 8.2), the relay's tokens,
 * Entra's tokens and assertions; that fails, and explains what else fails. */

#include "agent/base/macro.h"

#define CLOCK_OFF_AFTER USEC_PER_MINUTE
#define CLOCK_WRONG_AFTER (5 * USEC_PER_MINUTE)

/* What another clock says. */
typedef struct clock_witness {
    const char *name; /* "relay:primary", "dc1.corp.example" */
    const char *vote; /* those with the same one have it together */
    int64_t ahead;    /* how far this host's clock is ahead of it, microseconds; negative: behind */
} clock_witness;

typedef enum clock_state {
    CLOCK_IS_UNKNOWN, /* nobody has told a time */
    CLOCK_IS_RIGHT,
    CLOCK_IS_DOUBTFUL, /* somebody's clock differs, and it may well be that one that is wrong */
    CLOCK_IS_OFF,      /* this host's, by more than CLOCK_OFF_AFTER */
    CLOCK_IS_WRONG,    /* by more than CLOCK_WRONG_AFTER */
} clock_state;

clock_state clock_judge(const clock_witness *witnesses, size_t n);

/* The same for people: whose time differs by how much. malloc(3)ed; NULL where nothing is wrong or
 * memory is out. */
char *clock_describe(const clock_witness *witnesses, size_t n);
