/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/file.h"
#include "agent/config_sections.h"
#include "agent/graph_token.h"

#define DEFAULT_INTERVAL (15 * USEC_PER_MINUTE)
#define CERTIFICATE_MAX ((size_t) 64 * 1024)

/* Microsoft: graph/deployments, entra/identity-platform/authentication-national-cloud */
static const struct {
    const char *login, *graph;
} clouds[] = {
    {"https://login.microsoftonline.com", "https://graph.microsoft.com"},
    {"https://login.microsoftonline.us", "https://graph.microsoft.us"},
    {"https://login.partner.microsoftonline.cn", "https://microsoftgraph.chinacloudapi.cn"},
};

static const char *const cloud_names[] = {"public", "usgov", "china", "custom", NULL};
static const char *const algorithms[] = {"PS256", "RS256", NULL};

/* ---- Where ----------------------------------------------------------------------------------- */

static char *get_tenant(config_reader *r, config_section *s) {
    const char *of_agent = config_peek(r, "Agent", "TenantId");
    char *tenant = config_get_text(r, s, "TenantId");

    if (!tenant && !of_agent)
        config_fail(r, -EINVAL, &s->place,
                    "[Graph] has no TenantId=, nor has [Agent]; expected is the tenant's GUID");
    else if (!tenant && !(tenant = strdup(of_agent)))
        config_fail_for_memory(r);
    else if (!config_is_guid(tenant))
        config_fail(r, -EINVAL, &s->place,
                    "[Graph]: TenantId=%s is no tenant id; expected is a GUID", tenant);
    return tenant;
}

static void cut_slashes(char *url) {
    for (size_t n = url ? strlen(url) : 0; n > 0 && url[n - 1] == '/'; n--)
        url[n - 1] = '\0';
}

static void read_addresses(config_reader *r, config_section *s, graph_config *c) {
    static const char *const of_custom[] = {"TokenUrl", "GraphUrl", NULL};
    static const char *const of_others[] = {"TenantId", NULL};
    size_t cloud = (size_t) config_get_choice(r, s, "Cloud", cloud_names);
    _cleanup_free_ char *tenant = NULL;

    if (cloud >= ELEMENTSOF(clouds)) {
        c->token_url = config_need_https(r, s, "TokenUrl", "where tokens are asked for: https://…");
        c->url =
            config_need_plain_https(r, s, "GraphUrl", "where Graph is: https://…, without /v1.0");
        cut_slashes(c->token_url);
        cut_slashes(c->url);
        config_refuse(r, s, of_others, "Cloud=custom, where the tenant is part of TokenUrl=");
        return;
    }

    config_refuse(r, s, of_custom, "a cloud whose addresses are known; did you mean Cloud=custom?");
    tenant = get_tenant(r, s);
    c->url = strdup(clouds[cloud].graph);
    if (!c->url || asprintf(&c->token_url, "%s/%s/oauth2/v2.0/token", clouds[cloud].login,
                            tenant ? tenant : "") < 0) {
        c->token_url = NULL;
        config_fail_for_memory(r);
    }
}

/* ---- Who ------------------------------------------------------------------------------------- */

static void read_certificate(config_reader *r, config_section *s, graph_config *c) {
    _cleanup_free_ char *path = config_need_text(
        r, s, "ClientCertificate",
        "the application's certificate, a file (PEM); or ClientSecretCredential= instead");
    _cleanup_(secret_freep) secret *certificate = NULL;
    const char *why = "memory is short";
    int error;

    c->algorithm = algorithms[config_get_choice(r, s, "Algorithm", algorithms)];
    c->key = config_get_credential(r, s, "ClientKeyCredential", "graph-key");
    if (!path || !c->key)
        return;

    error = file_read(path, CERTIFICATE_MAX, &certificate);
    if (error < 0) {
        config_fail(r, error, &config_take(r, s, "ClientCertificate")->place,
                    "ClientCertificate=%s: cannot be read: %s", path, strerrordesc_np(-error));
        return;
    }
    error = graph_certificate_read(certificate, c->key, c, &why);
    if (error < 0)
        config_fail(r, error, &config_take(r, s, "ClientCertificate")->place,
                    "ClientCertificate=%s: it %s", path, why);
}

static void read_secret(config_reader *r, config_section *s, graph_config *c) {
    static const char *const of_certificate[] = {"ClientCertificate", "ClientKeyCredential",
                                                 "Algorithm", NULL};

    config_refuse(r, s, of_certificate, "ClientSecretCredential=; take one of the two out");
    c->client_secret = config_get_credential(r, s, "ClientSecretCredential", "graph-secret");
}

void config_read_graph(config_reader *r, config_section *s) {
    graph_config *c = &r->into->graph;
    const config_setting *client_secret = config_take(r, s, "ClientSecretCredential");

    read_addresses(r, s, c);
    c->client_id = config_need_text(r, s, "ClientId", "the application's id (a GUID)");
    if (c->client_id && !config_is_guid(c->client_id))
        config_fail(
            r, -EINVAL, &config_take(r, s, "ClientId")->place,
            "ClientId=: what stands there is no application id, and is not shown, since it may "
            "be the secret; expected is a GUID");

    if (client_secret && client_secret->value[0])
        read_secret(r, s, c);
    else
        read_certificate(r, s, c);
    c->interval = config_get_interval(r, s, "Interval", DEFAULT_INTERVAL, "1h");
    c->ca_file = config_get_text(r, s, "CaFile");
    c->proxy = config_get_proxy(r, s);
}
