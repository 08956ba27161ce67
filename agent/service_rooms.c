/* SPDX-License-Identifier: Apache-2.0 */
/* The rooms of a configuration: built in order, wired by callbacks, torn down. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/service_parts.h"
#include "agent/tenant_health.h"

static void on_request(relay_request *q, void *userdata) {
    service_relay *r = userdata;

    api_handle(&r->service->rooms.api, q);
}

static void on_relay_quiet(void *userdata) {
    const service_relay *r = userdata;

    service_on_idle(r->service);
}

/* First: what is in a state directory of another host is not even read. */
static int claim_state(service *s, rooms *r) {
    _cleanup_free_ char *path = NULL;
    int error;

    (void) s;

    error = host_id(r->host);
    if (error < 0) {
        r->host[0] = '\0';
        log_text(LOG_WARNING,
                 "This host has no machine id (%s), so a copy of its state directory on another "
                 "host would not be noticed. Make one: systemd-machine-id-setup",
                 strerror(-error));
        return 0;
    }

    if (asprintf(&path, "%s/host.id", r->config->state_directory) < 0)
        return -ENOMEM;

    error = host_claim(path, r->host);
    if (error == -EXDEV)
        log_event(OUTCOME_STATE_OF_OTHER_HOST, {"WRITEBACK_PATH", path});
    else if (error < 0)
        log_event(OUTCOME_CRYPTO_ERROR, {"WRITEBACK_PATH", path},
                  {"WRITEBACK_REASON", strerror(-error)});
    return error;
}

static int open_keys(service *s, rooms *r) {
    const config *c = r->config;
    _cleanup_free_ char *why = NULL;
    int error;

    (void) s;

    if (asprintf(&r->keys_path, "%s/keys.json", c->state_directory) < 0) {
        r->keys_path = NULL;
        return -ENOMEM;
    }

    r->keys_options = (agent_keys_options){
        .path = r->keys_path,
        .seal = c->keys_seal,
        .lifetime = c->keys_lifetime,
        .roll_after = c->keys_roll_after,
        .grace = c->keys_grace,
        .renewed_elsewhere = c->keys_renewed_elsewhere,
    };
    r->keys_are_new = access(r->keys_path, F_OK) < 0 && errno == ENOENT;
    error = agent_keys_open(&r->keys_options, now_realtime(), &r->keys, &why);
    if (error < 0)
        log_event(OUTCOME_CRYPTO_ERROR, {"WRITEBACK_PATH", r->keys_path},
                  {"WRITEBACK_REASON", why ? why : strerror(-error)});
    return error;
}

static int keep_keys(service *s, rooms *r) {
    return key_keeper_new(s->event, &r->keys_options, r->keys, service_on_keys_state, s,
                          &r->key_keeper);
}

static int open_identities(service *s, rooms *r) {
    _cleanup_free_ char *path = NULL;
    int error;

    (void) s;

    if (asprintf(&path, "%s/identity.key", r->config->state_directory) < 0)
        return -ENOMEM;

    error = identities_new(r->config->log_user_identity, path, &r->identities);
    if (error < 0)
        log_event(OUTCOME_CRYPTO_ERROR, {"WRITEBACK_PATH", path},
                  {"WRITEBACK_REASON",
                   error == -EBADMSG ? "it holds no key of 32 bytes" : strerror(-error)});
    return error;
}

static int open_ledger(service *s, rooms *r) {
    _cleanup_free_ char *path = NULL;

    if (asprintf(&path, "%s/ledger.sqlite", r->config->state_directory) < 0)
        return -ENOMEM;

    service_report(s, "ledger", "", "",
                   (health_component){.type = COMPONENT_LEDGER, .status = HEALTH_UNKNOWN});
    return ledger_new(s->event,
                      &(const ledger_config){.path = path,
                                             .host = *r->host ? r->host : NULL,
                                             .is_first = r->keys_are_new,
                                             .size_max = LEDGER_SIZE_MAX,
                                             .on_health = service_on_ledger_health,
                                             .userdata = s},
                      &r->ledger);
}

static int open_directories(service *s, rooms *r) {
    const config *c = r->config;
    int error = 0;

    r->directories = calloc(c->n_directories + 1, sizeof(directory *));
    if (!r->directories)
        return -ENOMEM;

    for (size_t i = 0; i < c->n_directories && error >= 0; i++) {
        error = directory_new(s->event, &c->directories[i], service_on_directory_state, s,
                              &r->directories[i]);
        if (error >= 0)
            service_on_directory_state(r->directories[i], s);
    }
    return error;
}

static int open_issuers(service *s, rooms *r) {
    const config *c = r->config;
    int error = 0;

    r->issuers = calloc(c->n_issuers + 1, sizeof(issuer *));
    r->issuer_names = calloc(c->n_issuers + 1, sizeof(service_issuer));
    if (!r->issuers || !r->issuer_names)
        return -ENOMEM;

    for (size_t i = 0; i < c->n_issuers && error >= 0; i++) {
        r->issuer_names[i] = (service_issuer){.service = s, .name = c->issuers[i].name};
        error = issuer_new(s->event, s->glue, &c->issuers[i], service_on_issuer_state,
                           &r->issuer_names[i], &r->issuers[i]);
        if (error >= 0)
            service_on_issuer_state(issuer_get_status(r->issuers[i]), &r->issuer_names[i]);
    }
    return error;
}

/* They count from the start on; a reload only changes the rates. */
static int set_counters(service *s, const config *c) {
    int error = s->passwords ? 0 : password_memory_new(&s->passwords);

    if (error < 0)
        return error;
    if (!s->limits)
        return limits_new(c->request_rate, c->account_rate, &s->limits);

    limits_set_rates(s->limits, c->request_rate, c->account_rate, now_monotonic());
    return 0;
}

static int open_operations(service *s, rooms *r) {
    int error = set_counters(s, r->config);
    const operations_context context = {
        .event = s->event,
        .config = r->config,
        .keys = r->keys,
        .identities = r->identities,
        .issuers = r->issuers,
        .directories = r->directories,
        .ledger = r->ledger,
        .health = s->health,
        .passwords = s->passwords,
        .limits = s->limits,
    };

    return error < 0 ? error : operations_new(&context, service_on_idle, s, &r->operations);
}

static int open_graph(service *s, rooms *r) {
    const graph_config *c = &r->config->graph;

    tenant_health_tell_nothing(s->health, c);
    return c->url ? graph_new(s->event, s->glue, c, service_on_graph_state, s, &r->graph) : 0;
}

static int open_reporter(service *s, rooms *r) {
    const report_config *c = &r->config->report;

    return c->url ? reporter_new(s->event, s->glue, c, s->health, &r->reporter) : 0;
}

/* Last: from here on requests may come. */
static int open_relays(service *s, rooms *r) {
    const config *c = r->config;
    int error = 0;

    r->api = (api){.operations = r->operations, .keys = r->keys, .health = s->health};
    r->relays = calloc(c->n_relays + 1, sizeof(service_relay));
    if (!r->relays)
        return -ENOMEM;

    for (size_t i = 0; i < c->n_relays && error >= 0; i++) {
        service_relay *slot = &r->relays[i];
        const relay_callbacks callbacks = {
            .on_request = on_request,
            .on_state = service_on_relay_state,
            .on_alive = service_on_relay_state,
            .on_quiet = on_relay_quiet,
            .userdata = slot,
        };

        slot->service = s;
        error = relay_new(s->event, s->glue, &c->relays[i], &callbacks, &slot->relay);
        if (error >= 0) {
            service_on_relay_state(relay_get_status(slot->relay), slot);
            error = relay_start(slot->relay);
        }
    }
    return error;
}

typedef struct opener {
    int (*open)(service *, rooms *);
    const char *what;
} opener;

/* One after the other. Some log what fails; the text says it of all. */
static int open_each(service *s, rooms *r, const opener *openers, size_t n, char **ret_why) {
    for (size_t i = 0; i < n; i++) {
        int error = openers[i].open(s, r);

        if (error < 0) {
            if (asprintf(ret_why, "%s cannot be set up: %s", openers[i].what, strerror(-error)) < 0)
                *ret_why = NULL;
            return error;
        }
    }
    return 0;
}

int service_open_state(service *s, config *c, rooms *ret, char **ret_why) {
    static const opener openers[] = {
        {claim_state, "the state directory"},
        {open_keys, "the agent's keys"},
        {open_identities, "the key of LogUserIdentity=hash"},
    };

    *ret = (rooms){.config = c};
    return open_each(s, ret, openers, ELEMENTSOF(openers), ret_why);
}

int service_build(service *s, char **ret_why) {
    static const opener openers[] = {
        {keep_keys, "the care of the agent's keys"},
        {open_ledger, "the record of requests"},
        {open_directories, "the directories"},
        {open_issuers, "the token issuers"},
        {open_reporter, "the health report"},
        {open_operations, "the work on requests"},
        {open_graph, "Microsoft Graph"},
        {open_relays, "the relays"},
    };

    return open_each(s, &s->rooms, openers, ELEMENTSOF(openers), ret_why);
}

static void forget_components(service *s, const rooms *r) {
    for (size_t i = 0; r->relays && i < r->config->n_relays; i++)
        service_forget(s, "relay", r->config->relays[i].name, "");
    for (size_t i = 0; r->directories && i < r->config->n_directories; i++) {
        directory *d = r->directories[i];

        for (size_t k = 0; d && k < directory_n_controllers(d); k++)
            service_forget(s, "directory", directory_domain(d), directory_controller(d, k)->name);
    }
    for (size_t i = 0; r->issuers && i < r->config->n_issuers; i++)
        service_forget(s, "issuer", r->config->issuers[i].name, "");
}

void service_tear_down(service *s, rooms *r) {
    if (!r->config)
        return;

    forget_components(s, r);
    for (size_t i = 0; r->relays && i < r->config->n_relays; i++)
        (void) relay_free(r->relays[i].relay);
    (void) ledger_free(r->ledger);
    (void) operations_free(r->operations);
    for (size_t i = 0; r->issuers && i < r->config->n_issuers; i++)
        (void) issuer_free(r->issuers[i]);
    for (size_t i = 0; r->directories && i < r->config->n_directories; i++)
        (void) directory_free(r->directories[i]);
    (void) key_keeper_free(r->key_keeper);
    (void) agent_keys_free(r->keys);
    free(r->keys_path);
    (void) identities_free(r->identities);
    (void) reporter_free(r->reporter);
    (void) graph_free(r->graph);
    free(r->relays);
    free(r->issuers);
    free(r->issuer_names);
    free(r->directories);
    (void) config_free(r->config);
    *r = (rooms){};
}
