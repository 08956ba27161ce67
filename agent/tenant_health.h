/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What Microsoft Graph says of the tenant, in the words of health. Nothing here logs. */

#include "agent/graph.h"
#include "health/health.h"

/* Tells `h` the checks `sync` and `licence`, and the metrics of both. */
void tenant_health_tell(health *h, const graph_config *c, const graph_status *status);

/* The same before Graph was asked, or where it is not configured. */
void tenant_health_tell_nothing(health *h, const graph_config *c);
