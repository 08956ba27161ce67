/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The ledger's file: steps of many requests, carried out in one transaction. Everything here
 * blocks and belongs to the ledger's thread. Logs nothing. */

#include "agent/ledger.h"

typedef struct ledger_file ledger_file;

typedef enum ledger_step_kind {
    STEP_BEGIN,
    STEP_MARK_SENT,      /* with `controller` */
    STEP_FINISH,         /* with `status` and `body` */
    STEP_FINISH_FOR_NOW, /* nothing was sent: received again */
} ledger_step_kind;

/* What is to be done, and what came of it. */
typedef struct ledger_step {
    ledger_step_kind kind;
    char *id;
    unsigned char fingerprint[REQUEST_FINGERPRINT_SIZE];
    usec_t now, issued, expires; /* STEP_BEGIN */
    int status;
    char *body, *controller;

    ledger_entry entry; /* its `why`, `body` and `controller` point to: */
    char *why;
    char *known_body, *known_controller;
    struct ledger_step *next;
} ledger_step;

/* Opens nothing yet. Returns 0 or -ENOMEM. */
int ledger_file_new(const ledger_config *config, ledger_file **ret);
ledger_file *ledger_file_free(ledger_file *f);

/* Carries out a list of steps (NULL: only proves that the file can be written), and writes to each
 * what came of it. All are committed together; where that fails each is tried alone, so that one
 * which cannot be written takes no other with it.
 *
 * A damaged file is set aside and a new one made; *ret_set_aside is then the former's new name,
 * malloc(3)ed, else it is left as it is.
 *
 * Returns 0; -EDQUOT where all was carried out and the file has reached its size, so that what is
 * new is refused from now on; or the negative errno of the last failure. Then *ret_why has its text
 * (malloc(3)ed). */
int ledger_file_commit(ledger_file *f, ledger_step *steps, char **ret_set_aside, char **ret_why);

DEFINE_CLEANUP(ledger_file *, ledger_file_free);
