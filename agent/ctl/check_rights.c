/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/text.h"
#include "agent/ctl/check.h"
#include "agent/ctl/say.h"

#define CALL_PATIENCE (20 * USEC_PER_SEC)

static bool is_usable(directory *d) {
    for (size_t i = 0; i < directory_n_controllers(d); i++)
        if (directory_controller(d, i)->state == CONTROLLER_USABLE)
            return true;
    return false;
}

/* ---- Rights ---------------------------------------------------------------------------------- */

/* A call, waited for. */
typedef struct asked {
    check *check;
    directory *directory;
    directory_account *account; /* found */
    outcome outcome;
    char *detail;
    bool done;
} asked;

static bool is_done(const void *userdata) {
    return ((const asked *) userdata)->done;
}

/* The call has a deadline of its own, and always ends. */
static void wait_for(asked *a) {
    (void) check_wait(a->check, "asking a controller", USEC_INFINITY, is_done, a);
}

/* What is missing is told together, since much of it has one cause. */
static void tell_rights(check *c, const char *domain, const directory_rights *rights) {
    for (directory_right r = 0; r < DIRECTORY_RIGHTS_MAX; r++) {
        const char *name = directory_right_name(r);
        bool held = rights->right[r].held;

        if (rights->has_account || r == RIGHT_UNEXPIRE_PASSWORD)
            check_tell(c, STAGE_RIGHTS, held, name, NULL,
                       text_format("%s is %s", name, held ? "held" : "missing"));
    }

    if (rights->missing)
        check_tell(c, STAGE_RIGHTS, false, domain, rights->steps,
                   text_format("%s", rights->missing));
}

static void on_rights(directory_reply *reply, void *userdata) {
    asked *a = userdata;
    const char *domain = directory_domain(a->directory);

    a->done = true;
    if (reply->rights)
        tell_rights(a->check, domain, reply->rights);
    else
        check_tell(a->check, STAGE_RIGHTS, false, domain, check_cure(reply->outcome),
                   text_format("%s", reply->detail));
}

/* account   NULL: on the domain only */
static void look_at_rights(check *c, directory *d, const directory_account *account) {
    asked a = {.check = c, .directory = d};
    directory_call *call;

    if (directory_check_rights(d, account, now_monotonic() + CALL_PATIENCE, on_rights, &a, &call) ==
        0)
        wait_for(&a);
}

/* ---- User ------------------------------------------------------------------------------------ */

static directory_identifier_type guess_type(const char *text) {
    static const directory_identifier_type types[] = {IDENTIFIER_SID, IDENTIFIER_OBJECT_GUID,
                                                      IDENTIFIER_USER_PRINCIPAL_NAME};
    const char *why;

    for (size_t i = 0; i < ELEMENTSOF(types); i++)
        if (directory_identifier_check(&(directory_identifier){types[i], text}, &why) == 0)
            return types[i];
    return IDENTIFIER_SAM_ACCOUNT_NAME;
}

static void on_located(directory_reply *reply, void *userdata) {
    asked *a = userdata;

    a->done = true;
    a->outcome = reply->outcome;
    a->detail = strdup(reply->detail);
    a->account = TAKE_PTR(reply->account);
}

static void tell_account(check *c, const directory_account_info *i) {
    check_tell(c, STAGE_USER, true, i->dn, NULL,
               text_format("%s is %s%s%s%s", i->sam_account_name, i->dn,
                           i->locked_out ? ", locked out" : "",
                           i->is_privileged ? ", privileged" : "",
                           i->must_change ? ", must change the password at the next sign-in" : ""));
    if (!i->enabled)
        check_tell(c, STAGE_USER, false, i->dn, check_cure(OUTCOME_AD_ACCOUNT_DISABLED),
                   text_format("%s is disabled, and is not given a password", i->sam_account_name));
}

/* Returns whether the domain had something to say of the user. */
static bool check_user_in(check *c, directory *d, const directory_identifier *id) {
    asked a = {.check = c, .directory = d, .outcome = OUTCOME_UNKNOWN_ERROR};
    directory_call *call;

    if (directory_locate(d, id, now_monotonic() + CALL_PATIENCE, on_located, &a, &call) == 0)
        wait_for(&a);

    if (a.account)
        tell_account(c, directory_account_get(a.account));
    else if (a.outcome != OUTCOME_AD_USER_NOT_FOUND)
        check_tell(
            c, STAGE_USER, false, id->value, check_cure(a.outcome),
            text_format("%s in %s: %s", id->value, directory_domain(d), a.detail ? a.detail : "?"));
    look_at_rights(c, d, a.account);

    directory_account_free(a.account);
    free(a.detail);
    return a.outcome != OUTCOME_AD_USER_NOT_FOUND;
}

static void check_user(check *c, const char *user) {
    const directory_identifier id = {guess_type(user), user};
    const char *why = NULL;
    bool told = false, any_asked = false;

    check_know(c, "WRITEBACK_USER", user);
    if (directory_identifier_check(&id, &why) < 0)
        return check_tell(c, STAGE_USER, false, user,
                          "Give a user principal name, an account name, an objectGUID or a SID",
                          text_format("%s: %s", user, why));

    for (size_t i = 0; i < c->config->n_directories; i++)
        if (is_usable(c->directories[i])) {
            any_asked = true;
            told |= check_user_in(c, c->directories[i], &id);
        }
    if (any_asked && !told)
        check_tell(c, STAGE_USER, false, user, check_cure(OUTCOME_AD_USER_NOT_FOUND),
                   text_format("%s is in none of the domains that could be asked", user));
}

/* ---- The stage ------------------------------------------------------------------------------- */

void check_rights(check *c) {
    if (c->options->user)
        return check_user(c, c->options->user);
    for (size_t i = 0; i < c->config->n_directories; i++)
        if (is_usable(c->directories[i]))
            look_at_rights(c, c->directories[i], NULL);
}
