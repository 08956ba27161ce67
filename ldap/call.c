/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/call.h"

#include <errno.h>
#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/text.h"
#include "ldap/rights.h"

/* A controller that answers is much faster. One that does not is given the time that connection.h
 * names, but requests need not wait for that. */
#define PATIENCE (2 * USEC_PER_SEC)

/* What is to be left of a call's time for a change to be begun: enough for its answer, as a rule.
 * One that is sent at the last moment is one whose outcome nobody will be told. */
#define TIME_FOR_CHANGE (3 * USEC_PER_SEC)

void call_begin(directory_call *call) {
    (void) sd_event_source_set_enabled(call->step, SD_EVENT_ONESHOT);
}

void call_hold(directory_call *call) {
    (void) sd_event_source_set_enabled(call->step, SD_EVENT_OFF);
}

void call_pause(directory_call *call) {
    (void) sd_event_source_set_enabled(call->deadline, SD_EVENT_OFF);
}

connection *call_connection(const directory_call *call) {
    return controller_connection(call->controller);
}

connection *call_write_connection(const directory_call *call) {
    return controller_write_connection(call->controller);
}

void call_expect(directory_call *call, outcome o, char *detail) {
    free(call->detail);
    call->detail = detail;
    call->reply.outcome = o;
}

void call_end(directory_call *call) {
    call->ended = true;
    call_begin(call);
}

void call_fail(directory_call *call, outcome o, char *detail) {
    call_expect(call, o, detail);
    call_end(call);
}

outcome call_take_answer(directory_call *call, answer_kind kind, const connection_answer *answer) {
    outcome o = answer_classify(kind, answer->result, answer->text, &call->reply.ad_error);

    call->reply.ldap_result = answer->result;
    call_expect(call, o,
                o == OUTCOME_INVALID ? NULL : answer_describe(answer->result, answer->text));
    return o;
}

void call_take_rights(directory_call *call, directory_rights *rights) {
    rights_free(call->rights);
    call->reply.rights = call->rights = rights;
}

void call_try_next(directory_call *call, const char *problem) {
    call_expect(call, OUTCOME_AD_NOT_REACHABLE,
                text_format("%s: it %s", controller_name(call->controller), problem));
    call_begin(call);
}

static void finish(directory_call *call) {
    call->reply.detail = call->detail ? call->detail : "";
    call->fn(&call->reply, call->userdata);
    directory_call_free(call);
}

static bool needs_hints(const directory_call *call) {
    return call->class->writes &&
           call->directory->domain.config->policy_hints == POLICY_HINTS_REQUIRE;
}

/* Those that can be used for resets first, so that an account is found where it can be reset. */
static controller *pick(directory_call *call, bool *ret_wait) {
    domain *d = &call->directory->domain;
    controller *c;

    c = domain_pick(d, &call->attempts, d->config->policy_hints != POLICY_HINTS_OFF,
                    call->preferred, ret_wait);
    return c || needs_hints(call) ? c
                                  : domain_pick(d, &call->attempts, /* need_hints= */ false,
                                                call->preferred, ret_wait);
}

void call_choose(directory_call *call, controller *c) {
    controller *before = call->controller;

    call->controller = controller_ref(c);
    call->reply.controller = controller_name(c);
    controller_unref(before);
}

/* The controller lets this call wait: others are warned of it, and this call goes elsewhere if it
 * can. */
static int on_patience_lost(sd_event_source *source, uint64_t usec, void *userdata) {
    directory_call *call = userdata;

    (void) source;
    (void) usec;

    if (!call->request || call->ended)
        return 0;

    controller_suspect(call->controller);
    if (call->class->only_reads &&
        domain_has_another(&call->directory->domain, &call->attempts, /* need_hints= */ false)) {
        call->request = connection_request_free(call->request);
        call_try_next(call, "did not answer in time");
    }
    return 0;
}

static void be_patient(directory_call *call) {
    (void) sd_event_source_set_time(call->patience, now_monotonic() + PATIENCE);
    (void) sd_event_source_set_enabled(call->patience, SD_EVENT_ONESHOT);
}

void call_resume(directory_call *call) {
    (void) sd_event_source_set_enabled(call->deadline, SD_EVENT_ONESHOT);
    be_patient(call);
}

void call_begun(directory_call *call, int r) {
    if (r == -ENOMEM)
        call_fail(call, OUTCOME_UNKNOWN_ERROR, strdup("memory is short"));
    else if (r < 0)
        call_try_next(call, "takes no requests");
}

static void give_up(directory_call *call) {
    outcome o;
    char *text;

    /* A controller that was asked and failed says more than the state of the others. */
    if (call->controller)
        return finish(call);

    text = domain_explain(&call->directory->domain, needs_hints(call), &o);
    call_expect(call, o, text);
    finish(call);
}

/* It ends before anything is sent. */
static bool is_too_late(const directory_call *call) {
    return call->class->changes && now_monotonic() + TIME_FOR_CHANGE > call->ends_at;
}

static void give_up_for_time(directory_call *call) {
    _cleanup_free_ char *before = TAKE_PTR(call->detail);

    call_fail(
        call, OUTCOME_AD_NOT_REACHABLE,
        text_format("too little of the request's time was left to change anything, so nothing was "
                    "sent%s%s",
                    before ? "; before: " : "", before ? before : ""));
}

static int on_step(sd_event_source *source, void *userdata) {
    directory_call *call = userdata;
    controller *c;
    bool wait;

    (void) source;

    if (call->ended) {
        finish(call);
        return 0;
    }

    call->waiting = false;
    if (is_too_late(call)) {
        give_up_for_time(call);
        return 0;
    }

    c = pick(call, &wait);
    if (!c && !wait) {
        domain_wake(&call->directory->domain);
        c = pick(call, &wait);
    }
    if (!c) {
        call->waiting = wait;
        if (!wait)
            give_up(call);
        return 0;
    }

    call_choose(call, c);
    be_patient(call);
    call_begun(call, call->class->begin(call));
    return 0;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
    directory_call *call = userdata;

    (void) source;
    (void) usec;

    if (call->waiting)
        give_up(call);
    else
        finish(call);
    return 0;
}

void calls_wake(directory *d) {
    for (directory_call *call = d->calls; call; call = call->next)
        if (call->waiting)
            call_begin(call);
}

int call_new(directory *d, const call_class *class, usec_t deadline, directory_done_fn fn,
             void *userdata, directory_call **ret) {
    directory_call *call;
    int r;

    assert(d);
    assert(class);
    assert(class->size >= sizeof(directory_call));
    assert(fn);
    assert(ret);

    call = calloc(1, class->size);
    if (!call)
        return -ENOMEM;

    call->class = class;
    call->directory = d;
    call->fn = fn;
    call->userdata = userdata;
    call->ends_at = deadline;
    call->reply.ldap_result = -1;
    call_expect(call, OUTCOME_AD_NOT_REACHABLE, strdup("no controller answered in time"));

    call->next = d->calls;
    if (call->next)
        call->next->previous = call;
    d->calls = call;

    r = sd_event_add_defer(d->domain.event, &call->step, on_step, call);
    if (r >= 0)
        r = sd_event_add_time(d->domain.event, &call->deadline, CLOCK_MONOTONIC, deadline,
                              USEC_PER_MSEC, on_deadline, call);
    if (r >= 0)
        r = sd_event_add_time(d->domain.event, &call->patience, CLOCK_MONOTONIC, 0, USEC_PER_MSEC,
                              on_patience_lost, call);
    if (r >= 0)
        r = sd_event_source_set_enabled(call->patience, SD_EVENT_OFF);
    if (r < 0) {
        directory_call_free(call);
        return r;
    }

    *ret = call;
    return 0;
}

directory_call *directory_call_free(directory_call *call) {
    if (!call)
        return NULL;

    if (call->previous)
        call->previous->next = call->next;
    else
        call->directory->calls = call->next;
    if (call->next)
        call->next->previous = call->previous;

    connection_request_free(call->request);
    call->class->done(call);
    sd_event_source_disable_unref(call->step);
    sd_event_source_disable_unref(call->deadline);
    sd_event_source_disable_unref(call->patience);
    controller_unref(call->controller);
    directory_account_free(call->reply.account);
    rights_free(call->rights);
    free(call->detail);
    free(call);
    return NULL;
}
