/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/write.h"

#include <errno.h>
#include <string.h>

#include "ldap/refusal.h"
#include "ldap/text.h"

const char *write_target(const write_call *w) {
    return w->by_name ? w->account->dn : w->guid_name;
}

/* ---- After it was done ----------------------------------------------------------------------- */

static void complete(write_call *w) {
    if (w->kind->complete)
        w->kind->complete(w);
    else
        call_end(&w->call);
}

static void on_read_back(const connection_answer *answer, void *userdata) {
    write_call *w = userdata;
    directory_reply *reply = &w->call.reply;

    w->call.request = NULL;
    if (answer->result == LDAP_SUCCESS && answer->n_entries == 1) {
        entry e = {answer->ld, answer->entries[0]};

        reply->account_still_locked = account_is_locked_out(e);
        reply->account_unlocked &= !reply->account_still_locked;
        if (w->new_password) {
            reply->password_last_set = entry_date(e, "pwdLastSet");
            /* So it is where the agent's account may not unexpire passwords, MS-SAMR 3.1.1.8.7. */
            reply->must_change = entry_integer(e, "pwdLastSet", -1) == 0;
        }
    }
    complete(w);
}

/* From here on it is done, whatever happens to the rest. */
static void on_written(write_call *w) {
    static const char *const attributes[] = {"pwdLastSet", "msDS-User-Account-Control-Computed",
                                             NULL};
    bool unlocks = !w->new_password || (w->flags & RESET_UNLOCK);
    directory_reply *reply = &w->call.reply;
    connection *c = call_connection(&w->call);

    call_expect(&w->call, OUTCOME_INVALID, NULL);
    reply->account_unlocked = w->account->info.locked_out && unlocks;
    reply->account_still_locked = w->account->info.locked_out && !unlocks;
    reply->must_change_failed = w->flags & RESET_MUST_CHANGE;

    if (!c || connection_search(c, write_target(w), LDAP_SCOPE_BASE, "(objectClass=*)", attributes,
                                on_read_back, w, &w->call.request) < 0)
        complete(w);
}

/* ---- After it was refused -------------------------------------------------------------------- */

static void on_rights(directory_rights *rights, const char *problem, void *userdata) {
    write_call *w = userdata;

    (void) problem;
    if (rights && rights->missing)
        call_expect(&w->call, OUTCOME_AD_PERMISSIONS,
                    text_format("%s (%s)", rights->missing, w->refusal ? w->refusal : "?"));
    if (rights)
        call_take_rights(&w->call, rights);
    call_end(&w->call);
}

/* The refusal stands; which right is missing is evidence. */
static void look_at_rights(write_call *w) {
    text_replace(&w->refusal, w->call.detail);
    if (rights_look_new(w->call.controller, w->call.directory->domain.config, w->account, on_rights,
                        w, &w->look) < 0)
        call_end(&w->call);
}

static void on_refused(write_call *w, outcome o, const char *text) {
    if (o == OUTCOME_AD_NOT_REACHABLE)
        return call_try_next(&w->call, "is busy");
    if (o == OUTCOME_AD_PERMISSIONS)
        return look_at_rights(w);
    if (o != OUTCOME_AD_PASSWORD_POLICY)
        return call_end(&w->call);

    text_replace(&w->refusal, text);
    refusal_explain(w);
}

/* ---- The modify ------------------------------------------------------------------------------ */

static void on_answer(const connection_answer *answer, void *userdata) {
    write_call *w = userdata;
    outcome o;

    w->call.request = NULL;
    if (answer->result == -1)
        return call_fail(&w->call, OUTCOME_OUTCOME_UNKNOWN,
                         text_format("the connection was lost before the answer: %s: it %s",
                                     controller_name(w->call.controller), answer->text));

    /* It was refused for the name's form; nothing has been changed. */
    if (answer->result == LDAP_INVALID_DN_SYNTAX && !w->by_name) {
        w->by_name = true;
        if (w->kind->send(w) < 0)
            call_try_next(&w->call, "takes no more requests");
        return;
    }

    o = call_take_answer(&w->call, w->kind->answer, answer);
    if (o == OUTCOME_INVALID)
        on_written(w);
    else
        on_refused(w, o, answer->text);
}

int write_send(write_call *w, LDAPMod **mods, const LDAPControl *critical_control) {
    _cleanup_free_ char *what = text_format("%s of %s", w->kind->name, w->account->guid);
    connection *c = call_write_connection(&w->call);
    int r;

    if (!what)
        return -ENOMEM;
    if (!c)
        return -ENOTCONN;

    r = connection_modify(c, write_target(w), mods, critical_control, what, on_answer, w,
                          &w->call.request);
    if (r < 0)
        return r;

    w->call.reply.sent = true;
    call_expect(&w->call, OUTCOME_OUTCOME_UNKNOWN,
                text_format("%s did not answer in time", controller_name(w->call.controller)));
    return 0;
}

/* ---- The call -------------------------------------------------------------------------------- */

int write_begin(directory_call *call) {
    write_call *w = (write_call *) call;

    call->reply.sent = false;
    return w->kind->send(w);
}

void write_done(directory_call *call) {
    write_call *w = (write_call *) call;

    free(w->guid_name);
    free(w->refusal);
    rights_look_free(w->look);
}

int write_new(directory *d, const write_kind *kind, const directory_account *account,
              usec_t deadline, directory_done_fn fn, void *userdata, write_call **ret) {
    directory_call *call;
    write_call *w;
    int r;

    assert(d);
    assert(kind);
    assert(account);
    assert(ret);

    r = call_new(d, &kind->class, deadline, fn, userdata, &call);
    if (r < 0)
        return r;

    w = (write_call *) call;
    w->kind = kind;
    w->account = account;
    w->guid_name = text_format("<GUID=%s>", account->guid);
    call->preferred = account->controller;
    if (!w->guid_name) {
        directory_call_free(call);
        return -ENOMEM;
    }

    *ret = w;
    return 0;
}
