/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Rendezvous addresses: the relay says where to connect, we decide whether we do. Nothing here
 * logs. */

#include <stdbool.h>

#include "agent/base/macro.h"

/* True for an address at the namespace itself or beside it: wss; the port that is configured; the
 * namespace's host, or one in its DNS domain (gateways are
 * "g12-prod-by3-010-sb.servicebus.windows.net" for "contoso.servicebus.windows.net"); a path below
 * "/$hc/"; no user, no fragment. Parsed by libcurl, so that what is checked is what will be
 * connected to. */
bool address_is_allowed(const char *address, const char *namespace_host, unsigned port);

/* The address to connect to in order to refuse a WebSocket sender (the handshake is then answered
 * with 410 by design); malloc(3)ed, or NULL. */
char *address_for_refusal(const char *address, int status, const char *description);
