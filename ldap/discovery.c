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

typedef enum question {
    QUESTION_PDC,
    QUESTION_SITE,
    QUESTION_DOMAIN,
    QUESTION_MAX,
} question;

/* What the thread asks, and what it hears. */
typedef struct inquiry {
    discovery *discovery;
    char *names[QUESTION_MAX]; /* NULL: not asked */
    srv_answer answers[QUESTION_MAX];
    int errors[QUESTION_MAX]; /* of <netdb.h>; 0: none */
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
    unsigned failures; /* in a row */
    bool has_told;
    srv_answer answers[QUESTION_MAX]; /* in their order */
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
    for (question q = 0; q < QUESTION_MAX; q++)
        if (i->names[q])
            i->errors[q] = is_ready && !atomic_load(&i->abandoned)
                               ? query(&state, i->names[q], buffer, &i->answers[q])
                               : TRY_AGAIN;
    if (is_ready)
        res_nclose(&state);
}

/* ---- What it comes to ------------------------------------------------------------------------ */

static uint32_t any_number(void *userdata) {
    (void) userdata;
    return random_number();
}

static bool is_listed(const discovery_list *list, const char *host) {
    for (size_t i = 0; i < list->n; i++)
        if (strcasecmp(list->hosts[i], host) == 0)
            return true;
    return false;
}

static void make_list(const discovery *d, discovery_list *ret) {
    *ret = (discovery_list){};
    for (question q = 0; q < QUESTION_MAX; q++)
        for (size_t i = 0; i < d->answers[q].n && ret->n < DISCOVERY_HOSTS_MAX; i++) {
            const char *host = d->answers[q].records[i].target;

            if (!is_listed(ret, host))
                memcpy(ret->hosts[ret->n++], host, strlen(host) + 1);
        }
}

/* Takes over what is new; what is as before keeps the order that was drawn for it. Returns whether
 * something has changed. */
static bool take_answers(discovery *d, inquiry *i) {
    bool changed = false;

    for (question q = 0; q < QUESTION_MAX; q++) {
        if (i->errors[q] != 0 || srv_equal(&i->answers[q], &d->answers[q]))
            continue;

        d->answers[q] = i->answers[q];
        srv_order(&d->answers[q], any_number, NULL);
        changed = true;
    }
    return changed;
}

/* Of all records that the inquiry brought: the soonest end. */
static usec_t lifetime(const inquiry *i, unsigned failures) {
    usec_t life = USEC_INFINITY;

    for (question q = 0; q < QUESTION_MAX; q++)
        if (i->answers[q].n > 0 && srv_lifetime(i->answers[q].ttl) < life)
            life = srv_lifetime(i->answers[q].ttl);

    if (failures > 0 && srv_negative_lifetime(failures) < life)
        life = srv_negative_lifetime(failures);
    return life;
}

/* Whether somebody ought to have answered and did not, or nothing was found at all. That a site or
 * the PDC emulator has no records is an answer. */
static bool has_failed(const inquiry *i) {
    bool is_empty = true;

    for (question q = 0; q < QUESTION_MAX; q++) {
        if (i->errors[q] == TRY_AGAIN || i->errors[q] == NO_RECOVERY)
            return true;
        is_empty = is_empty && i->answers[q].n == 0;
    }
    return is_empty;
}

static const char *describe_error(int error) {
    switch (error) {
    case HOST_NOT_FOUND:
        return "the name does not exist";
    case TRY_AGAIN:
        return "no name server answered";
    case NO_RECOVERY:
        return "the name server gave no proper answer";
    default:
        return "it names no writable controller";
    }
}

static void tell_problem(discovery *d, const char *problem) {
    _cleanup_free_ char *text =
        text_format("DNS does not tell the controllers: %s (SRV %s)", problem, d->name);

    d->has_told = false;
    d->fn(NULL, text ? text : "DNS does not tell the controllers", d->userdata);
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
    discovery_list list;
    bool changed;

    d->job = NULL;
    d->inquiry = NULL;
    if (d->again) {
        d->again = false;
        return ask(d);
    }

    d->failures = has_failed(i) ? d->failures + 1 : 0;
    set_timer(d, lifetime(i, d->failures));

    changed = take_answers(d, i);
    make_list(d, &list);
    if (list.n == 0 || (d->failures > 0 && !changed))
        return tell_problem(d, describe_error(i->errors[QUESTION_DOMAIN]));

    if (changed || !d->has_told) {
        d->has_told = true;
        d->fn(&list, NULL, d->userdata);
    }
}

static void inquiry_free(void *userdata) {
    inquiry *i = userdata;

    for (question q = 0; q < QUESTION_MAX; q++)
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
        tell_problem(d, "name resolution does not answer");
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
    if (d->job)
        d->again = true;
    else
        set_timer(d, 0);
}

const char *discovery_name(const discovery *d) {
    assert(d);
    return d->name;
}
