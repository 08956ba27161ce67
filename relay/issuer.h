/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What an issuer is called, and how long it waits for what. issuer_new() takes the default; tests
 * take shorter ones. */

#include "relay/relay.h"

/* How many verifications may wait for keys at once. */
#define ISSUER_WAITING_MAX 64

typedef struct issuer_timing {
    usec_t refresh;  /* from one successful fetch to the next */
    usec_t throttle; /* at least this between two fetches for the sake of an unknown kid */
    usec_t patience; /* how long a verification waits for keys */
    usec_t timeout;  /* of one HTTP request */
} issuer_timing;

/* The issuer's own name, in either form. */
bool issuer_config_speaks_for(const issuer_config *c, const char *iss);

/* The same of metadata and keys, which may have "{tenantid}" in the place of the tenant. */
bool issuer_config_names(const issuer_config *c, const char *name);

extern const issuer_timing issuer_timing_default;

int issuer_new_with_timing(sd_event *event, curl_glue *glue, const issuer_config *config,
                           const issuer_timing *timing, issuer_state_fn on_state, void *userdata,
                           issuer **ret);
