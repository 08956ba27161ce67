/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/write.h"

#include <errno.h>
#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/text.h"
#include "ldap/refusal.h"

/* A modify may wait for its turn in a busy controller; one that is gone answers nothing else
 * either. */
#define MODIFY_PATIENCE (15 * USEC_PER_SEC)

const char *write_target(const write_call *w) {
    return w->by_name ? w->order.account->dn : w->guid_name;
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
        if (w->order.new_password) {
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
    bool was_locked = w->order.account->info.locked_out;
    bool unlocks = !w->order.new_password || (w->order.flags & RESET_UNLOCK);
    directory_reply *reply = &w->call.reply;
    connection *c = call_connection(&w->call);

    call_expect(&w->call, OUTCOME_INVALID, NULL);
    reply->account_unlocked = was_locked && unlocks;
    reply->account_still_locked = was_locked && !unlocks;
    reply->must_change_failed = w->order.flags & RESET_MUST_CHANGE;

    if (!c || connection_search(c, write_target(w), LDAP_SCOPE_BASE, "(objectClass=*)", attributes,
                                on_read_back, w, &w->call.request) < 0)
        complete(w);
}

/* The call goes on at the controller that knew, and keeps it from being forgotten. */
static void end_settling(write_call *w, controller *by) {
    call_choose(&w->call, by);
    w->settling = settle_free(w->settling);
}

static void on_found_done(write_call *w, const char *how) {
    w->call.reply.n_reasons = 0;
    on_written(w);
    call_expect(&w->call, OUTCOME_INVALID, strdup(how));
}

/* ---- Without an answer ----------------------------------------------------------------------- */

int write_find_out(write_call *w, settle_subject subject, usec_t since, bool once,
                   settle_done_fn fn) {
    settle_question question = {.subject = subject,
                                .account = w->order.account,
                                .controller = w->call.reply.controller,
                                .new_password = w->order.new_password,
                                .since = since,
                                .once = once};

    return settle_new(w->call.directory, &question, fn, w, &w->settling);
}

/* What the modify itself writes. */
static settle_subject subject_of(const write_call *w) {
    return w->order.new_password ? SETTLE_PASSWORD : SETTLE_UNLOCK;
}

static void end_unsettled(write_call *w) {
    call_fail(&w->call, OUTCOME_OUTCOME_UNKNOWN,
              text_format("what became of %s cannot be told: either another password was set "
                          "meanwhile, or a look at which it is might lock the account",
                          w->kind->name));
}

static void on_lost_settled(settle_verdict v, controller *by, void *userdata) {
    write_call *w = userdata;

    end_settling(w, by);
    switch (v) {
    case SETTLED_DONE:
        w->call.reply.answer_lost = true;
        return on_found_done(w, "the answer was lost, and it was found done");

    case SETTLED_NOT_DONE:
        return call_fail(&w->call, OUTCOME_AD_NOT_REACHABLE,
                         text_format("%s did not answer, and %s was not done", controller_name(by),
                                     w->kind->name));

    case SETTLED_UNKNOWN:
        return end_unsettled(w);
    }
}

static void on_lost(write_call *w, const char *problem) {
    call_expect(&w->call, OUTCOME_OUTCOME_UNKNOWN,
                text_format("the connection was lost before the answer: %s: it %s",
                            controller_name(w->call.controller), problem));
    if (write_find_out(w, subject_of(w), 0, /* once= */ false, on_lost_settled) < 0)
        call_end(&w->call);
}

static void on_probed(const connection_answer *answer, void *userdata) {
    write_call *w = userdata;

    (void) answer;
    w->probe = NULL;
}

/* A controller that is gone does not answer this either, and is given up for it. */
static int on_patience_lost(sd_event_source *source, uint64_t usec, void *userdata) {
    static const char *const attributes[] = {"currentTime", NULL};
    write_call *w = userdata;
    connection *c = call_write_connection(&w->call);

    (void) source;
    (void) usec;

    if (w->call.request && c)
        (void) connection_search(c, "", LDAP_SCOPE_BASE, "(objectClass=*)", attributes, on_probed,
                                 w, &w->probe);
    return 0;
}

/* ---- Refused --------------------------------------------------------------------------------- */

static bool has_reason(const directory_reply *reply, const char *rule) {
    for (size_t i = 0; i < reply->n_reasons; i++)
        if (strcmp(reply->reasons[i].rule, rule) == 0)
            return true;
    return false;
}

/* Once the password is set, it is in the history, was set just now, and is not the old one. Where
 * no rule is known it may be any of these. */
static bool may_be_refused_for_itself(const write_call *w) {
    const directory_reply *reply = &w->call.reply;

    return w->order.attempt.issued > 0 &&
           (reply->n_reasons == 0 || has_reason(reply, "passwordHistory") ||
            has_reason(reply, "minimumPasswordAge"));
}

static void on_refusal_settled(settle_verdict v, controller *by, void *userdata) {
    write_call *w = userdata;

    end_settling(w, by);
    if (v != SETTLED_DONE)
        return call_end(&w->call);

    w->call.reply.already_set = true;
    on_found_done(w, "an earlier attempt of this request had done it");
}

void write_refused(write_call *w) {
    if (!may_be_refused_for_itself(w) || write_find_out(w, SETTLE_PASSWORD, w->order.attempt.issued,
                                                        /* once= */ true, on_refusal_settled) < 0)
        call_end(&w->call);
}

static void on_rights(directory_rights *rights, outcome o, const char *problem, void *userdata) {
    write_call *w = userdata;

    (void) o;
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
    if (rights_look_new(w->call.controller, w->call.directory->domain.config, w->order.account,
                        on_rights, w, &w->look) < 0)
        call_end(&w->call);
}

static void on_refused(write_call *w, outcome o, const char *text) {
    switch (o) {
    case OUTCOME_AD_NOT_REACHABLE:
        return call_try_next(&w->call, "is busy");

    case OUTCOME_AD_PASSWORD_POLICY:
        text_replace(&w->refusal, text);
        return refusal_explain(w);

    case OUTCOME_AD_PERMISSIONS:
        return look_at_rights(w);

    case OUTCOME_AD_INCORRECT_PASSWORD:
        return write_refused(w);

    default:
        call_end(&w->call);
    }
}

/* ---- The modify ------------------------------------------------------------------------------ */

static void on_answer(const connection_answer *answer, void *userdata) {
    write_call *w = userdata;
    outcome o;

    w->call.request = NULL;
    w->patience = sd_event_source_disable_unref(w->patience);
    if (answer->result == -1)
        return on_lost(w, answer->text);

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

int write_modify(write_call *w, LDAPMod **mods, const LDAPControl *critical_control,
                 const char *what, connection_answer_fn fn) {
    connection *c = call_write_connection(&w->call);
    int r;

    if (!c)
        return -ENOTCONN;

    w->patience = sd_event_source_disable_unref(w->patience);
    r = sd_event_add_time(w->call.directory->domain.event, &w->patience, CLOCK_MONOTONIC,
                          now_monotonic() + MODIFY_PATIENCE, USEC_PER_MSEC, on_patience_lost, w);
    if (r < 0)
        return r;

    return connection_modify(c, write_target(w), mods, critical_control, what, fn, w,
                             &w->call.request);
}

int write_send(write_call *w, LDAPMod **mods, const LDAPControl *critical_control) {
    _cleanup_free_ char *what = text_format("%s of %s", w->kind->name, w->order.account->guid);
    int r;

    if (!what)
        return -ENOMEM;

    r = write_modify(w, mods, critical_control, what, on_answer);
    if (r < 0)
        return r;

    w->call.reply.sent = true;
    call_expect(&w->call, OUTCOME_OUTCOME_UNKNOWN,
                text_format("%s did not answer in time", controller_name(w->call.controller)));
    return 0;
}

/* ---- The call -------------------------------------------------------------------------------- */

static void on_earlier_settled(settle_verdict v, controller *by, void *userdata) {
    write_call *w = userdata;

    end_settling(w, by);
    switch (v) {
    case SETTLED_DONE:
        w->call.reply.already_set = w->order.new_password;
        return on_found_done(w, "an earlier attempt of this request had done it");

    case SETTLED_NOT_DONE:
        call_expect(&w->call, OUTCOME_AD_NOT_REACHABLE, strdup("no controller answered in time"));
        return call_begin(&w->call);

    case SETTLED_UNKNOWN:
        return end_unsettled(w);
    }
}

/* What came of an earlier attempt is looked at before anything else. */
static int begin_by_looking(write_call *w) {
    usec_t issued = w->order.attempt.issued;
    const char *sent_to = w->order.attempt.sent_to;

    call_hold(&w->call);
    call_expect(&w->call, OUTCOME_OUTCOME_UNKNOWN,
                text_format("this request was sent to %s before, and what came of it could not be "
                            "found out in time",
                            sent_to ? sent_to : "the directory"));
    w->call.reply.controller = sent_to;
    return write_find_out(w, subject_of(w), issued > 0 ? issued : 1,
                          /* once= */ false, on_earlier_settled);
}

int write_begin(directory_call *call) {
    write_call *w = (write_call *) call;

    call->reply.sent = false;
    if (!w->order.attempt.on_sending)
        return w->kind->send(w);

    call_pause(call);
    w->order.attempt.on_sending(controller_name(call->controller), call->userdata);
    return 0;
}

void directory_call_go_on(directory_call *call, outcome refusal, const char *why) {
    write_call *w = (write_call *) call;

    assert(call);
    assert(call->class->begin == write_begin);

    call_resume(call);
    if (refusal != OUTCOME_INVALID)
        call_fail(call, refusal, why ? strdup(why) : NULL);
    else if (now_monotonic() >= w->order.attempt.deadline)
        call_fail(call, OUTCOME_AD_NOT_REACHABLE, strdup("no controller was asked in time"));
    else
        call_begun(call, w->kind->send(w));
}

void write_done(directory_call *call) {
    write_call *w = (write_call *) call;

    sd_event_source_disable_unref(w->patience);
    connection_request_free(w->probe);
    settle_free(w->settling);
    free(w->guid_name);
    free(w->refusal);
    rights_look_free(w->look);
}

int write_new(directory *d, const write_kind *kind, const write_order *order, directory_done_fn fn,
              void *userdata, directory_call **ret) {
    directory_call *call;
    write_call *w;
    int r;

    assert(d);
    assert(kind);
    assert(order->account);
    assert(ret);

    r = call_new(d, &kind->class, order->attempt.deadline, fn, userdata, &call);
    if (r < 0)
        return r;

    w = (write_call *) call;
    w->kind = kind;
    w->order = *order;
    w->guid_name = text_format("<GUID=%s>", order->account->guid);
    call->preferred = order->account->controller;
    r = !w->guid_name ? -ENOMEM : order->attempt.sent_before ? begin_by_looking(w) : 0;
    if (r < 0) {
        directory_call_free(call);
        return r;
    }

    *ret = call;
    return 0;
}
