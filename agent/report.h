/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Tells the cloud how the agent is: the blade's document, POSTed regularly and soon after a part's
 * status changed.
 *
 * One report at a time and none waits: what is sent is what is true at that moment. Everything
 * follows from the interval (5 minutes): a change goes out after a 60th of it, so that those that
 * come together are told together; the first report waits until every part was tried, for a tenth
 * at most; reports are a tenth of it apart; and one that failed is tried again after a tenth, then
 * twice that, and so on, up to the interval. */

#include "agent/base/curl_glue.h"
#include "health/health.h"

typedef struct reporter reporter;

/* Strings are owned by the config. */
typedef struct report_config {
    char *url;     /* NULL: no reports */
    char *ca_file; /* NULL: the system's */
    char *proxy;
    usec_t interval;
} report_config;

/* Frees the members, not the struct. */
void report_config_done(report_config *c);

/* `config` and `h` are borrowed and must live as long. Logs 32015 where a report does not get
 * through, once as long as the reason stays the same. Counts in `h`. Returns 0 or negative
 * errno. */
int reporter_new(sd_event *event, curl_glue *glue, const report_config *config, health *h,
                 reporter **ret);

/* Takes NULL, returns NULL. */
reporter *reporter_free(reporter *r);

/* Something about the health may have changed. Takes NULL. */
void reporter_touch(reporter *r);

DEFINE_CLEANUP(reporter *, reporter_free);
