/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The names of all settings, whatever their section; NULL-terminated. Made from the sample
 * configuration, which has all of them. */
extern const char *const ctl_settings[];
