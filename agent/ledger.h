/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Requests seen and their outcomes, on disk: each happens once, and a repetition gets the first
 * answer.
 *
 * SQLite (WAL, synchronous FULL, STRICT tables) in a helper thread; the loop never waits for it.
 * What comes while the disk is busy is committed together with what else came, in one transaction.
 * What is written is durable before `done` is called. Entries live for their request's life plus a
 * day. No password, and nothing derived from one, is ever in it.
 *
 * A file that is damaged is set aside beside its place (35060 is logged), and a new one is begun;
 * so it is where the file is gone. A request that may be older than the new file, by a clock that
 * may be 60 s ahead, may have been in the lost one, so it counts as LEDGER_SENT; and so does one
 * whose entry says what was never written. Logs nothing else. */

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

/* r: 0 or negative errno, then `why` (for people, borrowed) tells what is wrong: -ENOSPC where the
 * disk is full, -EDQUOT where the file has reached its size, -EXDEV where it is another host's.
 * status and body are those of LEDGER_DONE, controller that of LEDGER_SENT; borrowed. */
typedef struct ledger_entry {
    int r;
    const char *why;
    ledger_state state;
    int status;
    const char *body;
    const char *controller; /* that it may have been sent to last; NULL: not known */
} ledger_entry;

typedef void (*ledger_done_fn)(const ledger_entry *entry, void *userdata);

/* New requests can be recorded (r is 0), or cannot and why (borrowed): r and `why` as above. Called
 * on change. */
typedef void (*ledger_health_fn)(int r, const char *why, void *userdata);

/* What four hundred thousand requests take, far more than anybody resets in a day. */
#define LEDGER_SIZE_MAX ((uint64_t) 256 * 1024 * 1024)

/* Borrowed during ledger_new() only. */
typedef struct ledger_config {
    const char *path;
    const char *host;  /* what only this host knows of itself (agent/host.h); NULL: not known */
    bool is_first;     /* where there is no file none is lost: nothing can have been asked before */
    uint64_t size_max; /* bytes in use, above which new requests are refused */
    ledger_health_fn on_health; /* may be NULL */
    void *userdata;
} ledger_config;

/* Begins to open the file, or to make it; it is tried again every 10 s as long as it cannot be
 * written. Returns 0 or negative errno. */
int ledger_new(sd_event *event, const ledger_config *config, ledger **ret);

/* Finishes what is being written, drops what waits (no `done` is called for it), frees. Takes NULL,
 * returns NULL. */
ledger *ledger_free(ledger *l);

/* Records the request as received, where it is new; else tells what is known of it. Returns 0;
 * -EBUSY where too many wait for the disk; -ENOMEM; `done` is called once, from the loop, never
 * from inside this call. */
int ledger_begin(ledger *l, const request *q, usec_t now, ledger_done_fn done, void *userdata);

/* The modify is about to be sent to this controller, and to none that was named before. */
int ledger_mark_sent(ledger *l, const char *id, const char *controller, ledger_done_fn done,
                     void *userdata);

/* The answer, before it leaves. Where it may be different next time with nothing mended and nothing
 * was sent (is_final false), the entry becomes LEDGER_RECEIVED again instead. */
int ledger_finish(ledger *l, const char *id, bool is_final, int status, const char *body,
                  ledger_done_fn done, void *userdata);

DEFINE_CLEANUP(ledger *, ledger_free);
