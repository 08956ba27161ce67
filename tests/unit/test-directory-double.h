/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A double of a domain controller, for what a real one cannot be made to do: answer as Windows
 * does, fall silent, hang up, talk nonsense. It speaks LDAPS on 127.0.0.1 in threads of its own,
 * knows one account and the domain's policy, and answers binds and modifies as it is told. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DOUBLE_GUID "03020100-0504-0706-0809-0a0b0c0d0e0f"
#define DOUBLE_DN "CN=Ada,OU=Staff,DC=corp,DC=example"
#define DOUBLE_GROUP_DN "CN=Chiefs,OU=Staff,DC=corp,DC=example" /* the account is not in it */

typedef enum double_manner {
    DOUBLE_ANSWERS,
    DOUBLE_IS_SILENT,
    DOUBLE_IS_STUCK, /* this connection serves nothing any more */
    DOUBLE_HANGS_UP,
    DOUBLE_ANSWERS_LATE, /* half a second */
    DOUBLE_SENDS_GARBAGE,
    DOUBLE_SENDS_TOO_MUCH,
} double_manner;

typedef struct double_answer {
    double_manner manner;
    int result;
    const char *text;
} double_answer;

/* What it does; to be changed between calls only. */
typedef struct double_script {
    const char *hints; /* OID of the policy hints control; NULL: it has none */
    bool is_read_only;
    bool is_synchronizing;
    bool is_empty;                 /* it has no accounts */
    bool refuses_guid_names;       /* as the target of a modify, with result 34 */
    const char *policy_dn;         /* of a fine-grained policy that nobody may read */
    const char *password_last_set; /* FILETIME; NULL: long ago */
    uint64_t password_stamp;       /* in seconds since 1601; 0: it may not be seen */
    const char *current_time;      /* Generalized Time; NULL: it does not tell */

    double_answer bind, search, must_change, reset;
    double_answer sign_in; /* to a bind as the account */
    double_answer groups;  /* to a search for its groups */
} double_script;

typedef struct controller_double controller_double;

/* The certificate authority of all doubles, as a PEM file; made at first use. */
const char *double_ca_file(void);

controller_double *double_new(double_script script);
controller_double *double_free(controller_double *d);

/* "127.0.0.1:PORT" */
const char *double_name(const controller_double *d);

/* May be written to while no request is under way. */
double_script *double_get_script(controller_double *d);

typedef struct double_count {
    int connections, binds, sign_ins, searches, resets, must_changes;
    bool last_reset_had_2239, last_reset_had_2066, last_reset_unlocked;
} double_count;

double_count double_get_count(controller_double *d);
