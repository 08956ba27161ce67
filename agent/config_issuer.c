/* SPDX-License-Identifier: Apache-2.0 */
/* [Issuer], and what counts in its tokens: clients and roles. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/config_sections.h"

/* ---- Clients and roles ----------------------------------------------------------------------- */

char **config_get_application_ids(config_reader *r, config_section *s, const char *key) {
    char **ids = config_get_list(r, s, key, " \t\n");

    for (char **id = ids; id && *id; id++)
        if (!config_is_guid(*id))
            config_fail(r, -EINVAL, &config_take(r, s, key)->place,
                        "%s=: %s is no application id; expected are GUIDs separated by spaces", key,
                        *id);
    return ids;
}

role_set config_get_roles(config_reader *r, config_section *s, const char *key) {
    _cleanup_(config_list_freep) char **names = config_get_list(r, s, key, " \t\n");
    role_set roles = 0;

    if (!names)
        return ROLES_ALL;
    if (strcmp(names[0], "none") == 0 && !names[1])
        return 0;

    for (char **name = names; *name; name++) {
        role_set one = role_from_name(*name);

        if (one == 0)
            config_fail(
                r, -EINVAL, &config_take(r, s, key)->place,
                "%s=: %s is no role that may count; expected are some of GlobalAdministrator, "
                "PrivilegedAuthenticationAdministrator, UserAdministrator, PasswordAdministrator, "
                "HelpdeskAdministrator, AuthenticationAdministrator, Password.Reset.All and "
                "Account.Unlock.All, separated by spaces, or none",
                key, *name);
        roles |= one;
    }
    return roles;
}

static size_t list_length(char *const *list) {
    size_t n = 0;

    while (list && list[n])
        n++;
    return n;
}

/* Adds copies. Returns 0 or -ENOMEM. */
static int list_extend(char ***list, char *const *more) {
    size_t n = list_length(*list);
    char **larger = reallocarray(*list, n + list_length(more) + 1, sizeof(char *));

    if (!larger)
        return -ENOMEM;

    *list = larger;
    for (; more && *more; more++) {
        larger[n] = strdup(*more);
        if (!larger[n++])
            return -ENOMEM;
    }
    larger[n] = NULL;
    return 0;
}

int config_combine_rules(config *c) {
    int r = 0;

    for (size_t i = 0; i < c->n_issuers && r >= 0; i++) {
        c->issuer_rules[i].allowed_roles &= c->allowed_roles;
        if (issuer_config_is_entra(&c->issuers[i]))
            r = list_extend(&c->issuer_rules[i].allowed_clients, c->allowed_clients);
    }
    return r;
}

/* ---- The section ----------------------------------------------------------------------------- */

static void pin_keys(config_reader *r, config_section *s, issuer_config *i) {
    _cleanup_free_ char *path = config_get_text(r, s, "JwksFile");
    const char *why = NULL;
    int error;

    if (!path || r->r < 0)
        return;
    if (i->metadata_url) {
        config_fail(r, -EINVAL, &config_take(r, s, "JwksFile")->place,
                    "JwksFile=%s: with keys from a file none are fetched; take MetadataUrl= out",
                    path);
        return;
    }

    error = issuer_config_pin_keys(i, path, &why);
    if (error < 0)
        config_fail(r, error, &config_take(r, s, "JwksFile")->place, "JwksFile=%s: %s", path,
                    why ? why : strerror(-error));
}

static void complete_issuer(config_reader *r, config_section *s, issuer_config *i) {
    const config *c = r->into;
    const char *why = NULL;
    int error = issuer_config_complete(i, &why);

    if (error < 0)
        config_fail(r, error, &config_take(r, s, "Url")->place, "Url=%s: %s", i->url,
                    why ? why : strerror(-error));
    for (size_t k = 0; k + 1 < c->n_issuers; k++)
        if (strcmp(c->issuers[k].url, i->url) == 0)
            config_fail(
                r, -EINVAL, &config_take(r, s, "Url")->place,
                "Url=%s: [Issuer \"%s\"] has it already; list several values of `aud` in one Audience=",
                i->url, c->issuers[k].name);
}

/* Behind the rest of the section: what an id may look like is the issuer's to say. */
static void read_issuer_rules(config_reader *r, config_section *s, const issuer_config *i,
                              issuer_rules *rules) {
    rules->allowed_clients = issuer_config_is_entra(i)
                                 ? config_get_application_ids(r, s, "AllowedClients")
                                 : config_get_list(r, s, "AllowedClients", " \t\n");
    if (!issuer_config_is_entra(i) && !rules->allowed_clients)
        config_fail(r, -EINVAL, &s->place,
                    "[Issuer \"%s\"] has no AllowedClients=; expected are the clients whose tokens "
                    "count, as %s calls them (those of [Authorization] are Microsoft Entra's)",
                    i->name, i->url ? i->url : "it");
    rules->allowed_roles = config_get_roles(r, s, "AllowedRoles");
}

void config_read_issuer(config_reader *r, config_section *s) {
    issuer_rules *rules = &r->into->issuer_rules[r->into->n_issuers];
    issuer_config *i = &r->into->issuers[r->into->n_issuers++];

    i->name = strdup(s->name ? s->name : "default");
    if (!i->name)
        config_fail_for_memory(r);

    /* OpenID Connect Core 1.0 section 2: an `iss` has neither query nor fragment. */
    i->url = config_need_plain_https(
        r, s, "Url", "the token's `iss`, such as https://login.microsoftonline.com/TENANT/v2.0");

    i->audiences = config_get_list(r, s, "Audience", " \t\n");
    if (!i->audiences)
        config_fail(
            r, -EINVAL, &s->place,
            "[Issuer \"%s\"] has no Audience=; expected is the token's `aud`: the application id of "
            "this agent's API",
            i->name);
    i->tenant = config_get_text(r, s, "TenantId");
    i->metadata_url = config_get_https(r, s, "MetadataUrl");
    i->ca_file = config_get_text(r, s, "CaFile");
    i->proxy = config_get_proxy(r, s);
    pin_keys(r, s, i);
    if (r->r == 0)
        complete_issuer(r, s, i);
    read_issuer_rules(r, s, i, rules);
}
