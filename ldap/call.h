/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What all calls have in common: a controller that can be asked, the next one where it fails before
 * anything was changed, a deadline, and one end. One that changes something is not begun on any
 * controller when only seconds are left.
 *
 * A call's reply always says what would be true if it ended now; so its deadline is simply its end.
 * Nothing here logs. */

#include "ldap/answer.h"
#include "ldap/domain.h"

struct directory {
    domain domain;
    directory_call *calls;
    sd_event_source *state_changed;
    directory_state_fn on_state;
    void *userdata;

    directory_call *rights_check; /* of the rights on the domain, once a controller can be used */
    bool rights_checked;
};

/* One kind of call. */
typedef struct call_class {
    size_t size; /* of the struct that begins with a directory_call */

    /* Sends the first request to call->controller. Returns 0, or negative errno where that could
     * not be sent: then the next controller is tried. */
    int (*begin)(directory_call *call);

    void (*done)(directory_call *call); /* frees what `begin` and later steps made */

    bool writes;  /* only controllers that can be used for resets */
    bool changes; /* it is not begun when only seconds are left */

    /* It changes nothing, so that it may be begun elsewhere while a controller lets it wait. */
    bool only_reads;
} call_class;

struct directory_call {
    const call_class *class;
    directory *directory;
    directory_call *previous, *next;
    sd_event_source *step, *deadline, *patience;
    usec_t ends_at; /* the deadline, CLOCK_MONOTONIC */
    directory_done_fn fn;
    void *userdata;

    const char *preferred; /* controller's name; NULL: any */
    domain_attempts attempts;
    controller *controller;      /* a reference */
    connection_request *request; /* under way; set to NULL by its callback */
    bool waiting;                /* for a controller */
    bool ended;

    directory_reply reply;
    char *detail;             /* what reply.detail points to */
    directory_rights *rights; /* what reply.rights points to */
};

/* Makes a call that begins on the loop's next turn. Returns 0 or negative errno. */
int call_new(directory *d, const call_class *class, usec_t deadline, directory_done_fn fn,
             void *userdata, directory_call **ret);

/* On the loop's next turn: chooses a controller and begins. A new call does so by itself. */
void call_begin(directory_call *call);

/* Not before call_begin(). */
void call_hold(directory_call *call);

/* The call waits for whoever made it, for as long as that takes, and goes on. */
void call_pause(directory_call *call);
void call_resume(directory_call *call);

/* What came of sending the first request: 0, or negative errno as call_class.begin() gives it. */
void call_begun(directory_call *call, int r);

/* From now on the call is this controller's, and its reply says so. */
void call_choose(directory_call *call, controller *c);

/* Of call->controller; NULL where it is lost. Whatever is changed goes over the second one. */
connection *call_connection(const directory_call *call);
connection *call_write_connection(const directory_call *call);

/* What the reply says from now on; `detail` is taken over and may be NULL. */
void call_expect(directory_call *call, outcome o, char *detail);

/* Ends the call with the reply as it is. The call lives on until the loop's next turn. */
void call_end(directory_call *call);

/* call_expect() and call_end(). */
void call_fail(directory_call *call, outcome o, char *detail);

/* Notes the directory's answer in the reply: its codes and its words. Returns its outcome. */
outcome call_take_answer(directory_call *call, answer_kind kind, const connection_answer *answer);

/* What the reply says of the rights of the agent's account from now on; taken over. */
void call_take_rights(directory_call *call, directory_rights *rights);

/* Leaves the controller for the next one; nothing must have been changed on it. */
void call_try_next(directory_call *call, const char *problem);

/* A controller's state has changed: calls that wait for one look again. */
void calls_wake(directory *d);
