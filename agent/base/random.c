/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/random.h"

#include <sys/random.h>

uint32_t random_number(void) {
    uint32_t number;

    return getrandom(&number, sizeof(number), GRND_NONBLOCK) == sizeof(number) ? number : 0;
}

usec_t with_jitter(usec_t span) {
    return span - span / 5 + (usec_t) ((double) span * 0.4 * random_number() / UINT32_MAX);
}
