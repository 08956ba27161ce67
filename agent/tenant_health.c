/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/tenant_health.h"

#include <stdio.h>

#include "agent/base/clock.h"

/* `event` is the one whose steps cure it. */
static void tell(health *h, const graph_config *c, health_component_type type, health_status status,
                 const char *why, outcome event) {
    (void) health_report(h, &(const health_component){
                                .type = type,
                                .name = type == COMPONENT_SYNC ? "sync" : "licence",
                                .instance = "",
                                .status = status,
                                .output = why,
                                .event = event,
                                /* Once is enough. */
                                .certificate_not_after = type == COMPONENT_SYNC ? c->not_after : 0,
                            });
}

/* Both will be unknown without it; one that warns is enough. */
static void tell_sync_is_current(health *h, const graph_config *c, const graph_status *g) {
    char date[RFC3339_MAX];
    _cleanup_free_ char *why = NULL;

    if (!g->certificate_ends_soon)
        return tell(h, c, COMPONENT_SYNC, HEALTH_PASS, NULL, OUTCOME_SYNC_STALE);

    if (asprintf(&why, "the certificate that Microsoft Graph is asked with ends at %s",
                 rfc3339_utc(c->not_after, date)) < 0)
        why = NULL;
    tell(h, c, COMPONENT_SYNC, HEALTH_WARN, why, OUTCOME_GRAPH_CERTIFICATE_EXPIRES);
}

static void tell_sync(health *h, const graph_config *c, const graph_status *g) {
    switch (g->state.sync) {
    case TENANT_SYNC_IS_CURRENT:
        return tell_sync_is_current(h, c, g);
    case TENANT_SYNC_IS_LATE:
        return tell(h, c, COMPONENT_SYNC, HEALTH_WARN, g->sync_why, OUTCOME_SYNC_STALE);
    case TENANT_SYNC_IS_STALE:
        return tell(h, c, COMPONENT_SYNC, HEALTH_FAIL, g->sync_why, OUTCOME_SYNC_STALE);
    case TENANT_SYNC_IS_OFF:
        return tell(h, c, COMPONENT_SYNC, HEALTH_FAIL, g->sync_why, OUTCOME_SYNC_OFF);
    default:
        return tell(h, c, COMPONENT_SYNC, HEALTH_UNKNOWN, g->sync_why, g->failure);
    }
}

static void tell_licence(health *h, const graph_config *c, const graph_status *g) {
    switch (g->state.licence) {
    case LICENCE_HELD:
        return tell(h, c, COMPONENT_LICENCE, HEALTH_PASS, NULL, OUTCOME_LICENCE_MISSING);
    case LICENCE_MISSING:
        return tell(h, c, COMPONENT_LICENCE, HEALTH_FAIL, g->licence_why, OUTCOME_LICENCE_MISSING);
    default:
        return tell(h, c, COMPONENT_LICENCE, HEALTH_UNKNOWN, g->licence_why, g->failure);
    }
}

void tenant_health_tell(health *h, const graph_config *c, const graph_status *status) {
    const health_tenant tenant = {
        .last_sync = status->last_sync,
        .knows_licence = status->state.licence != LICENCE_UNKNOWN,
        .has_licence = status->state.licence == LICENCE_HELD,
        .certificate_not_after = c->not_after,
    };

    health_set_tenant(h, &tenant);
    tell_sync(h, c, status);
    tell_licence(h, c, status);
}

void tenant_health_tell_nothing(health *h, const graph_config *c) {
    const char *why = c->url ? "Microsoft Graph has not been asked yet"
                             : "the agent is not configured to ask Microsoft Graph ([Graph])";

    health_set_tenant(h, &(const health_tenant){.certificate_not_after = c->not_after});
    tell(h, c, COMPONENT_SYNC, HEALTH_UNKNOWN, why, 0);
    tell(h, c, COMPONENT_LICENCE, HEALTH_UNKNOWN, why, 0);
}
