/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/settle.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "agent/base/clock.h"
#include "agent/base/text.h"
#include "ldap/policy_entry.h"
#include "ldap/sign_in.h"
#include "ldap/stamps.h"

#define PAUSE (500 * USEC_PER_MSEC)

/* A controller may have a modify in its hands for a moment longer than the connection lived. */
#define CERTAIN_AFTER (2 * USEC_PER_SEC)

/* How far the clocks of who asks and of the controller may be apart; and how exactly the time of a
 * request is told. */
#define CLOCK_SKEW (60 * USEC_PER_SEC)
#define ISSUED_WITHIN (2 * USEC_PER_SEC)

struct settle {
    domain *domain;
    settle_question question;
    char *guid_name;
    settle_done_fn done;
    void *userdata;

    sd_event_source *next_look;
    connection_request *request;
    usec_t no_sign_since; /* CLOCK_MONOTONIC; 0: not looked yet */

    /* Of a round through all controllers, where it is not known which one it was. */
    size_t n_looked;
    bool is_whole; /* so far none is away, and all say the same */
    bool was_as_written;

    /* Of the look that showed a sign. */
    controller *at;
    char *dn;
    usec_t last_set;
    bool is_clear; /* a password was set; else it may be so */
    bool is_later; /* and not just before the modify was sent */
    bool is_locked;
    int64_t bad_passwords;

    sign_in *trying;
    bool has_tried;
    usec_t tried_for; /* last_set, then */
    password_verdict told;
};

static void look_in(settle *s, usec_t pause) {
    (void) sd_event_source_set_time(s->next_look, now_monotonic() + pause);
    (void) sd_event_source_set_enabled(s->next_look, SD_EVENT_ONESHOT);
}

static void look_again(settle *s) {
    s->n_looked = 0;
    look_in(s, PAUSE);
}

/* At the next one of a round, if it is not over. */
static void look_on(settle *s) {
    if (s->question.controller || s->n_looked >= s->domain->n_controllers)
        look_again(s);
    else
        look_in(s, 0);
}

/* Whether it is known here what the modify has done: it was sent here; or this is the last one of
 * all, and the others say the same. */
static bool is_home(const settle *s) {
    if (!controller_is_itself(s->at))
        return false;
    return s->question.controller ? strcasecmp(controller_name(s->at), s->question.controller) == 0
                                  : s->is_whole && s->n_looked >= s->domain->n_controllers;
}

/* ---- Nothing to be seen ---------------------------------------------------------------------- */

static void on_no_sign(settle *s) {
    usec_t now = now_monotonic();

    if (s->question.once)
        return s->done(SETTLED_NOT_DONE, s->at, s->userdata);
    if (!is_home(s))
        return look_on(s);

    if (s->no_sign_since == 0)
        s->no_sign_since = now;
    if (now < s->no_sign_since + CERTAIN_AFTER)
        return look_again(s);

    s->done(SETTLED_NOT_DONE, s->at, s->userdata);
}

/* ---- Is it the new password? ----------------------------------------------------------------- */

/* To a locked account Windows says the same whatever the password is; then the date has to tell,
 * where it is known that the modify was sent here. */
static bool is_told_by_date(const settle *s) {
    return s->is_clear && !s->question.once && s->last_set >= s->question.since &&
           s->question.controller && is_home(s);
}

/* It cannot be told here. What another controller holds may be older than the modify, so the one
 * that it was sent to is waited for. */
static void give_up_here(settle *s) {
    if (!s->question.controller || is_home(s) || s->question.once)
        s->done(SETTLED_UNKNOWN, s->at, s->userdata);
    else
        look_again(s);
}

static void judge(settle *s) {
    if (s->told == PASSWORD_RIGHT || (s->told == PASSWORD_PERHAPS && is_told_by_date(s)))
        return s->done(SETTLED_DONE, s->at, s->userdata);

    /* Where another password was set since, nobody knows what was before it. */
    if (s->told != PASSWORD_WRONG || s->is_later)
        return give_up_here(s);

    on_no_sign(s);
}

static void on_tried(password_verdict v, bool tried, void *userdata) {
    settle *s = userdata;

    s->trying = sign_in_free(s->trying);
    if (!tried)
        return look_again(s);

    s->has_tried = true;
    s->tried_for = s->last_set;
    s->told = v;
    judge(s);
}

/* An account that is locked already cannot be locked by a wrong password. */
static bool may_try(const settle *s, const password_policy *policy) {
    if (s->is_locked)
        return true;
    if (!policy)
        return s->bad_passwords == 0;
    return policy->lockout_threshold == 0 ||
           (unsigned long long) s->bad_passwords + 1 < policy->lockout_threshold;
}

static void on_policy(const connection_answer *answer, void *userdata) {
    settle *s = userdata;
    password_policy policy;
    bool is_known;

    s->request = NULL;
    if (answer->result == -1)
        return look_again(s);

    is_known = policy_entry_read(answer, s->question.account, &policy);
    if (!may_try(s, is_known ? &policy : NULL))
        return give_up_here(s);

    if (sign_in_new(s->at, s->dn, s->question.new_password, on_tried, s, &s->trying) < 0)
        look_again(s);
}

static void try_password(settle *s) {
    connection *c = controller_connection(s->at);

    /* Two controllers with one date have one password: what was wrong at one would only be counted
     * at the other. */
    if (s->has_tried && s->tried_for == s->last_set && (s->told == PASSWORD_WRONG || !is_home(s)))
        return judge(s);

    if (!c || !s->dn ||
        policy_entry_search(c, s->question.account, controller_survey(s->at), on_policy, s,
                            &s->request) < 0)
        look_again(s);
}

/* ---- A look at the account ------------------------------------------------------------------- */

/* What another controller says of an attribute may be older than the modify. */
static void on_attribute_read(settle *s, bool is_as_written) {
    if (s->n_looked > 1 && is_as_written != s->was_as_written)
        s->is_whole = false;
    s->was_as_written = is_as_written;

    if (!is_as_written)
        on_no_sign(s);
    else if (is_home(s))
        s->done(SETTLED_DONE, s->at, s->userdata);
    else
        look_on(s);
}

/* A controller with another date than the account was found with has had a password set since. One
 * elsewhere may not have heard of that date yet: an older one is no sign, nor is any where "must
 * change" hid which it was. */
static bool was_set_since_found(const settle *s) {
    usec_t known = s->question.account->info.password_last_set;

    return is_home(s) ? s->last_set != known : known > 0 && s->last_set > known;
}

static bool was_set_since(const settle *s) {
    const settle_question *q = &s->question;

    return s->last_set > (q->once || q->since < CLOCK_SKEW ? q->since : q->since - CLOCK_SKEW);
}

static usec_t read_stamp(entry e) {
    _cleanup_free_ uint8_t *stamps = NULL;
    size_t size;

    if (entry_copy(e, "replPropertyMetaData", STAMPS_SIZE_MAX, &stamps, &size) < 0)
        return 0;
    return stamp_date(stamps, size, STAMP_UNICODE_PWD);
}

/* "Must change" hides when the password was set; the stamp of the password, to a second, does not.
 */
static void on_password_read(settle *s, entry e) {
    const settle_question *q = &s->question;
    usec_t last_set = entry_date(e, "pwdLastSet");
    bool is_hidden = last_set == 0 && !q->once;

    s->last_set = last_set;
    s->is_clear = last_set != 0 && (q->since > 0 ? was_set_since(s) : was_set_since_found(s));
    if (last_set == 0 && q->once)
        s->is_clear = read_stamp(e) >= q->since;
    s->is_later = s->is_clear && (q->since == 0 || last_set > q->since + ISSUED_WITHIN);
    if (s->is_clear || (is_hidden && is_home(s)))
        return try_password(s);

    if (is_hidden)
        s->is_whole = false;
    on_no_sign(s);
}

static void on_looked(const connection_answer *answer, void *userdata) {
    settle *s = userdata;
    entry e;

    s->request = NULL;
    if (answer->result != LDAP_SUCCESS || answer->n_entries != 1) {
        s->is_whole = false;
        return look_on(s);
    }

    e = (entry){answer->ld, answer->entries[0]};
    free(s->dn);
    s->dn = entry_dn(e);
    s->is_locked = account_is_locked_out(e);
    s->bad_passwords = entry_integer(e, "badPwdCount", 0);

    switch (s->question.subject) {
    case SETTLE_PASSWORD:
        return on_password_read(s, e);
    case SETTLE_UNLOCK:
        return on_attribute_read(s, !s->is_locked);
    case SETTLE_MUST_CHANGE:
        return on_attribute_read(s, entry_integer(e, "pwdLastSet", -1) == 0);
    }
}

/* The next one of a round through all; NULL at its end. */
static controller *choose_next(settle *s) {
    domain *d = s->domain;

    if (s->n_looked == 0)
        s->is_whole = true;
    while (s->n_looked < d->n_controllers) {
        controller *c = d->controllers[s->n_looked++];

        if (controller_connection(c))
            return c;
        s->is_whole = false;
    }

    domain_wake(d);
    return NULL;
}

/* The controller that the modify was sent to, else any. */
static controller *choose(settle *s) {
    controller *any = NULL;

    if (!s->question.controller)
        return choose_next(s);

    for (size_t i = 0; i < s->domain->n_controllers; i++) {
        controller *c = s->domain->controllers[i];

        if (!controller_connection(c))
            continue;
        if (strcasecmp(controller_name(c), s->question.controller) == 0)
            return c;
        if (!any)
            any = c;
    }

    domain_wake(s->domain);
    return any;
}

static int on_next_look(sd_event_source *source, uint64_t usec, void *userdata) {
    static const char *const attributes[] = {"pwdLastSet", "badPwdCount", "replPropertyMetaData",
                                             "msDS-User-Account-Control-Computed", NULL};
    settle *s = userdata;
    controller *chosen;

    (void) source;
    (void) usec;

    controller_unref(s->at);
    chosen = choose(s);
    s->at = chosen ? controller_ref(chosen) : NULL;
    if (!s->at || connection_search(controller_connection(s->at), s->guid_name, LDAP_SCOPE_BASE,
                                    "(objectClass=*)", attributes, on_looked, s, &s->request) < 0)
        look_again(s);
    return 0;
}

/* ---- Life ------------------------------------------------------------------------------------ */

int settle_new(directory *d, const settle_question *question, settle_done_fn done, void *userdata,
               settle **ret) {
    _cleanup_(settle_freep) settle *s = NULL;
    int r;

    assert(d);
    assert(question);
    assert(done);
    assert(ret);

    s = calloc(1, sizeof(settle));
    if (!s)
        return -ENOMEM;

    *s = (settle){.domain = &d->domain, .question = *question, .done = done, .userdata = userdata};
    s->guid_name = text_format("<GUID=%s>", question->account->guid);
    if (!s->guid_name)
        return -ENOMEM;

    r = sd_event_add_time(d->domain.event, &s->next_look, CLOCK_MONOTONIC, 0, USEC_PER_MSEC,
                          on_next_look, s);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(s);
    return 0;
}

settle *settle_free(settle *s) {
    if (!s)
        return NULL;

    connection_request_free(s->request);
    sign_in_free(s->trying);
    controller_unref(s->at);
    sd_event_source_disable_unref(s->next_look);
    free(s->guid_name);
    free(s->dn);
    free(s);
    return NULL;
}
