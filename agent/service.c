/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/service.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <systemd/sd-daemon.h>

#include "agent/api.h"
#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/clock_watch.h"
#include "agent/host.h"
#include "agent/key_keeper.h"
#include "agent/tenant_health.h"

/* Longer than any operation lives. */
#define DRAIN_TIMEOUT (60 * USEC_PER_SEC)

/* While requests drain systemd is asked for more time so often, each time for so much: an agent
 * that hangs meanwhile is ended soon, one that works is not. */
#define DRAIN_TICK (2 * USEC_PER_SEC)
#define DRAIN_EXTENSION (6 * USEC_PER_SEC)

typedef struct service_relay {
    service *service;
    relay *relay;
} service_relay;

typedef struct service_issuer {
    service *service;
    const char *name;
} service_issuer;

typedef enum service_wish {
    WISH_RUN,
    WISH_RELOAD, /* as soon as nothing is under way */
    WISH_STOP,
} service_wish;

/* What is built from a configuration, and torn down with it. */
typedef struct rooms {
    config *config;
    char host[HOST_ID_MAX]; /* "" where it is not known */
    char *keys_path;
    agent_keys_options keys_options;
    agent_keys *keys;
    key_keeper *key_keeper;
    identities *identities;
    service_relay *relays;
    directory **directories;
    issuer **issuers;
    service_issuer *issuer_names;
    ledger *ledger;
    operations *operations;
    api api;
    reporter *reporter; /* NULL: no reports are configured */
    graph *graph;       /* NULL: Microsoft Graph is not configured */
} rooms;

struct service {
    sd_event *event;
    const char *path;
    curl_glue *glue;
    health *health;
    clock_watch *clock_watch;
    rooms rooms;
    service_wish wish;
    config *next_config; /* of a reload */
    usec_t drain_end;    /* CLOCK_MONOTONIC; what is not answered by then never will be */
    bool relays_stopped; /* all is answered: they only say goodbye */
    sd_event_source *drain_timer;
    sd_event_source
        *settled; /* leaves the stack of whoever answered last before rooms are torn down */
};

/* ---- What the rooms tell
 * ------------------------------------------------------------------------- */

static void tell_systemd(service *s) {
    _cleanup_free_ char *line = NULL;

    if (s->wish == WISH_STOP) {
        (void) sd_notifyf(0, "STATUS=Stopping; requests that are still being answered: %zu",
                          operations_pending(s->rooms.operations));
        return;
    }

    line = health_status_line(s->health);
    if (line)
        (void) sd_notifyf(0, "STATUS=%s", line);
}

/* Something about the health may have changed. */
static void after_news(service *s) {
    reporter_touch(s->rooms.reporter);
    tell_systemd(s);
}

static void tell(service *s, const health_component *told) {
    (void) health_report(s->health, told);
    after_news(s);
}

static void report(service *s, health_component_type type, const char *prefix, const char *name,
                   const char *instance, health_status status, const char *output, usec_t latency,
                   usec_t not_after) {
    _cleanup_free_ char *key = NULL;

    if (asprintf(&key, "%s%s%s", prefix, *name ? ":" : "", name) < 0)
        return;

    tell(s, &(health_component){.type = type,
                                .name = key,
                                .instance = instance,
                                .status = status,
                                .output = output,
                                .latency = latency,
                                .certificate_not_after = not_after});
}

/* Its clock was read; one of several instances has a vote together with the others. */
static void note_clock(service *s, const char *prefix, const char *name, const char *instance,
                       clock_reading theirs) {
    _cleanup_free_ char *key = NULL;

    if (asprintf(&key, "%s:%s", prefix, name) >= 0)
        clock_watch_note(s->clock_watch, *instance ? instance : key, key, theirs);
}

static void forget(service *s, const char *prefix, const char *name, const char *instance) {
    _cleanup_free_ char *key = NULL;

    if (asprintf(&key, "%s:%s", prefix, name) < 0)
        return;
    health_forget(s->health, key, instance);
    clock_watch_forget(s->clock_watch, *instance ? instance : key);
}

static void on_relay_state(const relay_status *status, void *userdata) {
    service_relay *r = userdata;
    health_status h = status->state == RELAY_CONNECTED ? HEALTH_PASS
                      : status->reason                 ? HEALTH_FAIL
                                                       : HEALTH_UNKNOWN;

    health_set_relay_counters(r->service->health, relay_name(r->relay), status->reconnects,
                              status->last_heartbeat);
    note_clock(r->service, "relay", relay_name(r->relay), "", status->clock);
    report(r->service, COMPONENT_RELAY, "relay", relay_name(r->relay), "", h, status->reason,
           status->latency, 0);
}

/* A controller that answers and yet cannot do a reset is of no use. */
static health_status controller_health(const directory *d, const controller_status *c,
                                       const char **ret_why) {
    *ret_why = c->reason;
    switch (c->state) {
    case CONTROLLER_USABLE:
        if (c->has_policy_hints || !directory_needs_policy_hints(d))
            return HEALTH_PASS;
        *ret_why = "it does not support policy hints, which PolicyHints=require asks for";
        return HEALTH_FAIL;
    case CONTROLLER_UNUSABLE:
        return HEALTH_FAIL;
    default:
        return HEALTH_UNKNOWN;
    }
}

static void on_directory_state(directory *d, void *userdata) {
    for (size_t i = 0; i < directory_n_controllers(d); i++) {
        const controller_status *c = directory_controller(d, i);
        const char *why;
        health_status status = controller_health(d, c, &why);

        if (c->state == CONTROLLER_GONE) {
            forget(userdata, "directory", directory_domain(d), c->name);
            continue;
        }
        note_clock(userdata, "directory", directory_domain(d), c->name, c->clock);
        report(userdata, COMPONENT_CONTROLLER, "directory", directory_domain(d), c->name, status,
               why, c->latency, c->not_after);
    }
}

static void on_issuer_state(const issuer_status *status, void *userdata) {
    service_issuer *i = userdata;
    health_status h = HEALTH_PASS;

    if (status->reason)
        h = status->has_keys ? HEALTH_WARN : HEALTH_FAIL;
    else if (!status->has_keys)
        h = HEALTH_UNKNOWN;

    note_clock(i->service, "issuer", i->name, "", status->clock);
    report(i->service, COMPONENT_ISSUER, "issuer", i->name, "", h, status->reason, 0, 0);
}

static void on_ledger_health(int r, const char *why, void *userdata) {
    report(userdata, COMPONENT_LEDGER, "ledger", "", "", r < 0 ? HEALTH_FAIL : HEALTH_PASS,
           r < 0 ? why : NULL, 0, 0);
}

static void on_keys_state(const key_keeper_status *status, void *userdata) {
    health_status h = status->is_over ? HEALTH_FAIL : status->reason ? HEALTH_WARN : HEALTH_PASS;

    report(userdata, COMPONENT_KEYS, "keys", "", "", h, status->reason, 0, status->not_after);
}

static void on_request(relay_request *q, void *userdata) {
    service_relay *r = userdata;

    api_handle(&r->service->rooms.api, q);
}

static void on_clock_state(clock_state state, const char *why, const clock_witness *witnesses,
                           size_t n, void *userdata) {
    static const health_status statuses[] = {
        [CLOCK_IS_UNKNOWN] = HEALTH_UNKNOWN, [CLOCK_IS_RIGHT] = HEALTH_PASS,
        [CLOCK_IS_DOUBTFUL] = HEALTH_WARN,   [CLOCK_IS_OFF] = HEALTH_WARN,
        [CLOCK_IS_WRONG] = HEALTH_FAIL,
    };
    service *s = userdata;
    _cleanup_free_ health_clock *clocks = calloc(n + 1, sizeof(health_clock));

    for (size_t i = 0; clocks && i < n; i++)
        clocks[i] = (health_clock){.source = witnesses[i].name, .ahead = witnesses[i].ahead};
    health_set_clocks(s->health, clocks, clocks ? n : 0);
    tell(s, &(health_component){
                .type = COMPONENT_CLOCK,
                .name = "clock",
                .instance = "",
                .status = statuses[state],
                .output = why,
                .event = state == CLOCK_IS_DOUBTFUL ? OUTCOME_CLOCK_DISAGREES : OUTCOME_CLOCK_WRONG,
            });
}

static void on_graph_state(const graph_status *status, void *userdata) {
    service *s = userdata;

    clock_watch_note(s->clock_watch, "graph", "graph", status->clock);
    operations_set_licence(s->rooms.operations, status->state.licence);
    tenant_health_tell(s->health, &s->rooms.config->graph, status);
    after_news(s);
}

/* ---- Build and tear down
 * -------------------------------------------------------------------------- */

/* Something that a drain may wait for has ended. */
static void on_idle(void *userdata) {
    service *s = userdata;

    if (s->wish != WISH_RUN)
        (void) sd_event_source_set_enabled(s->settled, SD_EVENT_ONESHOT);
}

static void on_relay_quiet(void *userdata) {
    const service_relay *r = userdata;

    on_idle(r->service);
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
    error = agent_keys_open(&r->keys_options, now_realtime(), &r->keys, &why);
    if (error < 0) {
        log_event(OUTCOME_CRYPTO_ERROR, {"WRITEBACK_PATH", r->keys_path},
                  {"WRITEBACK_REASON", why ? why : strerror(-error)});
        return error;
    }
    return key_keeper_new(s->event, &r->keys_options, r->keys, on_keys_state, s, &r->key_keeper);
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

    report(s, COMPONENT_LEDGER, "ledger", "", "", HEALTH_UNKNOWN, NULL, 0, 0);
    return ledger_new(s->event,
                      &(const ledger_config){.path = path,
                                             .host = *r->host ? r->host : NULL,
                                             .size_max = LEDGER_SIZE_MAX,
                                             .on_health = on_ledger_health,
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
        error =
            directory_new(s->event, &c->directories[i], on_directory_state, s, &r->directories[i]);
        if (error >= 0)
            on_directory_state(r->directories[i], s);
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
        error = issuer_new(s->event, s->glue, &c->issuers[i], on_issuer_state, &r->issuer_names[i],
                           &r->issuers[i]);
        if (error >= 0)
            on_issuer_state(issuer_get_status(r->issuers[i]), &r->issuer_names[i]);
    }
    return error;
}

static int open_operations(service *s, rooms *r) {
    const operations_context context = {
        .event = s->event,
        .config = r->config,
        .keys = r->keys,
        .identities = r->identities,
        .issuers = r->issuers,
        .directories = r->directories,
        .ledger = r->ledger,
        .health = s->health,
    };

    return operations_new(&context, on_idle, s, &r->operations);
}

static int open_graph(service *s, rooms *r) {
    const graph_config *c = &r->config->graph;

    tenant_health_tell_nothing(s->health, c);
    return c->url ? graph_new(s->event, s->glue, c, on_graph_state, s, &r->graph) : 0;
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
            .on_state = on_relay_state,
            .on_quiet = on_relay_quiet,
            .userdata = slot,
        };

        slot->service = s;
        error = relay_new(s->event, s->glue, &c->relays[i], &callbacks, &slot->relay);
        if (error >= 0) {
            on_relay_state(relay_get_status(slot->relay), slot);
            error = relay_start(slot->relay);
        }
    }
    return error;
}

static int build(service *s, config *c) {
    static int (*const openers[])(service *, rooms *) = {
        claim_state,  open_keys,     open_identities, open_ledger, open_directories,
        open_issuers, open_reporter, open_operations, open_graph,  open_relays,
    };
    int r = 0;

    s->rooms = (rooms){.config = c};
    for (size_t i = 0; i < ELEMENTSOF(openers) && r >= 0; i++)
        r = openers[i](s, &s->rooms);
    return r;
}

static void forget_components(service *s, const rooms *r) {
    for (size_t i = 0; r->relays && i < r->config->n_relays; i++)
        forget(s, "relay", r->config->relays[i].name, "");
    for (size_t i = 0; r->directories && i < r->config->n_directories; i++) {
        directory *d = r->directories[i];

        for (size_t k = 0; d && k < directory_n_controllers(d); k++)
            forget(s, "directory", directory_domain(d), directory_controller(d, k)->name);
    }
    for (size_t i = 0; r->issuers && i < r->config->n_issuers; i++)
        forget(s, "issuer", r->config->issuers[i].name, "");
}

static void tear_down(service *s) {
    rooms *r = &s->rooms;

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

/* ---- Reload and stop
 * ------------------------------------------------------------------------------ */

static bool is_quiet(const service *s) {
    const rooms *r = &s->rooms;

    if (operations_pending(r->operations) > 0)
        return false;
    for (size_t i = 0; i < r->config->n_relays; i++)
        if (!relay_is_quiet(r->relays[i].relay))
            return false;
    return true;
}

static void ask_for_time(void) {
    (void) sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%llu", (unsigned long long) DRAIN_EXTENSION);
}

static void stop_relays(service *s) {
    s->relays_stopped = true;
    for (size_t i = 0; i < s->rooms.config->n_relays; i++)
        relay_stop(s->rooms.relays[i].relay);
}

/* Nothing is under way any more, or nothing more is waited for. */
static int end_drain(service *s) {
    (void) sd_event_source_set_enabled(s->drain_timer, SD_EVENT_OFF);
    (void) sd_event_source_set_enabled(s->settled, SD_EVENT_OFF);
    /* For what blocks: the ledger's last write. */
    ask_for_time();

    if (s->wish == WISH_STOP)
        return sd_event_exit(s->event, 0);

    s->wish = WISH_RUN;
    tear_down(s);
    if (build(s, TAKE_PTR(s->next_config)) < 0)
        return sd_event_exit(s->event, EXIT_FAILURE);

    (void) sd_notify(0, "READY=1");
    tell_systemd(s);
    return 0;
}

/* First what came is answered, and what comes is turned away; then the relays close, which takes
 * answers that have just left along. */
static int on_settled(sd_event_source *source, void *userdata) {
    service *s = userdata;

    (void) source;

    if (!is_quiet(s))
        return 0;
    if (!s->relays_stopped)
        stop_relays(s);
    return is_quiet(s) ? end_drain(s) : 0;
}

static int on_drain_timer(sd_event_source *source, uint64_t usec, void *userdata) {
    service *s = userdata;

    (void) usec;

    if (now_monotonic() >= s->drain_end)
        return end_drain(s);

    ask_for_time();
    tell_systemd(s);
    (void) sd_event_source_set_time_relative(source, DRAIN_TICK);
    return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static void drain(service *s, service_wish wish) {
    /* A stop may come while a reload drains. */
    if (s->wish == WISH_RUN) {
        s->drain_end = now_monotonic() + DRAIN_TIMEOUT;
        s->relays_stopped = false;
    }
    s->wish = wish;
    s->rooms.api.stopping = true;
    (void) sd_event_source_set_time_relative(s->drain_timer, 0);
    (void) sd_event_source_set_enabled(s->drain_timer, SD_EVENT_ONESHOT);
    (void) sd_event_source_set_enabled(s->settled, SD_EVENT_ONESHOT);
}

void service_reload(service *s) {
    _cleanup_free_ char *why = NULL;
    config *c = NULL;

    assert(s);

    if (s->wish == WISH_STOP)
        return;

    (void) sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long) now_monotonic());
    if (config_load(s->path, &c, &why) < 0) {
        log_event(OUTCOME_KEPT_AS_CONFIGURED, {"WRITEBACK_REASON", why ? why : "out of memory"});
        (void) sd_notify(0, "READY=1");
        return;
    }

    (void) config_free(s->next_config);
    s->next_config = c;
    drain(s, WISH_RELOAD);
}

void service_stop(service *s) {
    assert(s);

    (void) sd_notify(0, "STOPPING=1");
    health_set_stopping(s->health);
    drain(s, WISH_STOP);
}

/* ---- Life
 * ----------------------------------------------------------------------------------------- */

static int add_sources(service *s) {
    int r;

    r = sd_event_add_time(s->event, &s->drain_timer, CLOCK_MONOTONIC, 0, USEC_PER_SEC,
                          on_drain_timer, s);
    if (r >= 0)
        r = sd_event_source_set_enabled(s->drain_timer, SD_EVENT_OFF);
    if (r >= 0)
        r = sd_event_add_defer(s->event, &s->settled, on_settled, s);
    if (r >= 0)
        r = sd_event_source_set_enabled(s->settled, SD_EVENT_OFF);
    return r;
}

static int open_health(service *s, const config *c) {
    const health_config options = {
        .listen = c->health_listen,
        .agent_id = c->agent_id,
        .tenant_id = c->tenant_id,
        .release = PACKAGE_VERSION,
    };
    _cleanup_free_ char *why = NULL;
    int r = health_new(s->event, &options, &s->health, &why);

    if (r < 0)
        log_event(OUTCOME_CONFIGURATION_ERROR, {"WRITEBACK_REASON", why ? why : strerror(-r)});
    return r;
}

int service_new(sd_event *event, const char *path, config *c, service **ret) {
    _cleanup_(service_freep) service *s = NULL;
    int r;

    assert(event);
    assert(path);
    assert(c);
    assert(ret);

    s = calloc(1, sizeof(service));
    if (!s) {
        (void) config_free(c);
        return -ENOMEM;
    }

    s->event = sd_event_ref(event);
    s->path = path;
    r = add_sources(s);
    if (r >= 0)
        r = curl_glue_new(event, &s->glue);
    if (r >= 0)
        r = open_health(s, c);
    if (r >= 0)
        r = clock_watch_new(event, on_clock_state, s, &s->clock_watch);
    if (r < 0) {
        (void) config_free(c);
        return r;
    }

    log_event(OUTCOME_SERVICE_STARTED, {"WRITEBACK_VERSION", PACKAGE_VERSION},
              {"WRITEBACK_AGENT", c->agent_id});
    r = build(s, c);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(s);
    return 0;
}

service *service_free(service *s) {
    if (!s)
        return NULL;

    if (s->rooms.config)
        log_event(OUTCOME_SERVICE_STOPPED, {"WRITEBACK_AGENT", s->rooms.config->agent_id});
    tear_down(s);
    (void) config_free(s->next_config);
    (void) clock_watch_free(s->clock_watch);
    (void) health_free(s->health);
    (void) curl_glue_free(s->glue);
    (void) sd_event_source_disable_unref(s->drain_timer);
    (void) sd_event_source_disable_unref(s->settled);
    (void) sd_event_unref(s->event);
    free(s);
    return NULL;
}
