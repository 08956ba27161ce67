/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which rule of the password policy a refused password breaks.
 *
 * Windows refuses with one text for all rules, so they are worked out here from the policy in
 * force, as evidence: the verdict is the directory's. Nothing here logs. */

#include <stdbool.h>

#include "agent/base/secret.h"
#include "ldap/directory.h"

/* The policy in force for one account: a fine-grained one, else the domain's. */
typedef struct password_policy {
    unsigned long long min_length;
    unsigned long long history_length;
    usec_t min_age;
    bool complexity;
    unsigned long long lockout_threshold; /* 0: wrong passwords do not lock */
} password_policy;

/* What the rules look at beside the password. Borrowed. */
typedef struct policy_subject {
    const char *sam_account_name;
    const char *display_name; /* may be NULL */
    bool may_be_simple;       /* neither length nor complexity counts (UF_PASSWD_NOTREQD) */
    usec_t password_last_set; /* CLOCK_REALTIME; 0: unknown */
    usec_t now;               /* CLOCK_REALTIME */
    bool history_enforced;    /* a change, or a reset with policy hints (MS-ADTS 3.1.1.3.4.1.27):
                                 history and minimum age count */
} policy_subject;

/* Fills in the rules that the password breaks: those that the directory's text names, and those
 * found broken here.
 *
 * policy   NULL where it could not be read; then only what the text names is told
 *
 * Where no rule explains the refusal, what is left are history (if enforced) and a password filter,
 * and both are named. Returns how many there are, at most DIRECTORY_REASONS_MAX; 0 where nothing
 * can be told. */
size_t policy_reasons(const char *text, const password_policy *policy,
                      const policy_subject *subject, const secret *password,
                      directory_policy_reason ret[static DIRECTORY_REASONS_MAX]);

/* Three of the five classes of characters of MS-SAMR 3.1.1.7.2; and neither the account's name nor
 * a part of the display name, of three characters or more, is in it. */
bool policy_is_complex(const secret *password, const char *sam_account_name,
                       const char *display_name);
