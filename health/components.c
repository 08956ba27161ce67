/* SPDX-License-Identifier: Apache-2.0 */
#include "health/components.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/encoding.h"

moment moment_now(void) {
    return (moment){.date = now_realtime(), .uptime = now_boottime()};
}

static component *component_free(component *c) {
    if (!c)
        return NULL;

    free(c->name);
    free(c->instance);
    free(c->output);
    free(c);
    return NULL;
}

DEFINE_CLEANUP(component *, component_free);

void components_done(components *all) {
    for (size_t i = 0; i < all->n; i++)
        (void) component_free(all->items[i]);
    free(all->items);
    *all = (components){0};
}

/* A copy that can stand in JSON, in a metric's label and on a terminal, whatever a peer said. */
static char *copy_text(const char *text) {
    size_t n = strnlen(text, COMPONENT_TEXT_MAX);
    bool is_utf8;
    char *copy;

    /* Not cut in the middle of a UTF-8 sequence. */
    if (text[n] != '\0')
        while (n > 0 && ((unsigned char) text[n] & 0xc0) == 0x80)
            n--;

    copy = strndup(text, n);
    if (!copy)
        return NULL;

    is_utf8 = utf8_is_valid(copy, n);
    for (size_t i = 0; i < n; i++) {
        unsigned char byte = (unsigned char) copy[i];

        if (byte < 0x20 || byte == 0x7f || (byte >= 0x80 && !is_utf8))
            copy[i] = '?';
    }
    return copy;
}

component *components_find(const components *all, const char *name, const char *instance) {
    for (size_t i = 0; i < all->n; i++)
        if (strcmp(all->items[i]->name, name) == 0 &&
            strcmp(all->items[i]->instance, instance) == 0)
            return all->items[i];

    return NULL;
}

/* Behind the others of its type. There is room. */
static void insert(components *all, component *c) {
    size_t at = all->n++;

    while (at > 0 && all->items[at - 1]->type > c->type)
        at--;
    memmove(&all->items[at + 1], &all->items[at], (all->n - 1 - at) * sizeof(component *));
    all->items[at] = c;
}

static void take_out(components *all, const component *c) {
    size_t at = 0;

    while (all->items[at] != c)
        at++;
    all->n--;
    memmove(&all->items[at], &all->items[at + 1], (all->n - at) * sizeof(component *));
}

static int add(components *all, const health_component *told, const moment *now, component **ret) {
    _cleanup_(component_freep) component *c = calloc(1, sizeof(*c));
    component **items;

    if (!c)
        return -ENOMEM;

    c->type = told->type;
    c->status = c->told = told->status;
    c->since = now->date;
    c->name = copy_text(told->name);
    c->instance = copy_text(told->instance);
    if (!c->name || !c->instance)
        return -ENOMEM;

    items = reallocarray(all->items, all->n + 1, sizeof(*items));
    if (!items)
        return -ENOMEM;
    all->items = items;

    insert(all, c);
    *ret = TAKE_PTR(c);
    return 0;
}

static void show(component *c, health_status status, const moment *now) {
    if (c->status == status)
        return;
    c->status = status;
    c->since = now->date;
}

/* Whether this failure is one too many. */
static void note_failure(component *c, const health_component *told, const moment *now) {
    c->failure = told->event;
    c->failures[c->n_failures++ % COMPONENT_FLAPS] = now->uptime;

    /* The slot that is written next holds the oldest. */
    if (c->n_failures >= COMPONENT_FLAPS &&
        now->uptime - c->failures[c->n_failures % COMPONENT_FLAPS] < COMPONENT_FLAP_WINDOW)
        c->is_flapping = true;
}

static void note_recovery(component *c, const moment *now) {
    c->calm = now->uptime + COMPONENT_CALM;
}

static char *flapping_text(const component *c, const moment *now) {
    char date[RFC3339_MAX], *text;

    return asprintf(&text,
                    "it comes and goes: it failed %d times within %d minutes, and is called well "
                    "again where it stays so until %s",
                    COMPONENT_FLAPS, (int) (COMPONENT_FLAP_WINDOW / USEC_PER_MINUTE),
                    rfc3339_utc(now->date + (c->calm - now->uptime), date)) < 0
               ? NULL
               : text;
}

/* Of these HEALTH_UNKNOWN says that they were not tried yet; of the others, that what was asked for
 * was not told. */
static bool is_tried(health_component_type type) {
    switch (type) {
    case COMPONENT_SYNC:
    case COMPONENT_LICENCE:
    case COMPONENT_CLOCK:
        return false;
    default:
        return true;
    }
}

/* What a reload let go, and what is there again. */
static void take_back(components *all, component *c) {
    c->is_let_go = false;
    take_out(all, c);
    insert(all, c);
}

int components_report(components *all, const health_component *told, const moment *now) {
    _cleanup_free_ char *output = NULL;
    component *c;
    int r;

    assert(all && told && told->name && told->instance);

    if (told->output) {
        output = copy_text(told->output);
        if (!output)
            return -ENOMEM;
    }

    c = components_find(all, told->name, told->instance);
    if (!c) {
        r = add(all, told, now, &c);
        if (r < 0)
            return r;
    }

    if (c->is_let_go)
        take_back(all, c);
    c->is_untried = told->status == HEALTH_UNKNOWN && is_tried(c->type);
    if (c->is_untried && c->status != HEALTH_UNKNOWN)
        return 0;

    if (told->status == HEALTH_FAIL && c->told != HEALTH_FAIL)
        note_failure(c, told, now);
    if (told->status != HEALTH_FAIL && c->told == HEALTH_FAIL)
        note_recovery(c, now);
    c->told = told->status;
    c->event = told->event;
    c->is_unreached = told->is_unreached;
    if (c->told == HEALTH_PASS && c->is_flapping && c->calm > now->uptime) {
        show(c, HEALTH_WARN, now);
        free(output);
        output = flapping_text(c, now);
        c->event = c->failure;
    } else {
        show(c, c->told, now);
    }

    free(c->output);
    c->output = TAKE_PTR(output);
    c->reported = now->date;
    c->latency = told->latency;
    c->not_after = told->certificate_not_after;
    return 0;
}

static void end_flapping(component *c, const moment *now) {
    c->is_flapping = false;
    c->n_failures = 0;
    if (c->told != HEALTH_PASS)
        return;

    show(c, HEALTH_PASS, now);
    free(c->output);
    c->output = NULL;
}

usec_t components_settle(components *all, const moment *now) {
    usec_t next = 0;

    for (size_t i = 0; i < all->n; i++) {
        component *c = all->items[i];

        if (!c->is_flapping || c->told == HEALTH_FAIL)
            continue;
        if (c->calm <= now->uptime)
            end_flapping(c, now);
        else if (next == 0 || c->calm < next)
            next = c->calm;
    }
    return next;
}

static void forget(components *all, component *c) {
    take_out(all, c);
    (void) component_free(c);
}

void components_forget(components *all, const char *name, const char *instance) {
    component *c = components_find(all, name, instance);

    if (c)
        forget(all, c);
}

void components_let_go(components *all, const char *name, const char *instance) {
    component *c = components_find(all, name, instance);

    if (c)
        c->is_let_go = c->is_untried = true;
}

/* Whether another of its check has yet to be tried: DNS, say, which may tell of this one again. */
static bool may_come_back(const components *all, const component *c) {
    for (size_t i = 0; i < all->n; i++) {
        const component *other = all->items[i];

        if (other->is_untried && !other->is_let_go && strcmp(other->name, c->name) == 0)
            return true;
    }
    return false;
}

void components_sweep(components *all) {
    for (size_t i = all->n; i-- > 0;)
        if (all->items[i]->is_let_go && !may_come_back(all, all->items[i]))
            forget(all, all->items[i]);
}

static bool has_steps(outcome o) {
    return o != OUTCOME_INVALID && *outcome_get(o)->steps;
}

bool component_has_event(const component *c) {
    return has_steps(c->event);
}

outcome component_event(const component *c) {
    if (component_has_event(c))
        return c->event;

    switch (c->type) {
    case COMPONENT_RELAY:
        return OUTCOME_RELAY_LISTENER_ERROR;
    case COMPONENT_CONTROLLER:
        return OUTCOME_CONTROLLER_UNUSABLE;
    case COMPONENT_ISSUER:
        return OUTCOME_ISSUER_UNREACHABLE;
    case COMPONENT_SYNC:
        return OUTCOME_SYNC_STALE;
    case COMPONENT_LICENCE:
        return OUTCOME_LICENCE_MISSING;
    case COMPONENT_KEYS:
        return OUTCOME_KEYS_NOT_RENEWED;
    case COMPONENT_LEDGER:
        return OUTCOME_LEDGER_UNAVAILABLE;
    case COMPONENT_CLOCK:
        return OUTCOME_CLOCK_WRONG;
    default:
        return OUTCOME_INVALID;
    }
}

const char *component_why(const component *c) {
    if (c->is_untried && c->status != HEALTH_FAIL)
        return "it has not been tried yet";
    return c->output ? c->output : "it fails";
}

const char *component_short_name(const component *c) {
    const char *colon = strchr(c->name, ':');

    return colon ? colon + 1 : c->name;
}
