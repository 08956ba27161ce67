/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a directory's answer means: its result code and diagnostic text as one of our outcomes.
 *
 * The same refusal comes with different result codes from different servers and versions; the
 * first eight hexadecimal digits of the text, a Windows error code, are the same everywhere
 * (MS-ADTS 3.1.1.3.1.9). So those are looked at first, then the code. Nothing here logs. */

#include <stdbool.h>

#include "agent/base/macro.h"
#include "agent/base/outcome.h"

typedef enum answer_kind {
    ANSWER_TO_SEARCH,
    ANSWER_TO_RESET,  /* unicodePwd replaced */
    ANSWER_TO_CHANGE, /* unicodePwd deleted and added, with the user's own rights */
    ANSWER_TO_WRITE,  /* of any other attribute */
} answer_kind;

/* result     LDAP result code
 * text       diagnostic message, "" where there was none
 *
 * Returns OUTCOME_INVALID for success. `*ret_ad_error` is the Windows error code, 0 where the text
 * has none. */
outcome answer_classify(answer_kind kind, int result, const char *text, uint32_t *ret_ad_error);

/* The rule of the password policy that the text names, as in directory_policy_reason, with its
 * figure; NULL where it names none, as Windows never does. */
const char *answer_policy_rule(const char *text, unsigned long long *ret_required);

/* Why the agent's own account was refused. */
typedef struct bind_refusal {
    uint32_t data;          /* of "data XXX" in the text; 0: none */
    const char *reason;     /* for people */
    bool is_wrong_password; /* counts towards the lockout of the account */
    bool is_controllers;    /* another controller may well take the account */
} bind_refusal;

/* What a refused bind says about the account. NULL where the refusal is not about the account, but
 * a trouble of the controller that may pass. */
const bind_refusal *answer_bind_refusal(int result, const char *text);

/* What a bind's answer says about the password that came with it. */
typedef enum password_verdict {
    PASSWORD_RIGHT, /* it may be refused all the same: expired, disabled, must change … */
    PASSWORD_WRONG,
    PASSWORD_PERHAPS, /* the account is locked: Samba says so to the right password, Windows to any
                       */
    PASSWORD_UNTOLD,
} password_verdict;

password_verdict answer_password_verdict(int result, const char *text);

/* "LDAP result 53 (Server is unwilling to perform): 0000052D: …" with control characters made
 * spaces and the end cut off if it is long. malloc(3)ed, or NULL where memory is out. */
char *answer_describe(int result, const char *text);
