/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A password as the attribute unicodePwd takes it. Nothing here logs. */

#include "agent/base/secret.h"

/* MS-SAMR 3.1.1.7.2, the maximum password length constraint; in UTF-16 code units. */
#define PASSWORD_UNITS_MAX 256

/* The password in double quotes and UTF-16LE (MS-ADTS 3.1.1.3.1.5.1). Returns 0, -ENOMEM, or
 * -EINVAL where directory_password_check() would refuse it. */
int password_encode(const secret *password, secret **ret);
