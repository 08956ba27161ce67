/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The house as a whole: builds the rooms, wires them by callbacks, reloads, drains, stops. */

#include <systemd/sd-event.h>

#include "agent/config.h"

typedef struct service service;

/* Builds everything from a checked configuration, which it takes over (also where it fails). `path`
 * is read again on reload; borrowed. Blocks for the disk; before the loop runs. Logs its events:
 * 31015, and 32010 or 32005 where it fails. Returns 0 or negative errno. */
int service_new(sd_event *event, const char *path, config *c, service **ret);

/* Logs 31016. Takes NULL, returns NULL. */
service *service_free(service *s);

/* SIGHUP: reads the configuration again; where it is wrong, logs 35037 and keeps the old one.
 * Otherwise finishes what is under way, answering new requests with 35013 for that long, and builds
 * the rooms anew. systemd is told by RELOADING=1 and READY=1. */
void service_reload(service *s);

/* SIGTERM: finishes what is under way, answering new requests with 35013, until every answer has
 * left this host, a minute at most; then leaves the loop (sd_event_exit(3)). systemd is told by
 * STOPPING=1, and asked for more time by EXTEND_TIMEOUT_USEC= as long as it takes. */
void service_stop(service *s);

DEFINE_CLEANUP(service *, service_free);
