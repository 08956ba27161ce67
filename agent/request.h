/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* An opened request: the contract's members, checked for form. Pure; logs nothing. */

#include "agent/base/json.h"
#include "agent/base/outcome.h"
#include "agent/base/secret.h"
#include "ldap/directory.h"

typedef enum request_operation {
    OPERATION_RESET,
    OPERATION_CHANGE,
    OPERATION_UNLOCK,
    OPERATION_CHECK,
    OPERATION_MAX_,
    OPERATION_INVALID = -1,
} request_operation;

#define REQUEST_FINGERPRINT_SIZE 32

/* How far the clocks of who asks and of this host may be apart. */
#define REQUEST_CLOCK_SKEW (60 * USEC_PER_SEC)

typedef struct request {
    char *id;               /* jti */
    usec_t issued, expires; /* CLOCK_REALTIME */
    char *audience;
    request_operation operation;
    directory_identifier_type user_type;
    char *user;               /* the identifier's value */
    char *user_domain;        /* onPremisesDomainName; NULL for the other types */
    secret *new_password;     /* reset, change */
    secret *current_password; /* change */
    secret *authorization;
    bool must_change;         /* forceChangePasswordNextSignIn */
    bool unlock;              /* unlockAccount */
    char *trace_id, *span_id; /* of traceparent; NULL: none */
    /* SHA-256 over every member but the passwords: two requests with one id must agree in it. */
    unsigned char fingerprint[REQUEST_FINGERPRINT_SIZE];
} request;

/* Reads an opened request. The id is set as soon as it is known, so that a refusal can name it.
 *
 * Returns OUTCOME_INVALID where all is well; else OUTCOME_INPUT_VALIDATION_ERROR (or
 * OUTCOME_UNKNOWN_ERROR where memory is out) with a text for people in *ret_why: malloc(3)ed,
 * naming the member, never quoting a value. */
outcome request_parse(const secret *text, request *ret, char **ret_why);

/* Whether it is meant for this agent, now (CLOCK_REALTIME). Returns OUTCOME_INVALID,
 * OUTCOME_INPUT_VALIDATION_ERROR or OUTCOME_REQUEST_EXPIRED, with a malloc(3)ed text. */
outcome request_check_validity(const request *q, const char *agent_id, const char *tenant_id,
                               usec_t now, char **ret_why);

/* "reset", "change", "unlock", "check". */
const char *request_operation_name(request_operation o);

void request_done(request *q);
