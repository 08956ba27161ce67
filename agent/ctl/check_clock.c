/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <sys/timex.h>

#include "agent/base/clock.h"
#include "agent/base/text.h"
#include "agent/clock_state.h"
#include "agent/ctl/check.h"
#include "agent/ctl/say.h"
#include "agent/ctl/when.h"

/* Nobody's time is worth waiting longer for. */
#define PATIENCE (12 * USEC_PER_SEC)
#define WITNESSES_MAX 64

typedef struct witnesses {
    clock_witness all[WITNESSES_MAX];
    size_t n;
} witnesses;

static void add(witnesses *w, const char *name, const char *vote, const clock_reading *reading) {
    if (reading->date > 0 && w->n < WITNESSES_MAX)
        w->all[w->n++] = (clock_witness){
            .name = name,
            .vote = vote,
            .ahead = clock_ahead(reading, now_realtime(), now_boottime()),
        };
}

static void ask_all(check *c, witnesses *w) {
    usec_t deadline = now_monotonic() + PATIENCE;

    for (size_t i = 0; i < c->config->n_relays; i++) {
        (void) check_wait(c, "asking the relay for the time", deadline, check_probe_is_done,
                          c->relays[i]);
        add(w, c->config->relays[i].host, c->config->relays[i].host,
            check_probe_clock(c->relays[i]));
    }
    for (size_t i = 0; i < c->config->n_issuers; i++) {
        if (!c->metadata[i])
            continue;
        (void) check_wait(c, "asking the issuer for the time", deadline, check_probe_is_done,
                          c->metadata[i]);
        add(w, c->config->issuers[i].url, c->config->issuers[i].url,
            check_probe_clock(c->metadata[i]));
    }
    (void) check_wait(c, "asking the controllers for the time", deadline, check_directories_tried,
                      c);
    for (size_t i = 0; i < c->config->n_directories; i++)
        for (size_t k = 0; k < directory_n_controllers(c->directories[i]); k++) {
            const controller_status *s = directory_controller(c->directories[i], k);

            add(w, s->name, directory_domain(c->directories[i]), &s->clock);
        }
}

/* A date has whole seconds, and was under way. */
static void tell_agreement(check *c, const clock_witness *w) {
    long long seconds = (long long) (w->ahead / (int64_t) USEC_PER_SEC);

    if (llabs(seconds) > (long long) (CLOCK_OFF_AFTER / USEC_PER_SEC))
        return;
    check_tell(c, STAGE_CLOCK, true, w->name, NULL,
               llabs(seconds) <= 2
                   ? text_format("in step with %s", w->name)
                   : text_format("%lld s %s %s; a minute is allowed for", llabs(seconds),
                                 seconds > 0 ? "ahead of" : "behind", w->name));
}

/* Where nobody can say that it is wrong, that it is not kept right is only worth a word. */
static void tell_synchronisation(check *c) {
    struct timex now = {0};
    char date[WHEN_MAX];
    bool is_kept = adjtimex(&now) >= 0 && !(now.status & STA_UNSYNC);

    check_tell(c, STAGE_CLOCK, true, "this host", NULL,
               text_format("it is %s here%s", when_for_people(now_realtime(), date),
                           is_kept
                               ? ", kept by a time server"
                               : "; that a time server keeps it so is not known to the system"));
}

void check_clock(check *c) {
    witnesses w = {0};
    char *verdict;
    clock_state state;

    ask_all(c, &w);
    tell_synchronisation(c);
    for (size_t i = 0; i < w.n; i++)
        tell_agreement(c, &w.all[i]);

    state = clock_judge(w.all, w.n);
    verdict = clock_describe(w.all, w.n);
    if (verdict)
        check_tell(
            c, STAGE_CLOCK, false, "this host",
            check_cure(state == CLOCK_IS_DOUBTFUL ? OUTCOME_CLOCK_DISAGREES : OUTCOME_CLOCK_WRONG),
            verdict);
}
