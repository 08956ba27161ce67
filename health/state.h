/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of this room share: the state behind the door. */

#include "health/components.h"
#include "health/history.h"
#include "health/metrics.h"
#include "health/outage.h"

typedef struct endpoints endpoints;

struct health {
    char *agent_id;
    char *tenant_id; /* NULL: not told */
    char *release;
    components components;
    metrics metrics;
    history history;
    health_tenant tenant;
    char **clock_sources; /* and how far this host's clock is ahead of each */
    int64_t *clocks;
    size_t n_clocks;
    endpoints *endpoints;
    outage outage;
    sd_event_source *settling; /* looks again: what has calmed down, what lasts */
    bool reloading;            /* requests are turned away, and what is forgotten is only let go */
    bool stopping;
};
