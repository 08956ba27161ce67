/* SPDX-License-Identifier: Apache-2.0 */

/* writebackctl check: goes the way of a request, up to but without the reset, and says at each step
 * how it went and what would mend it. Changes nothing. */

#include "agent/ctl/check.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/log.h"
#include "agent/base/text.h"
#include "agent/ctl/say.h"

static int begin_relays(check *c) {
    int r = 0;

    c->relays = calloc(c->config->n_relays + 1, sizeof(check_probe *));
    if (!c->relays)
        return -ENOMEM;

    for (size_t i = 0; i < c->config->n_relays && r >= 0; i++) {
        const relay_config *way = &c->config->relays[i];
        _cleanup_free_ char *url = text_format("https://%s:%u/", way->host, way->port);

        r = url ? check_probe_begin(c->glue, url, way->ca_file, way->proxy, &c->relays[i])
                : -ENOMEM;
    }
    return r;
}

static int begin_issuers(check *c) {
    int r = 0;

    c->issuers = calloc(c->config->n_issuers + 1, sizeof(issuer *));
    c->metadata = calloc(c->config->n_issuers + 1, sizeof(check_probe *));
    if (!c->issuers || !c->metadata)
        return -ENOMEM;

    for (size_t i = 0; i < c->config->n_issuers && r >= 0; i++) {
        const issuer_config *from = &c->config->issuers[i];

        r = issuer_new(c->event, c->glue, from, NULL, NULL, &c->issuers[i]);
        if (r >= 0 && !from->keys)
            r = check_probe_begin(c->glue, from->metadata_url ? from->metadata_url : from->url,
                                  from->ca_file, from->proxy, &c->metadata[i]);
    }
    return r;
}

/* Everything that takes time, at once. */
static int begin(check *c) {
    int r;

    r = curl_glue_new(c->event, &c->glue);
    if (r >= 0)
        r = check_names_begin(c);
    if (r >= 0)
        r = begin_relays(c);
    if (r >= 0)
        r = begin_issuers(c);
    if (r >= 0)
        r = check_directories_begin(c);
    return r;
}

static void check_all(check *c) {
    int r;

    if (check_configuration(c) < 0)
        return;
    r = begin(c);
    if (r < 0)
        return check_tell(c, STAGE_CONFIGURATION, false, "check", NULL,
                          text_format("it cannot be begun: %s", strerror(-r)));

    check_clock(c);
    check_keys(c);
    check_names_tell(c);
    check_relays(c);
    check_issuers(c);
    check_directories_tell(c);
    check_rights(c);
}

static void done(check *c) {
    for (size_t i = 0; c->directories && i < c->config->n_directories; i++)
        (void) directory_free(c->directories[i]);
    for (size_t i = 0; c->issuers && i < c->config->n_issuers; i++)
        (void) issuer_free(c->issuers[i]);
    for (size_t i = 0; c->metadata && i < c->config->n_issuers; i++)
        (void) check_probe_free(c->metadata[i]);
    for (size_t i = 0; c->relays && i < c->config->n_relays; i++)
        (void) check_probe_free(c->relays[i]);
    (void) check_names_free(c->names);
    (void) agent_keys_free(c->keys);
    free(c->directories);
    free(c->issuers);
    free(c->metadata);
    free(c->relays);
    (void) curl_glue_free(c->glue);
    (void) config_free(c->config);
    json_decref(c->health);
    json_decref(c->facts);
    json_decref(c->steps);
    (void) sd_event_unref(c->event);
}

/* Steps are kept as a document, or shown to people as they come. Returns 0, or negative errno where
 * nothing could be begun. */
static int run(check *c, const ctl_options *options, bool as_document) {
    int lock_error, r;

    *c = (check){.options = options, .status = EXIT_SUCCESS};
    c->facts = json_object();
    c->steps = as_document ? json_array() : NULL;

    /* A controller that hangs up is told as such. What the rooms log is told here in other words.
     */
    (void) signal(SIGPIPE, SIG_IGN);
    log_set_max_level(-1);
    r = secret_memory_init(&lock_error);
    if (r >= 0)
        r = sd_event_new(&c->event);
    if (r >= 0)
        check_all(c);
    return r;
}

int ctl_check(const ctl_options *options) {
    check c;
    int status;

    if (options->n_arguments > 0)
        return ctl_complain(CTL_USAGE, "check takes no argument; a user is given with --user");

    if (run(&c, options, options->json) < 0)
        return ctl_complain(EXIT_FAILURE, "out of memory");
    if (options->json)
        (void) ctl_print_json(check_document(&c));
    status = c.status;
    done(&c);
    return status;
}

json_t *ctl_check_document(const ctl_options *options) {
    json_t *document = NULL;
    check c;

    if (run(&c, options, true) >= 0)
        document = check_document(&c);
    done(&c);
    return document;
}
