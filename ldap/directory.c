/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/directory.h"

#include <errno.h>
#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "ldap/call.h"
#include "ldap/dn.h"
#include "ldap/spnego.h"
#include "ldap/stream.h"

static void free_texts(char **texts) {
    for (char **t = texts; t && *t; t++)
        free(*t);
    free(texts);
}

void directory_config_done(directory_config *c) {
    assert(c);

    free(c->domain);
    free_texts(c->controllers);
    free(c->site);
    free(c->base_dn);
    free(c->bind_dn);
    secret_free(c->bind_password);
    free(c->keytab);
    free(c->ca_file);
    free(c->ca_directory);
    free_texts(c->privileged_groups);
    free_texts(c->allowed_targets);
    free_texts(c->denied_targets);
    *c = (directory_config){};
}

bool directory_controller_check(const char *text) {
    assert(text);
    return controller_name_is_valid(text);
}

int directory_keytab_check(const char *keytab, const char *principal, char **ret_why) {
    return spnego_keytab_check(keytab, principal, ret_why);
}

/* ---- The agent's rights on the domain, once -------------------------------------------------- */

#define RIGHTS_PATIENCE (30 * USEC_PER_SEC)

static void on_rights_checked(directory_reply *reply, void *userdata) {
    directory *d = userdata;
    const directory_rights *rights = reply->rights;
    _cleanup_free_ char *cure = NULL;

    /* What could not be asked now is asked when a controller's state changes next; what may not be
     * read will be read by nobody. */
    d->rights_check = NULL;
    d->rights_checked = rights || reply->outcome == OUTCOME_AD_PERMISSIONS;
    if (!rights || !rights->missing)
        return;

    /* On the domain there is one right, and the first step is how to get it. */
    cure = rights->steps ? strndup(rights->steps, strcspn(rights->steps, "\n")) : NULL;
    log_event(OUTCOME_AGENT_RIGHTS_MISSING, {"WRITEBACK_DC", reply->controller},
              {"WRITEBACK_DOMAIN", d->domain.config->domain},
              {"WRITEBACK_BIND_DN", d->domain.config->bind_dn},
              {"WRITEBACK_REASON", rights->missing}, {"WRITEBACK_CURE", cure ? cure : ""});
}

static void check_rights(directory *d) {
    bool is_usable = false;

    for (size_t i = 0; i < d->domain.n_controllers; i++)
        is_usable |= controller_connection(d->domain.controllers[i]) != NULL;

    if (is_usable && !d->rights_checked && !d->rights_check)
        (void) directory_check_rights(d, NULL, now_monotonic() + RIGHTS_PATIENCE, on_rights_checked,
                                      d, &d->rights_check);
}

/* ---- The directory --------------------------------------------------------------------------- */

/* From a turn of its own, so that no controller is in the middle of something while the callee
 * looks at it, or begins and frees calls. The directory itself must outlive this. */
static int on_state_changed(sd_event_source *source, void *userdata) {
    directory *d = userdata;

    (void) source;
    if (d->on_state)
        d->on_state(d, d->userdata);
    domain_sweep(&d->domain);
    return 0;
}

static void on_changed(void *userdata) {
    directory *d = userdata;

    (void) sd_event_source_set_enabled(d->state_changed, SD_EVENT_ONESHOT);
    calls_wake(d);
    check_rights(d);
}

int directory_new(sd_event *event, const directory_config *config, directory_state_fn on_state,
                  void *userdata, directory **ret) {
    _cleanup_(directory_freep) directory *d = NULL;
    int r;

    assert(event);
    assert(config);
    assert(ret);

    d = calloc(1, sizeof(directory));
    if (!d)
        return -ENOMEM;

    d->on_state = on_state;
    d->userdata = userdata;
    r = sd_event_add_defer(event, &d->state_changed, on_state_changed, d);
    if (r >= 0)
        r = sd_event_source_set_enabled(d->state_changed, SD_EVENT_OFF);
    if (r >= 0)
        r = domain_init(&d->domain, event, config, on_changed, d);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(d);
    return 0;
}

bool directory_dn_check(const char *text) {
    return dn_is_valid(text);
}

directory *directory_free(directory *d) {
    if (!d)
        return NULL;

    while (d->calls)
        directory_call_free(d->calls);
    domain_done(&d->domain);
    sd_event_source_disable_unref(d->state_changed);
    free(d);
    return NULL;
}

const char *directory_domain(const directory *d) {
    assert(d);
    return d->domain.config->domain;
}

bool directory_needs_policy_hints(const directory *d) {
    assert(d);
    return d->domain.config->policy_hints == POLICY_HINTS_REQUIRE;
}

bool directory_lacks_policy_hints(directory *d, char **ret_why) {
    bool is_usable = false;
    outcome o;

    assert(d);
    assert(ret_why);

    if (!directory_needs_policy_hints(d))
        return false;

    for (size_t i = 0; i < d->domain.n_controllers; i++) {
        const controller_status *s = controller_get_status(d->domain.controllers[i]);

        if (s->state != CONTROLLER_USABLE)
            continue;
        if (s->has_policy_hints)
            return false;
        is_usable = true;
    }

    /* Where none can be used, that is what there is to say. */
    if (is_usable)
        *ret_why = domain_explain(&d->domain, /* need_hints= */ true, &o);
    return is_usable;
}

size_t directory_n_controllers(const directory *d) {
    assert(d);
    return d->domain.n_controllers + (d->domain.discovery ? 1 : 0);
}

const controller_status *directory_controller(directory *d, size_t index) {
    assert(d);
    assert(index < directory_n_controllers(d));

    return index < d->domain.n_controllers ? controller_get_status(d->domain.controllers[index])
                                           : domain_search_status(&d->domain);
}
