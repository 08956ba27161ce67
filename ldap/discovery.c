/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/discovery.h"

#include <errno.h>
#include <netdb.h>
#include <resolv.h>
#include <stdatomic.h>
#include <string.h>
#include <strings.h>

#include "agent/base/clock.h"
#include "agent/base/random.h"
#include "agent/base/text.h"
#include "agent/base/worker.h"

/* One name server's, for one try. */
#define SECONDS_PER_TRY 2
#define TRIES 2

/* All queries of one inquiry; after that the agent says that nobody answers. */
#define PATIENCE (15 * USEC_PER_SEC)

/* What the thread asks, and what it hears. */
typedef struct inquiry {
    discovery *discovery;
    char *names[QUESTION_MAX]; /* NULL: not asked */
    discovery_answers heard;
    atomic_bool abandoned;
} inquiry;

struct discovery {
    char *domain, *site, *name;
    bool wants_pdc;
    discovery_fn fn;
    void *userdata;

    worker *worker;
    worker_job *job;
    inquiry *inquiry; /* the job's */
    bool again;       /* as soon as the job is done */
    sd_event_source *timer;
    unsigned failures;       /* in a row */
    discovery_answers known; /* in their order */
    discovery_list told;
    bool has_trouble; /* that was told */
};

/* ---- In the thread --------------------------------------------------------------------------- */

static int query(res_state state, const char *name, uint8_t *buffer, srv_answer *ret) {
    int size = res_nquery(state, name, ns_c_in, ns_t_srv, buffer, NS_MAXMSG);

    if (size < 0)
        return state->res_h_errno > 0 ? state->res_h_errno : TRY_AGAIN;
    return srv_parse(buffer, (size_t) size, ret) < 0 ? NO_RECOVERY : 0;
}

static void inquire(void *userdata) {
    inquiry *i = userdata;
    _cleanup_free_ uint8_t *buffer = malloc(NS_MAXMSG);
    struct __res_state state = {};
    bool is_ready = buffer && res_ninit(&state) == 0;

    state.retrans = SECONDS_PER_TRY;
    state.retry = TRIES;
    for (discovery_question q = 0; q < QUESTION_MAX; q++)
        if (i->names[q])
            i->heard.errors[q] = is_ready && !atomic_load(&i->abandoned)
                                     ? query(&state, i->names[q], buffer, &i->heard.answers[q])
                                     : TRY_AGAIN;
    if (is_ready)
        res_nclose(&state);
}

/* ---- What it comes to ------------------------------------------------------------------------ */

static uint32_t any_number(void *userdata) {
    (void) userdata;
    return random_number();
}

/* Of all records that the inquiry brought: the soonest end. */
static usec_t lifetime(const inquiry *i, unsigned failures) {
    usec_t life = USEC_INFINITY;

    for (discovery_question q = 0; q < QUESTION_MAX; q++)
        if (i->heard.answers[q].n > 0 && srv_lifetime(i->heard.answers[q].ttl) < life)
            life = srv_lifetime(i->heard.answers[q].ttl);

    if (failures > 0 && srv_negative_lifetime(failures) < life)
        life = srv_negative_lifetime(failures);
    return life;
}

/* Tells the list in force, if there is one, and the problem, if there is one. */
static void tell(discovery *d, const char *problem, const char *name) {
    _cleanup_free_ char *text =
        problem ? text_format("DNS does not tell the controllers: %s (SRV %s)", problem, name)
                : NULL;
    bool had_trouble = d->has_trouble;
    discovery_list list;

    if (problem && !text)
        return;

    discovery_make_list(&d->known, &list);
    if (!text && !had_trouble && discovery_list_equal(&list, &d->told))
        return;

    d->told = list;
    d->has_trouble = text;
    d->fn(list.n > 0 ? &list : NULL, text, d->userdata);
}

/* ---- Asking ---------------------------------------------------------------------------------- */

static void set_timer(discovery *d, usec_t span) {
    (void) sd_event_source_set_time(d->timer, now_monotonic() + span);
    (void) sd_event_source_set_enabled(d->timer, SD_EVENT_ONESHOT);
}

static void ask(discovery *d);

static void on_heard(void *userdata) {
    inquiry *i = userdata;
    discovery *d = i->discovery;
    discovery_question asked;
    const char *problem;

    d->job = NULL;
    d->inquiry = NULL;
    if (d->again) {
        d->again = false;
        return ask(d);
    }

    problem = discovery_problem(&i->heard, &asked);
    d->failures = problem ? d->failures + 1 : 0;
    set_timer(d, lifetime(i, d->failures));

    discovery_take(&d->known, &i->heard, any_number, NULL);
    tell(d, problem, i->names[asked]);
}

static void inquiry_free(void *userdata) {
    inquiry *i = userdata;

    for (discovery_question q = 0; q < QUESTION_MAX; q++)
        free(i->names[q]);
    free(i);
}

static bool name_questions(const discovery *d, inquiry *i) {
    i->names[QUESTION_DOMAIN] = strdup(d->name);
    if (d->site)
        i->names[QUESTION_SITE] =
            text_format("_ldap._tcp.%s._sites.dc._msdcs.%s", d->site, d->domain);
    if (d->wants_pdc)
        i->names[QUESTION_PDC] = text_format("_ldap._tcp.pdc._msdcs.%s", d->domain);

    return i->names[QUESTION_DOMAIN] && !d->site == !i->names[QUESTION_SITE] &&
           d->wants_pdc == !!i->names[QUESTION_PDC];
}

static void ask(discovery *d) {
    inquiry *i = calloc(1, sizeof(inquiry));

    if (!i)
        return set_timer(d, srv_negative_lifetime(++d->failures));

    i->discovery = d;
    if (!name_questions(d, i) ||
        worker_submit(d->worker, inquire, on_heard, inquiry_free, i, &d->job) < 0) {
        inquiry_free(i);
        return set_timer(d, srv_negative_lifetime(++d->failures));
    }

    d->inquiry = i;
    set_timer(d, PATIENCE);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
    discovery *d = userdata;

    (void) source;
    (void) usec;

    if (d->job)
        tell(d, "name resolution does not answer", d->name);
    else
        ask(d);
    return 0;
}

int discovery_new(sd_event *event, const char *domain, const char *site, bool wants_pdc,
                  discovery_fn fn, void *userdata, discovery **ret) {
    _cleanup_(discovery_freep) discovery *d = NULL;
    int r;

    assert(event);
    assert(domain);
    assert(fn);
    assert(ret);

    d = calloc(1, sizeof(discovery));
    if (!d)
        return -ENOMEM;

    d->wants_pdc = wants_pdc;
    d->fn = fn;
    d->userdata = userdata;
    d->domain = strdup(domain);
    d->name = text_format("_ldap._tcp.dc._msdcs.%s", domain);
    text_replace(&d->site, site);
    if (!d->domain || !d->name || !d->site != !site)
        return -ENOMEM;

    r = worker_new(event, "discovery", &d->worker);
    if (r >= 0)
        r = sd_event_add_time(event, &d->timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_timer, d);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(d);
    return 0;
}

discovery *discovery_free(discovery *d) {
    if (!d)
        return NULL;

    if (d->job) {
        atomic_store(&d->inquiry->abandoned, true);
        worker_cancel(d->job);
    }
    worker_abandon(d->worker);
    sd_event_source_disable_unref(d->timer);
    free(d->domain);
    free(d->site);
    free(d->name);
    free(d);
    return NULL;
}

void discovery_set_site(discovery *d, const char *site) {
    assert(d);
    assert(site);

    if (d->site && strcasecmp(d->site, site) == 0)
        return;

    text_replace(&d->site, site);
    d->known.answers[QUESTION_SITE] = (srv_answer){};
    if (d->job)
        d->again = true;
    else
        set_timer(d, 0);
}

const char *discovery_name(const discovery *d) {
    assert(d);
    return d->name;
}
