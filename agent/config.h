/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The configuration: what writebackd.conf(5) says, checked, with the credentials it names. */

#include "agent/graph.h"
#include "agent/identity.h"
#include "agent/initiator.h"
#include "agent/limits.h"
#include "agent/report.h"
#include "health/health.h"
#include "ldap/directory.h"
#include "relay/relay.h"

/* Where [Keys] names none: the credential that the keys are sealed with, where it is given. */
#define CONFIG_SEAL_CREDENTIAL "state-key"

#define CONFIG_PATH SYSCONFDIR "/writeback/writebackd.conf"
#define CONFIG_STATE_DIRECTORY LOCALSTATEDIR "/lib/writeback"

/* What counts in the tokens of one issuer. */
typedef struct issuer_rules {
    char **allowed_clients; /* NULL-terminated, or NULL; Entra's with those of [Authorization] */
    role_set allowed_roles; /* no more than those of [Authorization] */
} issuer_rules;

typedef struct config {
    char *agent_id;
    char *tenant_id; /* NULL: not given */
    char *state_directory;
    identity_form log_user_identity;
    relay_config *relays;
    size_t n_relays;
    directory_config *directories;
    size_t n_directories;
    issuer_config *issuers;
    issuer_rules *issuer_rules; /* as many */
    size_t n_issuers;
    char **allowed_clients; /* of every Entra issuer, beside the Azure portal; NULL-terminated */
    role_set allowed_roles; /* in tokens of any issuer */
    rate request_rate, account_rate;
    char *health_listen;
    usec_t keys_lifetime, keys_roll_after, keys_grace;
    bool keys_renewed_elsewhere; /* Renew=no */
    secret *keys_seal;           /* AGENT_KEYS_SEAL_SIZE bytes; NULL: the keys are not sealed */
    report_config report;
    graph_config graph;
} config;

/* Reads, checks and completes the configuration; reads credentials (see credential_read()). An
 * unknown section or setting is an error: security software does not guess what a misspelt line
 * meant. Logs nothing.
 *
 * Returns 0; -EINVAL (or what reading failed with) and a malloc(3)ed text in *ret_why, which names
 * file and line, what is wrong and what is expected; -ENOMEM. */
int config_load(const char *path, config **ret, char **ret_why);
config *config_free(config *c);

DEFINE_CLEANUP(config *, config_free);
