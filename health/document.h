/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What health says in JSON (application/health+json, draft-inadarei-api-health-check-06). Each
 * returns a new reference, or NULL where memory is out. Nothing here logs. */

#include "health/health.h"

/* Of GET /status: the document of /healthz, and with it what cures each part that fails or warns,
 * and how the last requests ended (no names). */
json_t *document_status(const health *h);

/* Of GET /livez: the loop runs, or this would not be answered. */
json_t *document_alive(void);

/* Of GET /readyz: with the reasons where it is not ready. */
json_t *document_ready(const health *h);

/* Of GET /readyz/NAME: that check alone. *ret_status is pass, warn, fail; fail only where every
 * instance fails; HEALTH_UNKNOWN, and NULL returned, where there is no such check. */
json_t *document_check(const health *h, const char *name, health_status *ret_status);

/* Why requests cannot be served, on one line. malloc(3)ed, or NULL. */
char *document_obstacles_line(const health *h);
