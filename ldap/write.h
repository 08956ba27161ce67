/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What reset, change and unlock have in common: one modify with all that belongs together; after
 * it was done a look, on the same connection, at what it came to; after the policy refused it a
 * look at the policy (refusal.h), after it was refused for a missing right one at the rights
 * (rights.h); and where no answer came, finding out by looking (settle.h).
 * Nothing here logs. */

#include "ldap/account.h"
#include "ldap/call.h"
#include "ldap/rights.h"
#include "ldap/settle.h"

typedef struct write_call write_call;

/* One of the three. */
typedef struct write_kind {
    call_class class; /* write_call_class(…) */
    const char *name; /* "a reset", for the log */
    answer_kind answer;

    /* Puts the modify together and hands it to write_send(). Returns 0 or negative errno. */
    int (*send)(write_call *w);

    /* It is done and has been read back: does what is left, and ends the call. NULL: nothing is. */
    void (*complete)(write_call *w);
} write_kind;

/* What is to be written, as the door's functions take it. */
typedef struct write_order {
    const directory_account *account;
    const secret *current_password; /* of a change */
    const secret *new_password;     /* NULL: an unlock */
    directory_reset_flags flags;
    directory_attempt attempt;
} write_order;

struct write_call {
    directory_call call;
    const write_kind *kind;
    write_order order;

    /* The GUID stays the account's own even if it is renamed or moved in this moment (MS-ADTS
     * 3.1.1.3.1.2.4). */
    char *guid_name;
    bool by_name;    /* the controller does not take a GUID for a name */
    bool with_hints; /* of a reset */
    char *refusal;   /* in the directory's words */
    rights_look *look;

    sd_event_source *patience;
    connection_request *probe; /* whether a controller that does not answer is there at all */
    settle *settling;
};

int write_begin(directory_call *call);
void write_done(directory_call *call);

/* needs_hints   whether a controller without policy hints will not do */
#define write_call_class(needs_hints)                                                              \
    {                                                                                              \
        .size = sizeof(write_call), .begin = write_begin, .done = write_done,                      \
        .writes = (needs_hints), .changes = true                                                   \
    }

/* Makes the call. Returns 0 or negative errno. */
int write_new(directory *d, const write_kind *kind, const write_order *order, directory_done_fn fn,
              void *userdata, directory_call **ret);

/* The account's name for requests. */
const char *write_target(const write_call *w);

/* Sends a modify to the call's controller. One that has waited long for its answer is asked whether
 * it is there at all; where it is not, the answer is that the connection was lost.
 *
 * what   for the log
 *
 * Returns 0 or negative errno. */
int write_modify(write_call *w, LDAPMod **mods, const LDAPControl *critical_control,
                 const char *what, connection_answer_fn fn);

/* Sends the call's own modify, and sees to its answer. Returns 0 or negative errno. */
int write_send(write_call *w, LDAPMod **mods, const LDAPControl *critical_control);

/* Finds out what became of a modify that was sent to the call's controller and not answered; the
 * reply says meanwhile what it says now. Of a password the rest as in settle_question. Returns 0 or
 * negative errno. */
int write_find_out(write_call *w, settle_subject subject, usec_t since, bool once,
                   settle_done_fn fn);

/* The directory has refused it, and the reply says how. Ends the call; with success where it was
 * refused only because this very request has been carried out before. */
void write_refused(write_call *w);
