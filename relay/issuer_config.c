/* SPDX-License-Identifier: Apache-2.0 */
/* What an issuer is called, and what Microsoft Entra's are called besides. */

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/file.h"
#include "relay/issuer.h"
#include "relay/issuer_keys.h"

#define TENANT_LENGTH 36
#define TENANT_PLACE "{tenantid}"

/* The global cloud and the national ones: who issues tokens of version 2, and who those of version
 * 1 (Microsoft: entra/identity-platform/authentication-national-cloud, access-tokens). */
static const struct {
    const char *authority, *v1;
} clouds[] = {
    {"https://login.microsoftonline.com/", "https://sts.windows.net/"},
    {"https://login.microsoftonline.us/", "https://sts.windows.net/"},
    {"https://login.partner.microsoftonline.cn/", "https://sts.chinacloudapi.cn/"},
};

void issuer_config_done(issuer_config *c) {
    assert(c);

    free(c->name);
    free(c->url);
    free(c->url_v1);
    for (char **audience = c->audiences; audience && *audience; audience++)
        free(*audience);
    free(c->audiences);
    free(c->tenant);
    free(c->metadata_url);
    json_decref(c->keys);
    free(c->ca_file);
    free(c->proxy);
    *c = (issuer_config){0};
}

static bool is_tenant(const char *text) {
    for (size_t i = 0; i < TENANT_LENGTH; i++)
        if (i == 8 || i == 13 || i == 18 || i == 23 ? text[i] != '-'
                                                    : !isxdigit((unsigned char) text[i]))
            return false;
    return true;
}

/* Tenant and the other issuer's name, of "https://AUTHORITY/TENANT/v2.0". */
static int read_entra_url(issuer_config *c, size_t cloud, const char **ret_why) {
    const char *tenant = c->url + strlen(clouds[cloud].authority);

    if (!is_tenant(tenant) || strcmp(tenant + TENANT_LENGTH, "/v2.0") != 0) {
        *ret_why = "of Microsoft Entra expected is https://AUTHORITY/TENANT-ID/v2.0, with the "
                   "tenant's id (a GUID) and no slash at the end";
        return -EINVAL;
    }
    if (c->tenant && (strlen(c->tenant) != TENANT_LENGTH ||
                      strncasecmp(c->tenant, tenant, TENANT_LENGTH) != 0)) {
        *ret_why = "TenantId= names another tenant";
        return -EINVAL;
    }

    if (!c->tenant)
        c->tenant = strndup(tenant, TENANT_LENGTH);
    if (asprintf(&c->url_v1, "%s%.*s/", clouds[cloud].v1, TENANT_LENGTH, tenant) < 0)
        c->url_v1 = NULL;
    return c->tenant && c->url_v1 ? 0 : -ENOMEM;
}

int issuer_config_complete(issuer_config *c, const char **ret_why) {
    assert(c);
    assert(c->url);
    assert(ret_why);

    for (size_t i = 0; i < ELEMENTSOF(clouds); i++)
        if (strncmp(c->url, clouds[i].authority, strlen(clouds[i].authority)) == 0)
            return read_entra_url(c, i, ret_why);
    return 0;
}

bool issuer_config_is_entra(const issuer_config *c) {
    assert(c);
    return c->tenant != NULL;
}

int issuer_config_pin_keys(issuer_config *c, const char *path, const char **ret_why) {
    _cleanup_(secret_freep) secret *text = NULL;
    int r;

    assert(c);
    assert(path);
    assert(ret_why);

    r = file_read(path, ISSUER_KEYS_SIZE_MAX, &text);
    if (r < 0) {
        *ret_why = strerror(-r);
        return r;
    }
    return issuer_keys_parse(secret_data(text), secret_size(text), c, &c->keys, ret_why);
}

bool issuer_config_speaks_for(const issuer_config *c, const char *iss) {
    assert(c);
    assert(iss);

    return strcmp(iss, c->url) == 0 || (c->url_v1 && strcmp(iss, c->url_v1) == 0);
}

bool issuer_config_names(const issuer_config *c, const char *name) {
    const char *place = strstr(name, TENANT_PLACE);
    _cleanup_free_ char *filled = NULL;

    if (!place || !c->tenant)
        return issuer_config_speaks_for(c, name);
    return asprintf(&filled, "%.*s%s%s", (int) (place - name), name, c->tenant,
                    place + strlen(TENANT_PLACE)) >= 0 &&
           issuer_config_speaks_for(c, filled);
}
