/* SPDX-License-Identifier: Apache-2.0 */
#include "health/blade.h"

#include <string.h>

static bool are_alternatives(const component *a, const component *b) {
    if (a->type != b->type)
        return false;

    return a->type == COMPONENT_RELAY || a->type == COMPONENT_ISSUER ||
           strcmp(a->name, b->name) == 0;
}

static bool group_fails(const components *all, const component *c) {
    for (size_t i = 0; i < all->n; i++)
        if (are_alternatives(all->items[i], c) && all->items[i]->status != HEALTH_FAIL)
            return false;

    return true;
}

static bool works(const component *c) {
    return c->status == HEALTH_PASS || c->status == HEALTH_WARN;
}

/* Whether one of those that can stand in for each other works, as far as is known. */
static bool group_works(const components *all, const component *c) {
    for (size_t i = 0; i < all->n; i++)
        if (are_alternatives(all->items[i], c) && works(all->items[i]))
            return true;

    return false;
}

/* The same, and was tried since the last reload. */
static bool group_serves(const components *all, const component *c) {
    for (size_t i = 0; i < all->n; i++)
        if (are_alternatives(all->items[i], c) && works(all->items[i]) &&
            !all->items[i]->is_untried)
            return true;

    return false;
}

static bool is_needed(const component *c) {
    return c->type == COMPONENT_RELAY || c->type == COMPONENT_CONTROLLER ||
           c->type == COMPONENT_ISSUER;
}

static const component *find_failed_group(const components *all, health_component_type type) {
    for (size_t i = 0; i < all->n; i++) {
        const component *c = all->items[i];

        if (c->type == type && c->status == HEALTH_FAIL && group_fails(all, c))
            return c;
    }
    return NULL;
}

/* The relay that stands for all of them, where none can be reached: no word from any. One that
 * refuses the agent has been reached. */
static const component *find_cut_way_out(const components *all) {
    const component *root = find_failed_group(all, COMPONENT_RELAY);

    for (size_t i = 0; root && i < all->n; i++)
        if (all->items[i]->type == COMPONENT_RELAY && !all->items[i]->is_unreached)
            return NULL;
    return root;
}

/* Whether it could not be asked, over the way that the relays are reached by. */
static bool needs_way_out(const component *c) {
    switch (c->type) {
    case COMPONENT_ISSUER:
        return c->status == HEALTH_FAIL || c->told == HEALTH_WARN;
    case COMPONENT_SYNC:
    case COMPONENT_LICENCE:
        return c->status == HEALTH_UNKNOWN && c->event == OUTCOME_GRAPH_UNREACHABLE;
    default:
        return false;
    }
}

const component *blade_root_of(const components *all, const component *c) {
    const component *clock = find_failed_group(all, COMPONENT_CLOCK);

    if (clock && is_needed(c) && c->status == HEALTH_FAIL)
        return clock;
    return needs_way_out(c) ? find_cut_way_out(all) : NULL;
}

static bool is_of_tenant(const component *c) {
    return c->type == COMPONENT_SYNC || c->type == COMPONENT_LICENCE;
}

bool blade_is_in_the_way(const components *all, const component *c) {
    if (is_of_tenant(c) || blade_root_of(all, c))
        return false;
    if (is_needed(c))
        return (c->status == HEALTH_FAIL || c->is_untried) && !group_serves(all, c);
    return c->status == HEALTH_FAIL;
}

/* What is needed and was never tried is as good as failed. */
static bool hides_blade(const components *all, const component *c) {
    if (is_needed(c))
        return !works(c) && !group_works(all, c);
    return c->status == HEALTH_FAIL;
}

blade_reason blade_reason_of(const components *all, const component *c) {
    if (!hides_blade(all, c) || blade_root_of(all, c))
        return BLADE_REASON_NONE;

    switch (c->type) {
    case COMPONENT_LICENCE:
        return BLADE_REASON_NOT_IN_USE;
    case COMPONENT_SYNC:
        return BLADE_REASON_SYNC;
    default:
        return BLADE_REASON_WRITEBACK;
    }
}

/* What nobody has asked about cannot be held against the agent: without access to Microsoft Graph,
 * synchronisation and licence stay unknown for good. */
static bool was_asked_in_vain(const component *c) {
    return is_of_tenant(c) && c->status == HEALTH_UNKNOWN && component_has_event(c);
}

bool blade_needs_cure(const components *all, const component *c) {
    return (c->status == HEALTH_FAIL || c->status == HEALTH_WARN || was_asked_in_vain(c)) &&
           component_event(c) != OUTCOME_INVALID && !blade_root_of(all, c);
}

static bool is_warning(const component *c) {
    if (c->status == HEALTH_UNKNOWN)
        return was_asked_in_vain(c) || !is_of_tenant(c);

    return c->status != HEALTH_PASS;
}

blade blade_fold(const components *all) {
    bool warns = false, not_licensed = false, not_synchronised = false, cannot_serve = false;
    bool configured, is_in_the_way = false;
    blade b = {0};

    assert(all);

    for (size_t i = 0; i < all->n; i++) {
        const component *c = all->items[i];
        blade_reason reason = blade_reason_of(all, c);

        b.has_relay |= c->type == COMPONENT_RELAY;
        b.has_directory |= c->type == COMPONENT_CONTROLLER;
        warns |= is_warning(c);
        is_in_the_way |= blade_is_in_the_way(all, c);
        not_licensed |= reason == BLADE_REASON_NOT_IN_USE;
        not_synchronised |= reason == BLADE_REASON_SYNC;
        cannot_serve |= reason == BLADE_REASON_WRITEBACK;
    }

    configured = b.has_relay && b.has_directory;
    b.ready = configured && !is_in_the_way;

    if (!configured)
        b.state = BLADE_NOT_CONFIGURED;
    else if (not_licensed)
        b.state = BLADE_NOT_ENABLED;
    else if (cannot_serve || not_synchronised)
        b.state = BLADE_TEMPORARILY_UNAVAILABLE;
    else
        b.state = BLADE_UP_AND_RUNNING;

    if (b.state != BLADE_UP_AND_RUNNING)
        b.overall = HEALTH_FAIL;
    else
        b.overall = warns ? HEALTH_WARN : HEALTH_PASS;
    return b;
}

const char *blade_state_name(blade_state state) {
    static const char *const names[] = {
        [BLADE_UP_AND_RUNNING] = "upAndRunning",
        [BLADE_TEMPORARILY_UNAVAILABLE] = "temporarilyUnavailable",
        [BLADE_NOT_CONFIGURED] = "notConfigured",
        [BLADE_NOT_ENABLED] = "notEnabled",
    };

    return names[state];
}

const char *blade_state_sentence(blade_state state) {
    static const char *const sentences[] = {
        [BLADE_UP_AND_RUNNING] = "Your on-premises writeback client is up and running.",
        [BLADE_TEMPORARILY_UNAVAILABLE] =
            "Your on-premises writeback client cannot do its work at the moment.",
        [BLADE_NOT_CONFIGURED] = "Your on-premises writeback client is not properly configured.",
        [BLADE_NOT_ENABLED] = "On-premises integration has not been enabled.",
    };

    return sentences[state];
}

const char *blade_reason_name(blade_reason reason) {
    static const char *const names[] = {
        [BLADE_REASON_NONE] = "none",
        [BLADE_REASON_NOT_IN_USE] = "writebackNotInUse",
        [BLADE_REASON_WRITEBACK] = "writebackConnectivity",
        [BLADE_REASON_SYNC] = "syncConnectivity",
    };

    return names[reason];
}

const char *blade_reason_title(blade_reason reason) {
    static const char *const titles[] = {
        [BLADE_REASON_NONE] = "Nothing is wrong",
        [BLADE_REASON_NOT_IN_USE] = "Password writeback is not in use",
        [BLADE_REASON_WRITEBACK] =
            "There is a problem with the installation or connectivity of password writeback",
        [BLADE_REASON_SYNC] =
            "There is a problem with the installation or connectivity of directory synchronisation",
    };

    return titles[reason];
}

const char *health_status_name(health_status status) {
    static const char *const names[] = {
        [HEALTH_PASS] = "pass",
        [HEALTH_WARN] = "warn",
        [HEALTH_FAIL] = "fail",
        /* The draft knows only three. */
        [HEALTH_UNKNOWN] = "warn",
    };

    return names[status];
}
