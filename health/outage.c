/* SPDX-License-Identifier: Apache-2.0 */
#include "health/outage.h"

#include "health/blade.h"

static bool is_cause(const components *all, const component *c) {
    return c->status == HEALTH_FAIL && blade_is_in_the_way(all, c);
}

static bool has_cause(const components *all) {
    for (size_t i = 0; i < all->n; i++)
        if (is_cause(all, all->items[i]))
            return true;
    return false;
}

static void end(outage *o, components *all) {
    *o = (outage){0};
    for (size_t i = 0; i < all->n; i++)
        all->items[i]->was_in_outage &= all->items[i]->is_flapping;
}

/* Returns whether any of the causes has not been told of yet. */
static bool tell_causes(components *all) {
    bool any_is_new = false;

    for (size_t i = 0; i < all->n; i++) {
        component *c = all->items[i];

        if (!is_cause(all, c))
            continue;
        any_is_new |= !c->was_in_outage;
        c->was_in_outage = true;
    }
    return any_is_new;
}

bool outage_look(outage *o, components *all, usec_t now, usec_t *ret_due) {
    bool was_told = o->is_told, is_new;

    *ret_due = 0;
    if (!has_cause(all)) {
        end(o, all);
        return false;
    }

    if (o->began == 0)
        o->began = now;
    if (now < o->began + OUTAGE_PATIENCE) {
        *ret_due = o->began + OUTAGE_PATIENCE;
        return false;
    }

    o->is_told = true;
    is_new = tell_causes(all);
    return is_new && !was_told;
}
