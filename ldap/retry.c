/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/retry.h"

#define CONTROLLER_FIRST (1 * USEC_PER_SEC)
#define CONTROLLER_MAX (60 * USEC_PER_SEC)
#define CONTROLLER_DOUBLINGS 6

#define WRONG_CREDENTIALS (31 * USEC_PER_MINUTE)
#define REFUSED (5 * USEC_PER_MINUTE)

/* Up to `span`, evenly. */
static usec_t up_to(usec_t span, uint32_t random) {
    return span * (random % 1024) / 1024;
}

usec_t retry_controller(unsigned failures, uint32_t random) {
    usec_t pause = CONTROLLER_FIRST
                   << (failures < CONTROLLER_DOUBLINGS ? failures : CONTROLLER_DOUBLINGS);

    if (pause > CONTROLLER_MAX)
        pause = CONTROLLER_MAX;
    return pause - pause / 4 + up_to(pause / 2, random);
}

usec_t retry_account(bool is_wrong_password, unsigned n_wrong, uint32_t random) {
    if (!is_wrong_password)
        return REFUSED + up_to(USEC_PER_MINUTE, random);
    if (n_wrong >= RETRY_WRONG_CREDENTIALS_MAX)
        return USEC_INFINITY;
    return WRONG_CREDENTIALS + up_to(15 * USEC_PER_MINUTE, random);
}
