/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Chance, for jitter and for choosing among equals. Keys are OpenSSL's to make. Logs nothing. */

#include <stdint.h>

/* Any number. Never blocks; 0 where the kernel has no entropy yet. */
uint32_t random_number(void);
