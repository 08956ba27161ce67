/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/directory.h"

#include <errno.h>

#include "ldap/call.h"
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
    free(c->base_dn);
    free(c->bind_dn);
    secret_free(c->bind_password);
    free(c->ca_file);
    free(c->ca_directory);
    free_texts(c->privileged_groups);
    *c = (directory_config){};
}

/* From a turn of its own, so that the callee may do what it likes, to this directory too. */
static int on_state_changed(sd_event_source *source, void *userdata) {
    directory *d = userdata;

    (void) source;
    d->on_state(d, d->userdata);
    return 0;
}

static void on_changed(void *userdata) {
    directory *d = userdata;

    if (d->on_state)
        (void) sd_event_source_set_enabled(d->state_changed, SD_EVENT_ONESHOT);
    calls_wake(d);
}

int directory_new(sd_event *event, const directory_config *config, directory_state_fn on_state,
                  void *userdata, directory **ret) {
    _cleanup_(directory_freep) directory *d = NULL;
    int r;

    assert(event);
    assert(config);
    assert(ret);

    r = stream_library_init();
    if (r < 0)
        return r;

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

size_t directory_n_controllers(const directory *d) {
    assert(d);
    return d->domain.n_controllers;
}

const controller_status *directory_controller(const directory *d, size_t index) {
    assert(d);
    assert(index < d->domain.n_controllers);
    return controller_get_status(d->domain.controllers[index]);
}
