/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/encoding.h"
#include "agent/base/file.h"
#include "agent/config_sections.h"

#define DEFAULT_HEALTH_LISTEN "127.0.0.1:8404"
/* As Microsoft's own agent reports. */
#define DEFAULT_REPORT_INTERVAL (5 * USEC_PER_MINUTE)

static const rate default_request_rate = {3000, USEC_PER_MINUTE};
static const rate default_account_rate = {10, 10 * USEC_PER_MINUTE};

/* ---- Sections -------------------------------------------------------------------------------- */

static const char *const identity_forms[] = {
    [IDENTITY_UPN] = "upn",
    [IDENTITY_SID] = "sid",
    [IDENTITY_HASH] = "hash",
    NULL,
};

static void read_agent(config_reader *r, config_section *s) {
    config *c = r->into;
    const char *state = getenv("STATE_DIRECTORY");

    c->agent_id =
        config_need_text(r, s, "Id", "the agent's name, as portals put it into `aud` of a request");
    c->tenant_id = config_get_text(r, s, "TenantId");
    if (c->tenant_id && !config_is_guid(c->tenant_id))
        config_fail(r, -EINVAL, &config_take(r, s, "TenantId")->place,
                    "TenantId=%s is no tenant id; expected is a GUID such as "
                    "72f988bf-86f1-41af-91ab-2d7cd011db47",
                    c->tenant_id);

    c->state_directory = config_get_text(r, s, "StateDirectory");
    if (c->state_directory && c->state_directory[0] != '/')
        config_fail(r, -EINVAL, &config_take(r, s, "StateDirectory")->place,
                    "StateDirectory=%s: expected is an absolute path", c->state_directory);
    if (!c->state_directory)
        c->state_directory = strdup(state ? state : CONFIG_STATE_DIRECTORY);
    if (!c->state_directory)
        config_fail_for_memory(r);
    c->log_user_identity =
        (identity_form) config_get_choice(r, s, "LogUserIdentity", identity_forms);
}

static void read_relay(config_reader *r, config_section *s) {
    relay_config *c = &r->into->relays[r->into->n_relays++];
    _cleanup_free_ char *string = NULL, *why = NULL;
    int error;

    string =
        config_need_text(r, s, "ConnectionString",
                         "Endpoint=sb://NAMESPACE.servicebus.windows.net/;SharedAccessKeyName=RULE;"
                         "EntityPath=HYBRID-CONNECTION");
    if (!string)
        return;

    error = relay_config_parse(string, c, &why);
    explicit_bzero(string, strlen(string));
    if (error < 0) {
        config_fail(r, error, &config_take(r, s, "ConnectionString")->place,
                    "ConnectionString=: %s", why ? why : strerror(-error));
        return;
    }
    if (c->key) {
        config_fail(
            r, -EINVAL, &config_take(r, s, "ConnectionString")->place,
            "ConnectionString= holds the key itself; take `SharedAccessKey=…` out, put the key into a "
            "credential and name that in SharedAccessKeyCredential=");
        return;
    }

    c->name = strdup(s->name ? s->name : "primary");
    if (!c->name)
        config_fail_for_memory(r);
    c->key = config_get_credential(r, s, "SharedAccessKeyCredential", "relay-key");
    c->ca_file = config_get_text(r, s, "CaFile");
    c->proxy = config_get_proxy(r, s);
}

/* Leaves *ret as it is where the setting is not there. */
static void get_rate(config_reader *r, config_section *s, const char *key, rate *ret) {
    config_setting *setting = config_take(r, s, key);

    if (setting && rate_parse(setting->value, ret) < 0)
        config_fail(
            r, -EINVAL, &setting->place,
            "%s=%s: expected is a number per time, such as 10/10min, 3000/min or 5/h, or off", key,
            setting->value);
}

/* 32 bytes in base64, as `openssl rand -base64 32` writes them. */
static secret *decode_seal(config_reader *r, const config_place *place, const secret *text) {
    secret *seal = NULL;
    size_t size = 0;

    if (secret_new_empty(AGENT_KEYS_SEAL_SIZE, &seal) < 0) {
        config_fail_for_memory(r);
        return NULL;
    }
    if (base64_decode(secret_data(text), secret_size(text), secret_buffer(seal),
                      AGENT_KEYS_SEAL_SIZE, &size) < 0 ||
        size != AGENT_KEYS_SEAL_SIZE)
        config_fail(
            r, -EINVAL, place,
            "SealCredential=: the credential does not hold 32 bytes in base64; make one with: "
            "openssl rand -base64 32");
    return seal;
}

/* The credential need not be there where nobody named it. */
static secret *read_seal(config_reader *r, config_section *s) {
    _cleanup_(secret_freep) secret *found = NULL, *text = NULL;

    if (!config_take(r, s, "SealCredential") &&
        credential_read(CONFIG_SEAL_CREDENTIAL, &found, NULL) == -ENOENT)
        return NULL;

    text = config_get_credential(r, s, "SealCredential", CONFIG_SEAL_CREDENTIAL);
    return text ? decode_seal(r, &s->place, text) : NULL;
}

static void read_keys(config_reader *r, config_section *s) {
    config *c = r->into;

    c->keys_lifetime = config_get_duration(r, s, "Lifetime", AGENT_KEYS_LIFETIME);
    c->keys_roll_after = config_get_duration(r, s, "RollAfter", AGENT_KEYS_ROLL_AFTER);
    c->keys_grace = config_get_duration(r, s, "Grace", AGENT_KEYS_GRACE);
    c->keys_renewed_elsewhere = !config_get_boolean(r, s, "Renew", true);
    c->keys_seal = read_seal(r, s);
    if (r->r == 0 && c->keys_roll_after + c->keys_grace > c->keys_lifetime)
        config_fail(
            r, -EINVAL, &s->place,
            "[Keys]: RollAfter= and Grace= together are longer than Lifetime=, so a replaced key "
            "would end before its grace does");
}

/* Where there is no such section: the defaults. */
static void read_no_keys(config_reader *r) {
    char type[] = "Keys";

    read_keys(r, &(config_section){.type = type, .place = r->file.sections[0].place});
}

static void read_authorization(config_reader *r, config_section *s) {
    get_rate(r, s, "RequestRate", &r->into->request_rate);
    get_rate(r, s, "AccountRate", &r->into->account_rate);

    r->into->allowed_clients = config_get_application_ids(r, s, "AllowedClients");
    r->into->allowed_roles = config_get_roles(r, s, "AllowedRoles");
}

static void read_health(config_reader *r, config_section *s) {
    r->into->health_listen = config_get_text(r, s, "Listen");
}

static void read_report(config_reader *r, config_section *s) {
    report_config *c = &r->into->report;

    c->url = config_need_https(r, s, "Url", "the https:// address that reports are posted to");
    c->ca_file = config_get_text(r, s, "CaFile");
    c->proxy = config_get_proxy(r, s);
    c->interval = config_get_interval(r, s, "Interval", DEFAULT_REPORT_INTERVAL, "1d");
}

typedef struct section_reader {
    const char *type;
    void (*read)(config_reader *r, config_section *s);
    bool needed;
    bool repeatable; /* one a name */
} section_reader;

static const section_reader section_readers[] = {
    {"Agent", read_agent, true, false},
    {"Relay", read_relay, true, true},
    {"Directory", config_read_directory, true, true},
    {"Issuer", config_read_issuer, true, true},
    {"Keys", read_keys, false, false},
    {"Authorization", read_authorization, false, false},
    {"Health", read_health, false, false},
    {"Report", read_report, false, false},
    {"Graph", config_read_graph, false, false},
};

static const section_reader *find_reader(const char *type) {
    for (size_t i = 0; i < ELEMENTSOF(section_readers); i++)
        if (strcmp(section_readers[i].type, type) == 0)
            return &section_readers[i];

    return NULL;
}

static void refuse_what_nobody_asked_for(config_reader *r, const config_section *s) {
    for (size_t i = 0; i < s->n_settings; i++)
        if (!s->settings[i].used)
            config_fail(r, -EINVAL, &s->settings[i].place,
                        "[%s] has no setting %s=; see writebackd.conf(5) for those it has", s->type,
                        s->settings[i].key);
}

static void read_section(config_reader *r, config_section *s) {
    const section_reader *known = find_reader(s->type);

    if (!known) {
        config_fail(
            r, -EINVAL, &s->place,
            "[%s] is unknown; expected are Agent, Relay, Directory, Issuer, Keys, Authorization, "
            "Health, Report, Graph",
            s->type);
        return;
    }
    if (s->name && !known->repeatable) {
        config_fail(r, -EINVAL, &s->place, "[%s] takes no name; expected is [%s] alone", s->type,
                    s->type);
        return;
    }

    known->read(r, s);
    if (r->r == 0)
        refuse_what_nobody_asked_for(r, s);
}

static void need_sections(config_reader *r, const char *path) {
    for (size_t i = 0; i < ELEMENTSOF(section_readers); i++) {
        bool found = !section_readers[i].needed;

        for (size_t k = 0; k < r->file.n_sections; k++)
            if (strcmp(r->file.sections[k].type, section_readers[i].type) == 0)
                found = true;

        if (!found) {
            _cleanup_free_ char *file = strdup(path);

            config_fail(r, -EINVAL, &(config_place){file, 1}, "a section [%s] is missing",
                        section_readers[i].type);
        }
    }
}

static int make_room(config *c, size_t n) {
    c->relays = calloc(n + 1, sizeof(relay_config));
    c->directories = calloc(n + 1, sizeof(directory_config));
    c->issuers = calloc(n + 1, sizeof(issuer_config));
    c->issuer_rules = calloc(n + 1, sizeof(issuer_rules));
    return c->relays && c->directories && c->issuers && c->issuer_rules ? 0 : -ENOMEM;
}

static int set_defaults(config *c) {
    if (!c->health_listen)
        c->health_listen = strdup(DEFAULT_HEALTH_LISTEN);
    return c->health_listen ? 0 : -ENOMEM;
}

int config_load(const char *path, config **ret, char **ret_why) {
    _cleanup_(config_freep) config *c = calloc(1, sizeof(config));
    config_reader r = {.into = c};

    assert(path);
    assert(ret);
    assert(ret_why);

    *ret_why = NULL;
    if (!c)
        return -ENOMEM;

    c->request_rate = default_request_rate;
    c->account_rate = default_account_rate;
    c->allowed_roles = ROLES_ALL;
    r.r = config_file_read(path, &r.file, &r.why);
    if (r.r == 0)
        r.r = make_room(c, r.file.n_sections);
    if (r.r == 0)
        need_sections(&r, path);
    for (size_t i = 0; i < r.file.n_sections && r.r == 0; i++)
        read_section(&r, &r.file.sections[i]);
    if (r.r == 0 && c->keys_lifetime == 0)
        read_no_keys(&r);
    if (r.r == 0)
        r.r = config_combine_rules(c);
    if (r.r == 0)
        r.r = set_defaults(c);

    config_file_done(&r.file);
    if (r.r < 0) {
        *ret_why = r.why;
        return r.r;
    }

    *ret = TAKE_PTR(c);
    return 0;
}

config *config_free(config *c) {
    if (!c)
        return NULL;

    for (size_t i = 0; i < c->n_relays; i++)
        relay_config_done(&c->relays[i]);
    for (size_t i = 0; i < c->n_directories; i++)
        directory_config_done(&c->directories[i]);
    for (size_t i = 0; i < c->n_issuers; i++)
        issuer_config_done(&c->issuers[i]);

    free(c->relays);
    free(c->directories);
    free(c->issuers);
    for (size_t i = 0; c->issuer_rules && i < c->n_issuers; i++)
        (void) config_list_free(c->issuer_rules[i].allowed_clients);
    free(c->issuer_rules);
    (void) config_list_free(c->allowed_clients);
    free(c->agent_id);
    free(c->tenant_id);
    free(c->state_directory);
    free(c->health_listen);
    report_config_done(&c->report);
    graph_config_done(&c->graph);
    (void) secret_free(c->keys_seal);
    free(c);
    return NULL;
}
