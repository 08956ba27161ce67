/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Asks Microsoft Graph, now and then, whether the tenant's directory synchronisation runs and
 * whether it has a licence for password writeback.
 *
 * The agent proves itself to Microsoft Entra as an application (client credentials): by a
 * certificate (RFC 7523 assertion; Microsoft: entra/identity-platform/certificate-credentials) or a
 * client secret. One request at a time, each with a limit of size and time. Nothing depends on the
 * answer but the blade, and, where the tenant is known to have no licence, requests. */

#include "agent/base/curl_glue.h"
#include "agent/base/secret.h"
#include "agent/tenant.h"

typedef struct graph graph;

/* Strings are owned by the config. */
typedef struct graph_config {
    char *url; /* "https://graph.microsoft.com", no slash at its end; NULL: not configured */
    char *token_url;
    char *client_id;
    /* A certificate: its SHA-256 in base64url, when it ends, and its key as PEM. */
    char *thumbprint;
    usec_t not_after; /* CLOCK_REALTIME; 0: a secret is used */
    secret *key;
    const char *algorithm; /* "PS256" or "RS256"; static */
    secret *client_secret; /* instead of a certificate */
    usec_t interval;
    char *ca_file; /* NULL: the system's */
    char *proxy;   /* NULL: none */
} graph_config;

/* Frees the members, not the struct. */
void graph_config_done(graph_config *c);

/* How it stands after a look. Borrowed until the call returns. */
typedef struct graph_status {
    tenant_state state;
    usec_t last_sync;                   /* CLOCK_REALTIME; 0: unknown, or never */
    const char *sync_why, *licence_why; /* for people; NULL where all is well */
    outcome failure;                    /* whose steps cure what is unknown */
    bool certificate_ends_soon;
    clock_reading clock; /* Graph's */
} graph_status;

typedef void (*graph_state_fn)(const graph_status *status, void *userdata);

/* Asks at once, and then every interval; after a failure after 30 s, 60 s and so on up to the
 * interval, and never before the time that a Retry-After names, an hour at most; all with jitter.
 * `config` is borrowed and must live as long. `on_state` is called after each look, from the loop;
 * it must not free the graph.
 *
 * Logs on change: 35004, 35070, 35071, 35072, 35073; and 35074 once a day while the certificate is
 * near its end. Returns 0 or negative errno. */
int graph_new(sd_event *event, curl_glue *glue, const graph_config *config, graph_state_fn on_state,
              void *userdata, graph **ret);

/* Takes NULL, returns NULL. */
graph *graph_free(graph *g);

DEFINE_CLEANUP(graph *, graph_free);
