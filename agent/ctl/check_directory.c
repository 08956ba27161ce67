/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/text.h"
#include "agent/ctl/check.h"
#include "agent/ctl/say.h"

/* Name, connection, handshake, sign-in and a first look have 10 s each. */
#define PATIENCE (30 * USEC_PER_SEC)

int check_directories_begin(check *c) {
    int r = 0;

    c->directories = calloc(c->config->n_directories + 1, sizeof(directory *));
    if (!c->directories)
        return -ENOMEM;

    for (size_t i = 0; i < c->config->n_directories && r >= 0; i++)
        r = directory_new(c->event, &c->config->directories[i], NULL, NULL, &c->directories[i]);
    return r;
}

bool check_directories_tried(const void *userdata) {
    const check *c = userdata;

    for (size_t i = 0; i < c->config->n_directories; i++)
        for (size_t k = 0; k < directory_n_controllers(c->directories[i]); k++)
            if (directory_controller(c->directories[i], k)->state == CONTROLLER_UNTRIED)
                return false;
    return true;
}

static void tell_policy_hints(check *c, const controller_status *s, directory_policy_hints wanted) {
    if (wanted == POLICY_HINTS_OFF)
        check_tell(
            c, STAGE_POLICY_HINTS, true, s->name, NULL,
            text_format(
                "%s: not asked for (PolicyHints=off), so that history and minimum age do not count",
                s->name));
    else if (s->has_policy_hints)
        check_tell(c, STAGE_POLICY_HINTS, true, s->name, NULL,
                   text_format("%s enforces history and minimum age at a reset", s->name));
    else if (wanted == POLICY_HINTS_PREFER)
        check_tell(c, STAGE_POLICY_HINTS, true, s->name, NULL,
                   text_format("%s cannot enforce history and minimum age at a reset, and need not "
                               "(PolicyHints=prefer)",
                               s->name));
    else
        check_tell(
            c, STAGE_POLICY_HINTS, false, s->name, check_cure(OUTCOME_POLICY_HINTS_UNAVAILABLE),
            text_format(
                "%s cannot enforce history and minimum age at a reset, so it is not used for one "
                "(PolicyHints=require)",
                s->name));
}

static void tell_connection(check *c, const controller_status *s) {
    char date[RFC3339_MAX];

    if (s->state == CONTROLLER_USABLE || s->is_account_refused)
        check_tell(c, STAGE_DIRECTORY, true, s->name, NULL,
                   s->not_after > 0
                       ? text_format("%s is connected; its certificate is good until %s", s->name,
                                     rfc3339_utc(s->not_after, date))
                       : text_format("%s is connected; its certificate is good", s->name));
    else
        check_tell(
            c, STAGE_DIRECTORY, false, s->name,
            check_cure(s->outcome == OUTCOME_CONTROLLERS_NOT_FOUND ? s->outcome
                                                                   : OUTCOME_CONTROLLER_UNUSABLE),
            text_format("%s: %s", s->name, s->reason ? s->reason : "it did not answer in time"));
}

static void tell_sign_in(check *c, const controller_status *s, const char *account) {
    if (s->state == CONTROLLER_USABLE)
        check_tell(c, STAGE_ACCOUNT, true, s->name, NULL,
                   text_format("%s is signed in to %s", account, s->name));
    else if (s->is_account_refused)
        check_tell(c, STAGE_ACCOUNT, false, s->name, check_cure(OUTCOME_SERVICE_ACCOUNT_REFUSED),
                   text_format("%s: %s", s->name,
                               s->reason ? s->reason : "it refuses the agent's account"));
}

/* As the log has it of a controller that cannot be used. */
static void know(check *c, const directory_config *domain, const char *name) {
    const char *colon = strchr(name, ':');
    _cleanup_free_ char *host = text_format("%.*s", (int) strcspn(name, ":"), name);
    _cleanup_free_ char *address = text_format("%s%s", name, colon ? "" : ":636");
    const char *folder = domain->ca_directory ? domain->ca_directory : LOG_SYSTEM_CA_FILE;

    check_know(c, "WRITEBACK_DOMAIN", domain->domain);
    check_know(c, "WRITEBACK_DC", name);
    check_know(c, "WRITEBACK_HOST", host);
    check_know(c, "WRITEBACK_ADDRESS", address);
    check_know(c, "WRITEBACK_CA_FILE", domain->ca_file ? domain->ca_file : folder);
    check_know(c, "WRITEBACK_CA_KIND",
               !domain->ca_file && domain->ca_directory ? "CACERTDIR" : "CACERT");
    check_know(c, "WRITEBACK_BIND_DN", domain->bind_dn);
}

/* Stage by stage, so that like stands by like. */
void check_directories_tell(check *c) {
    (void) check_wait(c, "connecting to the controllers", now_monotonic() + PATIENCE,
                      check_directories_tried, c);
    for (check_stage stage = STAGE_DIRECTORY; stage <= STAGE_POLICY_HINTS; stage++)
        for (size_t i = 0; i < c->config->n_directories; i++) {
            const directory_config *domain = &c->config->directories[i];

            for (size_t k = 0; k < directory_n_controllers(c->directories[i]); k++) {
                const controller_status *s = directory_controller(c->directories[i], k);

                know(c, domain, s->name);
                if (stage == STAGE_DIRECTORY)
                    tell_connection(c, s);
                else if (stage == STAGE_ACCOUNT)
                    tell_sign_in(c, s, domain->bind_dn);
                else if (s->state == CONTROLLER_USABLE)
                    tell_policy_hints(c, s, domain->policy_hints);
            }
        }
}
