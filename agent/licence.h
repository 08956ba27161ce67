/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Whether the tenant may use password writeback (Microsoft: entra/identity/authentication/
 * concept-sspr-licensing): what agent/service.c hears of Microsoft Graph, and tells operations. */

typedef enum licence {
    LICENCE_UNKNOWN, /* not looked at, or not to be told: nobody is refused for it */
    LICENCE_HELD,
    LICENCE_MISSING,
} licence;
