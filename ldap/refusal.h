/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Why the policy refused a password: the rules that it breaks, worked out from the policy in force.
 * Nothing here logs. */

#include "ldap/write.h"

/* Fills in the reply's reasons and goes on to write_refused(). */
void refusal_explain(write_call *w);
