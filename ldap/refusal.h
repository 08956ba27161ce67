/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Why the policy refused a password: the rules that it breaks, worked out from the policy in force.
 *
 * That is the fine-grained one that the account names (msDS-ResultantPSO), else the domain's. Where
 * the account names one that the agent's account may not read, as by default nobody but the
 * domain's administrators may, no figure of the domain's is given for it: that policy is not in
 * force for this account, and whoever kept it would be refused again. Then nothing but what the
 * directory's own text says is told, and the detail names the policy to be read. An account whose
 * msDS-ResultantPSO may not be seen is judged by the domain's policy. Nothing here logs. */

#include "ldap/write.h"

/* Fills in the reply's reasons and goes on to write_refused(). */
void refusal_explain(write_call *w);
