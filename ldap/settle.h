/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What became of a modify whose answer is not known: the directory is asked, until it can be told.
 *
 * A password: pwdLastSet tells whether any was set since; if so, one bind as the user with the new
 * one tells whether it is that, unless a wrong one might lock the account. Else the attribute that
 * was written tells.
 *
 * Any controller's word is taken that it was done: the password signs in there. That it was not, or
 * that nobody can tell, is believed only to the controller that the modify was sent to, and that
 * nothing was done only after a while; another one may not have heard of it yet. Where it is not
 * known which one that was, all controllers of the domain must say so; and one that calls itself
 * otherwise than it is called here (controller_is_itself()) is believed like any other. To a locked
 * account Windows answers every password alike; there the date decides, and only on the controller
 * that the modify was sent to.
 *
 * "Must change" puts 0 in the place of the date. Where one look must do, the password's stamp
 * (stamps.h) tells the date to a second; where that may not be read, no sign is seen, since an
 * earlier request of another may have set the same password.
 *
 * Whether a wrong password might lock the account is judged by the count of wrong ones
 * (badPwdCount) of the controller that is looked at. Each counts for itself (MS-ADA1 2.83), and
 * the PDC emulator, which hears of the wrong ones at all of them, may have counted more: there the
 * bind can be the one that locks an account that others try in the same minutes. Nothing here logs.
 */

#include "ldap/account.h"
#include "ldap/call.h"

typedef struct settle settle;

typedef enum settle_verdict {
    SETTLED_DONE,
    SETTLED_NOT_DONE,
    SETTLED_UNKNOWN, /* and no more is to be found out */
} settle_verdict;

typedef enum settle_subject {
    SETTLE_PASSWORD,
    SETTLE_UNLOCK,
    SETTLE_MUST_CHANGE,
} settle_subject;

/* Borrowed until done. */
typedef struct settle_question {
    settle_subject subject;
    const directory_account *account;
    const char *controller;     /* that the modify was sent to; NULL: not known */
    const secret *new_password; /* of SETTLE_PASSWORD, as what follows */
    usec_t since; /* when the request was issued, CLOCK_REALTIME: a later pwdLastSet is a sign of
                     it; 0: any but the account's is */
    bool once; /* one look will do; "must change" and a clock that goes wrong are no signs, and what
                  is said to a locked account no proof */
} settle_question;

/* by   the controller that told it. The callee may free the settle. */
typedef void (*settle_done_fn)(settle_verdict v, controller *by, void *userdata);

/* Goes on until there is a verdict, or it is freed. Returns 0 or negative errno. */
int settle_new(directory *d, const settle_question *question, settle_done_fn done, void *userdata,
               settle **ret);

/* Takes NULL, returns NULL. */
settle *settle_free(settle *s);

DEFINE_CLEANUP(settle *, settle_free);
