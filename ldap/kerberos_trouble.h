/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What Kerberos says, in words for people, with what cures it. Nothing here logs. */

#include <stdbool.h>

#include "agent/base/macro.h"
#include "agent/base/outcome.h"

typedef enum kerberos_stage {
    STAGE_KEYTAB,
    STAGE_ACCOUNT, /* the account's own ticket, by its key (RFC 4120 section 3.1) */
    STAGE_SERVICE, /* the ticket for the controller (RFC 4120 section 3.3) */
} kerberos_stage;

/* What it was about. Borrowed. */
typedef struct kerberos_subject {
    const char *principal;
    const char *keytab;
    unsigned key_version; /* of the principal's newest key in the keytab */
    const char *service;  /* "ldap/dc1.corp.example@CORP.EXAMPLE" */
    int network_error;    /* errno of asking the controller's KDC; 0: it was asked */
} kerberos_subject;

typedef struct kerberos_trouble {
    bool is_refusal; /* of the agent's account; else a trouble that may pass, or one of this host */
    bool is_wrong_password; /* counts towards the lockout of the account */
    outcome outcome;
    char *
        reason; /* free(3)d by the caller; NULL where memory is out. What is wrong and the cure; of
                   a refusal a sentence, else a sentence's end that follows the controller's name */
    char *said; /* of a refusal, the KDC's own words; as above */
} kerberos_trouble;

/* code      of libkrb5
 * message   libkrb5's own words for it */
kerberos_trouble kerberos_trouble_of(kerberos_stage stage, int code, const char *message,
                                     const kerberos_subject *subject);

/* Whose KDC is to blame where none answers in time, as a sentence's end that follows the
 * controller's name. Static.
 *
 * realm   the controller's: an account of another one gets its tickets from KDCs of its own realm,
 *         which libkrb5 looks for */
const char *kerberos_silence(const char *principal, const char *realm);
