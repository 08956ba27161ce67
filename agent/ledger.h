/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Requests seen and their outcomes, on disk: each happens once, and a repetition gets the first
 * answer.
 *
 * SQLite (WAL, synchronous FULL, STRICT tables) in a helper thread; the loop never waits for it.
 * What is written is durable before `done` is called. Entries live for their request's life plus a
 * day. No password, and nothing derived from one, is ever in it. Logs nothing. */

#include <systemd/sd-event.h>

#include "agent/request.h"

typedef struct ledger ledger;

typedef enum ledger_state {
    LEDGER_NEW,      /* not seen before; recorded now */
    LEDGER_RECEIVED, /* seen, and nothing was sent to the directory */
    LEDGER_SENT,     /* the modify may have been sent; no answer is known */
    LEDGER_DONE,     /* answered: `status` and `body` say what */
    LEDGER_CONFLICT, /* seen with another fingerprint */
} ledger_state;

/* r: 0 or negative errno, then `why` (for people, borrowed) tells what the disk said. status and
 * body are those of LEDGER_DONE, borrowed. */
typedef struct ledger_entry {
    int r;
    const char *why;
    ledger_state state;
    int status;
    const char *body;
} ledger_entry;

typedef void (*ledger_done_fn)(const ledger_entry *entry, void *userdata);

/* The file is opened (and made) by the first job, and again after a failure. Returns 0 or negative
 * errno. */
int ledger_new(sd_event *event, const char *path, ledger **ret);

/* Finishes what is being written, drops what waits (no `done` is called for it), frees. Takes NULL,
 * returns NULL. */
ledger *ledger_free(ledger *l);

/* Records the request as received, where it is new; else tells what is known of it. Returns 0 or
 * negative errno; `done` is called once, from the loop, never from inside this call. */
int ledger_begin(ledger *l, const request *q, usec_t now, ledger_done_fn done, void *userdata);

/* The modify is about to be sent. */
int ledger_mark_sent(ledger *l, const char *id, ledger_done_fn done, void *userdata);

/* The answer, before it leaves. Where it may be different next time with nothing mended and nothing
 * was sent (is_final false), the entry becomes LEDGER_RECEIVED again instead. */
int ledger_finish(ledger *l, const char *id, bool is_final, int status, const char *body,
                  ledger_done_fn done, void *userdata);

DEFINE_CLEANUP(ledger *, ledger_free);
