/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The HTTP endpoints on the loop, by libmicrohttpd on its epoll descriptor:
 *
 *   GET /livez            200 as long as the loop runs
 *   GET /readyz           200, or 503 with why requests cannot be served
 *   GET /readyz/NAME      the same of one check ("relay:primary"); 404 where there is none
 *   GET /healthz          the whole document; 503 where its status is fail
 *   GET /status           the same, what cures each part, and how the last requests ended
 *   GET /metrics          Prometheus text 0.0.4, or OpenMetrics 1.0 where Accept asks for it
 *   GET /                 a page for people, without scripts
 *
 * HEAD works on each. At most 32 connections (further ones wait until one ends), 5 s of silence,
 * 16 KiB a connection. Nothing secret is served. Logs nothing above LOG_DEBUG. */

#include "health/health.h"

typedef struct endpoints endpoints;

#define ENDPOINTS_CONNECTIONS_MAX 32
#define ENDPOINTS_TIMEOUT_SECONDS 5

/* `h` is borrowed and must live as long. Errors as listen_open(). */
int endpoints_new(sd_event *event, const char *listen, const health *h, endpoints **ret,
                  char **ret_why);
endpoints *endpoints_free(endpoints *e);
