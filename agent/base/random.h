/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Chance, for jitter and for choosing among equals. Keys are OpenSSL's to make. Logs nothing. */

#include "agent/base/macro.h"

/* Any number. Never blocks; 0 where the kernel has no entropy yet. */
uint32_t random_number(void);

/* The same span, a fifth more or less at most: those who fell together shall not come back
 * together. */
usec_t with_jitter(usec_t span);
