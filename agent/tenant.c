/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/tenant.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "agent/base/clock.h"

/* Microsoft: entra/identity/users/licensing-service-plan-reference */
#define PLAN_P1 "41781fb2-bc02-4b7c-bd55-b576c07bb09d" /* AAD_PREMIUM */
#define PLAN_P2 "eec0eb4f-6444-4f95-aba0-50c24d67f998" /* AAD_PREMIUM_P2 */

void tenant_facts_done(tenant_facts *f) {
    assert(f);

    free(f->sync_why);
    free(f->licence_why);
    *f = (tenant_facts){0};
}

static int refuse(const char *why, const char **ret_why) {
    *ret_why = why;
    return -EBADMSG;
}

/* ---- The documents --------------------------------------------------------------------------- */

/* Members that Graph does not know of the tenant are null. */
static bool is_null(const json_t *value) {
    return !value || json_is_null(value);
}

int tenant_read_organization(const json_t *document, tenant_organization *ret,
                             const char **ret_why) {
    const json_t *organization = json_array_get(json_object_get(document, "value"), 0);
    const json_t *enabled = json_object_get(organization, "onPremisesSyncEnabled");
    const json_t *last = json_object_get(organization, "onPremisesLastSyncDateTime");
    usec_t date = 0;

    assert(ret);
    assert(ret_why);

    if (!json_is_object(organization))
        return refuse("the answer names no organization", ret_why);
    if (!is_null(enabled) && !json_is_boolean(enabled))
        return refuse("onPremisesSyncEnabled is neither true nor false", ret_why);
    if (!is_null(last) && (!json_is_string(last) || utc_parse(json_string_value(last), &date) < 0))
        return refuse("onPremisesLastSyncDateTime is no date", ret_why);

    *ret = (tenant_organization){.sync_enabled = json_is_true(enabled), .last_sync = date};
    return 0;
}

static bool is_in_force(const json_t *sku) {
    const char *status = json_get_string(sku, "capabilityStatus");

    return status && (strcmp(status, "Enabled") == 0 || strcmp(status, "Warning") == 0);
}

static bool is_for_writeback(const json_t *plan) {
    const char *id = json_get_string(plan, "servicePlanId");

    return id && (strcasecmp(id, PLAN_P1) == 0 || strcasecmp(id, PLAN_P2) == 0);
}

int tenant_read_skus(const json_t *page, licence *ret, const char **ret_why) {
    const json_t *skus = json_object_get(page, "value"), *sku, *plan;
    licence found = LICENCE_MISSING;
    size_t i, k;

    assert(ret);
    assert(ret_why);

    if (!json_is_array(skus))
        return refuse("the answer lists no subscriptions", ret_why);

    json_array_foreach(skus, i, sku) {
        const json_t *plans = json_object_get(sku, "servicePlans");

        if (!json_get_string(sku, "capabilityStatus") || !json_is_array(plans))
            return refuse("a subscription has no capabilityStatus or no servicePlans", ret_why);
        if (!is_in_force(sku))
            continue;
        json_array_foreach(plans, k, plan) {
            if (is_for_writeback(plan))
                found = LICENCE_HELD;
        }
    }

    *ret = found;
    return 0;
}

/* ---- What follows ---------------------------------------------------------------------------- */

static tenant_sync sync_at(const tenant_facts *f, usec_t when) {
    if (!f->organization.sync_enabled)
        return TENANT_SYNC_IS_OFF;
    if (f->organization.last_sync == 0)
        return TENANT_SYNC_IS_STALE;
    if (f->organization.last_sync + TENANT_SYNC_LATE >= when)
        return TENANT_SYNC_IS_CURRENT;
    return f->organization.last_sync + TENANT_SYNC_STALE >= when ? TENANT_SYNC_IS_LATE
                                                                 : TENANT_SYNC_IS_STALE;
}

static bool is_kept(usec_t seen, usec_t now) {
    return seen > 0 && seen + TENANT_KEPT >= now;
}

static tenant_sync fold_sync(const tenant_facts *f, usec_t now) {
    tenant_sync then;

    if (!f->sync_why)
        return f->sync_seen > 0 ? sync_at(f, now) : TENANT_SYNC_IS_UNKNOWN;
    if (!is_kept(f->sync_seen, now))
        return TENANT_SYNC_IS_UNKNOWN;

    then = sync_at(f, f->sync_seen);
    return then == TENANT_SYNC_IS_CURRENT && sync_at(f, now) != then ? TENANT_SYNC_IS_UNKNOWN
                                                                     : then;
}

static licence fold_licence(const tenant_facts *f, usec_t now) {
    return !f->licence_why || is_kept(f->licence_seen, now) ? f->licence : LICENCE_UNKNOWN;
}

tenant_state tenant_fold(const tenant_facts *f, usec_t now) {
    assert(f);
    return (tenant_state){.sync = fold_sync(f, now), .licence = fold_licence(f, now)};
}

/* ---- For people ------------------------------------------------------------------------------ */

static char *describe_age(const tenant_facts *f, usec_t now) {
    char date[RFC3339_MAX], *text;
    uint64_t hours =
        now > f->organization.last_sync ? (now - f->organization.last_sync) / USEC_PER_HOUR : 0;

    return asprintf(&text,
                    "directory synchronisation ran last at %s, %" PRIu64 " hours ago; it should "
                    "every half hour",
                    rfc3339_utc(f->organization.last_sync, date), hours) < 0
               ? NULL
               : text;
}

char *tenant_describe_sync(const tenant_facts *f, tenant_sync state, usec_t now) {
    assert(f);

    switch (state) {
    case TENANT_SYNC_IS_CURRENT:
        return NULL;
    case TENANT_SYNC_IS_OFF:
        return strdup("directory synchronisation is not enabled in the tenant");
    case TENANT_SYNC_IS_LATE:
    case TENANT_SYNC_IS_STALE:
        return f->organization.last_sync > 0
                   ? describe_age(f, now)
                   : strdup("directory synchronisation is enabled, and has never run");
    default:
        return strdup(f->sync_why ? f->sync_why : "Microsoft Graph has not been asked yet");
    }
}

char *tenant_describe_licence(const tenant_facts *f, licence state) {
    assert(f);

    switch (state) {
    case LICENCE_HELD:
        return NULL;
    case LICENCE_MISSING:
        return strdup("the tenant has no subscription in force with Microsoft Entra ID P1 or P2");
    default:
        return strdup(f->licence_why ? f->licence_why : "Microsoft Graph has not been asked yet");
    }
}
