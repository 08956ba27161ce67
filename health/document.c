/* SPDX-License-Identifier: Apache-2.0 */
#include "health/document.h"

#include <stdio.h>
#include <string.h>

#include "agent/base/clock.h"
#include "health/blade.h"
#include "health/state.h"

/* jansson's json_object_set_new() takes a NULL value as a failure and returns -1, so that a chain
 * of them needs one check at its end. */

static int set_date(json_t *object, const char *name, usec_t realtime) {
    char date[RFC3339_MAX];

    return json_object_set_new(object, name, json_string(rfc3339_utc(realtime, date)));
}

static const char *component_type_name(health_component_type type) {
    switch (type) {
    case COMPONENT_CONTROLLER:
    case COMPONENT_LEDGER:
        return "datastore";
    case COMPONENT_CLOCK:
        return "system";
    default:
        return "component";
    }
}

static json_t *check_entry(const components *all, const component *c) {
    const component *root = blade_root_of(all, c);
    _cleanup_(json_freep) json_t *entry = json_object();
    int r = 0;

    if (!entry)
        return NULL;

    if (*c->instance)
        r |= json_object_set_new(entry, "componentId", json_string(c->instance));
    r |= json_object_set_new(entry, "componentType", json_string(component_type_name(c->type)));
    r |= json_object_set_new(entry, "status", json_string(health_status_name(c->status)));
    r |= set_date(entry, "time", c->reported);
    r |= set_date(entry, "since", c->since);
    if (c->latency > 0) {
        r |= json_object_set_new(entry, "observedValue",
                                 json_real((double) c->latency / (double) USEC_PER_MSEC));
        r |= json_object_set_new(entry, "observedUnit", json_string("ms"));
    }
    if (c->not_after > 0)
        r |= set_date(entry, c->type == COMPONENT_KEYS ? "notAfter" : "certificateNotAfter",
                      c->not_after);
    if (root)
        r |= json_object_set_new(entry, "causedBy", json_string(root->name));
    if (c->status == HEALTH_UNKNOWN || c->is_untried)
        r |= json_object_set_new(entry, "known", json_false());
    if (c->status == HEALTH_UNKNOWN)
        r |= json_object_set_new(entry, "output",
                                 c->output ? json_sprintf("Not known: %s", c->output)
                                           : json_string("Not known: not looked at yet"));
    else if (c->is_untried)
        r |= json_object_set_new(entry, "output", json_string(COMPONENT_NOT_TRIED_AGAIN));
    else if (c->output)
        r |= json_object_set_new(entry, "output", json_string(c->output));

    return r == 0 ? TAKE_PTR(entry) : NULL;
}

/* Adds the component to the array of its name. */
static int add_check(json_t *checks, const components *all, const component *c) {
    json_t *entries = json_object_get(checks, c->name);

    if (!entries) {
        entries = json_array();
        if (json_object_set_new(checks, c->name, entries) < 0)
            return -1;
    }
    return json_array_append_new(entries, check_entry(all, c));
}

static json_t *checks_object(const components *all) {
    _cleanup_(json_freep) json_t *checks = json_object();

    if (!checks)
        return NULL;

    for (size_t i = 0; i < all->n; i++)
        if (add_check(checks, all, all->items[i]) < 0)
            return NULL;

    return TAKE_PTR(checks);
}

static json_t *reason_object(blade_reason reason, const char *check, const char *instance,
                             const char *detail) {
    _cleanup_(json_freep) json_t *object = json_object();
    int r = 0;

    if (!object)
        return NULL;

    r |= json_object_set_new(object, "group", json_string(blade_reason_name(reason)));
    r |= json_object_set_new(object, "title", json_string(blade_reason_title(reason)));
    if (check)
        r |= json_object_set_new(object, "check", json_string(check));
    if (instance && *instance)
        r |= json_object_set_new(object, "componentId", json_string(instance));
    if (detail)
        r |= json_object_set_new(object, "detail", json_string(detail));

    return r == 0 ? TAKE_PTR(object) : NULL;
}

static json_t *reasons_array(const components *all, const blade *b) {
    _cleanup_(json_freep) json_t *reasons = json_array();
    int r = 0;

    if (!reasons)
        return NULL;

    if (!b->has_relay)
        r |= json_array_append_new(
            reasons, reason_object(BLADE_REASON_NOT_IN_USE, NULL, NULL, "No relay is configured"));
    if (!b->has_directory)
        r |= json_array_append_new(reasons, reason_object(BLADE_REASON_NOT_IN_USE, NULL, NULL,
                                                          "No directory is configured"));
    for (size_t i = 0; i < all->n; i++) {
        const component *c = all->items[i];
        blade_reason reason = blade_reason_of(all, c);

        if (reason != BLADE_REASON_NONE)
            r |= json_array_append_new(
                reasons, reason_object(reason, c->name, c->instance, component_why(c)));
    }

    return r == 0 ? TAKE_PTR(reasons) : NULL;
}

static json_t *blade_object(const components *all, const blade *b) {
    _cleanup_(json_freep) json_t *object = json_object();
    int r = 0;

    if (!object)
        return NULL;

    r |= json_object_set_new(object, "visible", json_boolean(b->state == BLADE_UP_AND_RUNNING));
    r |= json_object_set_new(object, "state", json_string(blade_state_name(b->state)));
    r |= json_object_set_new(object, "reasons", reasons_array(all, b));

    return r == 0 ? TAKE_PTR(object) : NULL;
}

json_t *health_document(const health *h) {
    _cleanup_(json_freep) json_t *document = json_object();
    blade b;
    int r = 0;

    assert(h);

    if (!document)
        return NULL;

    b = blade_fold(&h->components);
    r |= json_object_set_new(document, "status", json_string(health_status_name(b.overall)));
    r |= json_object_set_new(document, "version", json_string("1"));
    r |= json_object_set_new(document, "releaseId", json_string(h->release));
    r |= json_object_set_new(document, "serviceId", json_string(h->agent_id));
    if (h->tenant_id)
        r |= json_object_set_new(document, "tenantId", json_string(h->tenant_id));
    r |= json_object_set_new(document, "blade", blade_object(&h->components, &b));
    r |= json_object_set_new(document, "checks", checks_object(&h->components));

    return r == 0 ? TAKE_PTR(document) : NULL;
}

/* ---- What people look at: /status ------------------------------------------------------------ */

/* The parts that `o` cures. */
static json_t *parts_array(const components *all, outcome o) {
    _cleanup_(json_freep) json_t *array = json_array();

    for (size_t i = 0; i < all->n && array; i++) {
        const component *c = all->items[i];
        json_t *part;

        if (!blade_needs_cure(all, c) || component_event(c) != o)
            continue;
        part = json_pack("{s:s, s:s}", "check", c->name, "componentId", c->instance);
        if (part && !*c->instance)
            (void) json_object_del(part, "componentId");
        if (json_array_append_new(array, part) < 0)
            return NULL;
    }
    return TAKE_PTR(array);
}

static json_t *cures_array(const components *all) {
    _cleanup_(json_freep) json_t *cures = json_array();

    for (outcome o = 0; o < OUTCOME_MAX_ && cures; o++) {
        _cleanup_(json_freep) json_t *parts = parts_array(all, o);
        const outcome_info *info = outcome_get(o);
        _cleanup_free_ char *steps = outcome_text(info->steps);

        if (!parts || !steps)
            return NULL;
        if (json_array_size(parts) > 0 &&
            json_array_append_new(cures, json_pack("{s:i, s:s, s:s, s:s, s:o, s:O}", "eventId",
                                                   info->event, "code", info->name, "title",
                                                   info->title, "cause", info->cause, "steps",
                                                   json_lines(steps), "checks", parts)) < 0)
            return NULL;
    }
    return TAKE_PTR(cures);
}

static json_t *request_object(const history_entry *entry) {
    const outcome_info *info = outcome_get(entry->end);
    char date[RFC3339_MAX];

    return json_pack("{s:s, s:s, s:s, s:i, s:s, s:s, s:f}", "time", rfc3339_utc(entry->ended, date),
                     "operation", metrics_operation_name(entry->operation), "status",
                     metrics_result_name(entry->end), "eventId", info->event, "code", info->name,
                     "title", info->title, "durationMs",
                     (double) entry->duration / (double) USEC_PER_MSEC);
}

static json_t *requests_object(const health *h) {
    _cleanup_(json_freep) json_t *recent = json_array();

    for (size_t i = 0; i < history_size(&h->history) && recent; i++)
        if (json_array_append_new(recent, request_object(history_get(&h->history, i))) < 0)
            return NULL;

    return recent
               ? json_pack("{s:i, s:O}", "inFlight", (int) h->metrics.in_flight, "recent", recent)
               : NULL;
}

json_t *document_status(const health *h) {
    _cleanup_(json_freep) json_t *document = health_document(h);
    int r = 0;

    if (!document)
        return NULL;

    r |= set_date(document, "time", now_realtime());
    r |= set_date(document, "startedAt", h->metrics.started);
    r |= json_object_set_new(document, "ready", json_boolean(health_is_ready(h)));
    r |= json_object_set_new(document, "cures", cures_array(&h->components));
    r |= json_object_set_new(document, "requests", requests_object(h));

    return r == 0 ? TAKE_PTR(document) : NULL;
}

/* ---- What machines ask ----------------------------------------------------------------------- */

json_t *document_alive(void) {
    return json_pack("{s:s}", "status", "pass");
}

json_t *document_ready(const health *h) {
    _cleanup_free_ char *why = NULL;

    if (health_is_ready(h))
        return json_pack("{s:s}", "status", "pass");

    if (h->stopping)
        why = strdup("The agent is stopping");
    else if (h->reloading)
        why = strdup("The agent is taking over a new configuration");
    else
        why = document_obstacles_line(h);
    return why ? json_pack("{s:s, s:s}", "status", "fail", "output", why) : NULL;
}

json_t *document_check(const health *h, const char *name, health_status *ret_status) {
    _cleanup_(json_freep) json_t *checks = json_object();
    size_t n = 0, n_pass = 0, n_fail = 0;
    health_status status;

    for (size_t i = 0; i < h->components.n; i++) {
        const component *c = h->components.items[i];

        if (strcmp(c->name, name) != 0)
            continue;
        if (!checks || add_check(checks, &h->components, c) < 0)
            return NULL;
        n++;
        n_pass += c->status == HEALTH_PASS;
        n_fail += c->status == HEALTH_FAIL;
    }

    if (n == 0) {
        *ret_status = HEALTH_UNKNOWN;
        return NULL;
    }

    status = n_fail == n ? HEALTH_FAIL : n_pass == n ? HEALTH_PASS : HEALTH_WARN;
    *ret_status = status;
    return json_pack("{s:s, s:O}", "status", health_status_name(status), "checks", checks);
}

char *document_obstacles_line(const health *h) {
    const components *all = &h->components;
    blade b = blade_fold(all);
    const char *separator = "";
    char *line = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&line, &size);

    if (!f)
        return NULL;

    if (!b.has_relay || !b.has_directory) {
        fprintf(f, "no %s is configured", b.has_relay ? "directory" : "relay");
        separator = "; ";
    }
    for (size_t i = 0; i < all->n; i++) {
        const component *c = all->items[i];

        if (!blade_is_in_the_way(all, c))
            continue;
        fprintf(f, "%s%s%s%s: %s", separator, c->name, *c->instance ? " " : "", c->instance,
                component_why(c));
        separator = "; ";
    }

    if (fclose(f) != 0) {
        free(line);
        return NULL;
    }
    return line;
}
