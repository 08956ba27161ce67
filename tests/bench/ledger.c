/* SPDX-License-Identifier: Apache-2.0 */

/* How much committing in groups gains, on this disk:
 *
 *     tests/bench/ledger [FOLDER [REQUESTS]]
 *
 * Takes requests through the ledger (begin, mark sent, finish), first one at a time, so that each
 * step has a commit of its own, then 64 at a time; prints both rates and their ratio. */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/ledger.h"

#define IN_FLIGHT 64

typedef struct bench {
    sd_event *event;
    ledger *ledger;
    size_t wanted, begun, finished;
} bench;

typedef struct one {
    bench *bench;
    char id[64];
} one;

static const char answer[] =
    "{\"id\":\"0b7e1c52-7c39-4f5e-9c4e-3a1d2f6b8c90\",\"operation\":\"reset\",\"status\":\"succeeded\","
    "\"eventId\":31010,\"event\":\"ResetUserPasswordByAdminSuccess\",\"domainController\":"
    "\"dc1.corp.example\",\"accountUnlocked\":false,\"mustChangeAtNextSignIn\":false,\"warnings\":[]}";

static void begin_another(one *o);

static void need(int r, const char *why) {
    if (r >= 0)
        return;

    (void) fprintf(stderr, "tests/bench/ledger: %s\n", why);
    exit(EXIT_FAILURE);
}

static void on_finished(const ledger_entry *entry, void *userdata) {
    one *o = userdata;

    need(entry->r, entry->why);
    if (++o->bench->finished == o->bench->wanted)
        (void) sd_event_exit(o->bench->event, 0);
    begin_another(o);
}

static void on_marked(const ledger_entry *entry, void *userdata) {
    one *o = userdata;

    need(entry->r, entry->why);
    need(ledger_finish(o->bench->ledger, o->id, true, 200, answer, on_finished, o), "no room");
}

static void on_begun(const ledger_entry *entry, void *userdata) {
    one *o = userdata;

    need(entry->r, entry->why);
    need(ledger_mark_sent(o->bench->ledger, o->id, "dc1.corp.example", on_marked, o), "no room");
}

static void begin_another(one *o) {
    bench *b = o->bench;
    request q = {.id = o->id, .issued = now_realtime(), .expires = now_realtime()};

    if (b->begun == b->wanted)
        return;

    (void) snprintf(o->id, sizeof(o->id), "0b7e1c52-7c39-4f5e-9c4e-%012zu", b->begun++);
    memcpy(q.fingerprint, o->id, REQUEST_FINGERPRINT_SIZE);
    need(ledger_begin(b->ledger, &q, now_realtime(), on_begun, o), "no room");
}

/* Returns requests a second. */
static double measure(const char *folder, size_t wanted, size_t in_flight) {
    bench b = {.wanted = wanted};
    one ones[IN_FLIGHT];
    char path[4096];
    usec_t began;

    (void) snprintf(path, sizeof(path), "%s/bench-%d-%zu.sqlite", folder, getpid(), in_flight);
    need(sd_event_new(&b.event), "no event loop");
    need(ledger_new(
             b.event,
             &(const ledger_config){.path = path, .is_first = true, .size_max = LEDGER_SIZE_MAX},
             &b.ledger),
         "no ledger");

    began = now_monotonic();
    for (size_t i = 0; i < in_flight; i++) {
        ones[i].bench = &b;
        begin_another(&ones[i]);
    }
    need(sd_event_loop(b.event), "the loop ended");
    began = now_monotonic() - began;

    (void) ledger_free(b.ledger);
    (void) sd_event_unref(b.event);
    (void) unlink(path);
    return (double) wanted * (double) USEC_PER_SEC / (double) began;
}

int main(int argc, char *argv[]) {
    const char *folder = argc > 1 ? argv[1] : ".";
    size_t wanted = argc > 2 ? strtoul(argv[2], NULL, 10) : 2000;
    double single, grouped;

    if (wanted == 0) {
        (void) fprintf(stderr, "usage: tests/bench/ledger [FOLDER [REQUESTS]]\n");
        return EXIT_FAILURE;
    }

    single = measure(folder, wanted, 1);
    grouped = measure(folder, wanted, IN_FLIGHT);
    (void) printf("one at a time  %8.0f requests/s\n"
                  "%d at a time  %8.0f requests/s\n"
                  "ratio          %8.1f\n",
                  single, IN_FLIGHT, grouped, grouped / single);
    return EXIT_SUCCESS;
}
