/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The parts of one operation, for agent/operation*.c alone. Each step ends by beginning the next or
 * in one of the ends, and then the operation may be gone: beginning a step is the last thing done.
 *
 *   open → recall → authorise, locate → judge → write → end */

#include "agent/account_search.h"
#include "agent/authorise.h"
#include "agent/operation.h"

typedef struct operation operation;

/* One request on its way. */
struct operation {
    operations *set;
    operation *next;
    relay_request *origin;  /* NULL once answered */
    usec_t began, deadline; /* CLOCK_MONOTONIC */
    sd_event_source *watchdog;

    request request;
    token_claims claims;
    initiator initiator;
    size_t issuer; /* index of the token's; as many as there are: not known */
    issuer_call *verifying;

    account_search *searching;
    directory_account *account;
    size_t home;            /* index of the directory that has the account */
    directory_call *asking; /* that directory */

    bool keyed;       /* verified: from now on its id counts among those under way */
    bool started;     /* the start event is logged */
    bool recorded;    /* the ledger has it, and is told the end */
    bool sent_before; /* and what came of it is not known; until it is, the ledger says so */
    char *sent_to;    /* the controller; NULL: not known */
    bool waiting_for_ledger;
    operation *leader; /* the same request came earlier and is under way: it will answer for both */
    usec_t retry_after; /* of OUTCOME_TOO_MANY_REQUESTS */

    /* The end. */
    bool is_final; /* a repetition is to be told the same */
    int status;
    char *body;
};

struct operations {
    operations_context context;
    operations_idle_fn on_idle;
    void *userdata;
    licence licence;
    operation *first;
    size_t n;
    bool freeing;
};

/* ---- Life (operation_life.c) ----------------------------------------------------------------- */

/* Takes the request over; or returns NULL and does not. */
operation *operation_new(operations *o, relay_request *q);

/* Cancels what is under way. It is not answered here. */
void operation_free(operation *op);

/* ---- Steps ----------------------------------------------------------------------------------- */

/* Opens the request and verifies the token in it. */
void operation_open(operation *op);

/* Looks whether it was seen before: answered, under way, or sent and not answered. */
void operation_recall(operation *op);

/* Asks whether the initiator may do such a thing at all, then looks for the account. */
void operation_authorise(operation *op);

/* Looks at the account: is it one that this initiator may act on, and this agent? */
void operation_judge(operation *op);

/* Has the directory do it, and records to which controller it is about to be sent. */
void operation_write(operation *op);

/* ---- Ends (operation_end.c) ------------------------------------------------------------------ */

/* The answer is known and logged: it is counted, recorded and sent. Takes the body over; NULL where
 * memory is out. */
void operation_finish(operation *op, outcome o, char *body);

/* Answers everyone who asked for this. */
void operation_deliver(operation *op);

/* Logs and answers a refusal. reason: for people; NULL: the outcome's title */
void operation_refuse(operation *op, outcome o, const char *reason);
void operation_refuse_by_directory(operation *op, outcome o, const char *reason,
                                   const directory_reply *reply);

/* Logs and answers a check, which is answered where others are refused.
 *
 * refusal       OUTCOME_INVALID: a reset would be allowed
 * show_account  whether the asker may look at it */
void operation_answer_check(operation *op, outcome refusal, const char *reason,
                            const directory_rights *rights, bool show_account);

/* Refuses, or answers the check that it would be refused. */
void operation_end_unless_allowed(operation *op, outcome refusal, const char *reason,
                                  bool show_account);

/* The same for what comes too often; what: begins the sentence */
void operation_end_for_rate(operation *op, const char *what, usec_t wait);

/* Too late: ends it, whatever it waits for. */
int operation_on_watchdog(sd_event_source *source, uint64_t usec, void *userdata);

/* For whoever waited for the ledger: true where the watchdog has answered already, and then the
 * operation is gone. */
bool operation_is_over(operation *op);

/* ---- Log (operation_log.c) ------------------------------------------------------------------- */

/* How an operation begins and ends in the log; a reset by a service has events of its own. */
typedef struct operation_events {
    outcome start, success, failure;
} operation_events;

const operation_events *operation_events_of(const operation *op);

/* An entry before the request's last one. */
void operation_log(const operation *op, outcome event, const char *reason,
                   const directory_reply *reply);

/* The last one: `result` tells what the request came to. */
void operation_log_end(const operation *op, outcome event, const char *reason,
                       const directory_reply *reply, outcome result);

/* That a request came again, and got this status again. */
void operation_log_repetition(const operation *op, int status);
