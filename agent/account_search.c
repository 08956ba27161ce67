/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/account_search.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <syslog.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/text.h"

/* One domain's part in it. */
typedef struct inquiry {
    account_search *search;
    directory *directory;
    size_t index;         /* the directory's */
    directory_call *call; /* NULL: it has answered */
} inquiry;

struct account_search {
    sd_event_source *grace;
    account_search_fn done;
    void *userdata;

    directory_identifier id;
    inquiry *inquiries; /* of the domains that may have it */
    size_t n, n_pending;

    directory_account *account;
    const inquiry *home; /* the account's */
    outcome missing;     /* the worst of what was answered instead; OUTCOME_INVALID: nothing yet */
    char *detail;        /* of all that is as bad as that */
};

/* ---- The end --------------------------------------------------------------------------------- */

static void cancel(account_search *s) {
    for (size_t i = 0; i < s->n; i++)
        s->inquiries[i].call = directory_call_free(s->inquiries[i].call);
    s->n_pending = 0;
    (void) sd_event_source_set_enabled(s->grace, SD_EVENT_OFF);
}

static void end(account_search *s, outcome o, const char *detail) {
    account_search_result result = {.outcome = o, .detail = detail ? detail : ""};

    cancel(s);
    if (o == OUTCOME_INVALID) {
        result.account = TAKE_PTR(s->account);
        result.home = s->home->index;
    }
    /* The search may be gone afterwards. */
    s->done(&result, s->userdata);
    directory_account_free(result.account);
}

static const char *name_of(const inquiry *i) {
    return directory_domain(i->directory);
}

/* ---- What a match says of the other domains -------------------------------------------------- */

typedef enum claim {
    CLAIM_OPEN,  /* another domain may have the identifier too */
    CLAIM_FIRST, /* it ought not to */
    CLAIM_SOLE,  /* it cannot */
} claim;

static bool ends_in_domain(const char *user_principal_name, const char *domain) {
    const char *at = strrchr(user_principal_name, '@');

    return at && strcasecmp(at + 1, domain) == 0;
}

static claim claim_of(const account_search *s) {
    switch (s->id.type) {
    case IDENTIFIER_SID:
    case IDENTIFIER_OBJECT_GUID:
    case IDENTIFIER_SAM_ACCOUNT_NAME:
        return CLAIM_SOLE;
    case IDENTIFIER_IMMUTABLE_ID:
        return CLAIM_FIRST;
    case IDENTIFIER_USER_PRINCIPAL_NAME:
        return ends_in_domain(s->id.value, name_of(s->home)) ? CLAIM_FIRST : CLAIM_OPEN;
    }
    return CLAIM_OPEN;
}

/* ---- What was answered ----------------------------------------------------------------------- */

/* The account may be where nobody has answered: that may pass, so it comes before what must be
 * mended, and both before that it is not there. */
static unsigned rank(outcome o) {
    switch (o) {
    case OUTCOME_INVALID:
        return 0;
    case OUTCOME_AD_USER_NOT_FOUND:
        return 1;
    case OUTCOME_AD_NOT_REACHABLE:
        return 3;
    default:
        return 2;
    }
}

static void note_missing(account_search *s, const inquiry *i, outcome o, const char *detail) {
    _cleanup_free_ char *text = text_format("%s: %s", name_of(i), detail);
    const char *words = s->n > 1 && text ? text : detail;

    if (rank(o) < rank(s->missing))
        return;
    if (rank(o) > rank(s->missing))
        text_replace(&s->detail, words);
    else
        text_append(&s->detail, "; ", words);
    if (rank(o) > rank(s->missing))
        s->missing = o;
}

/* Each domain that was asked has answered, or will not in time. */
static void decide(account_search *s) {
    bool is_complete = rank(s->missing) <= rank(OUTCOME_AD_USER_NOT_FOUND);
    _cleanup_free_ char *text = NULL;

    if (!s->account)
        return end(s, s->missing, s->detail);

    if (is_complete)
        return end(s, OUTCOME_INVALID, NULL);

    if (claim_of(s) == CLAIM_OPEN) {
        text = text_format("%s has an account with this name, and it is not known whether another "
                           "domain has one too: %s",
                           name_of(s->home), s->detail ? s->detail : "?");
        return end(s, s->missing, text);
    }

    log_text(LOG_NOTICE, "An account was found in %s while another domain was not heard: %s",
             name_of(s->home), s->detail ? s->detail : "?");
    end(s, OUTCOME_INVALID, NULL);
}

static int on_grace_over(sd_event_source *source, uint64_t usec, void *userdata) {
    account_search *s = userdata;

    (void) source;
    (void) usec;

    for (size_t i = 0; i < s->n; i++)
        if (s->inquiries[i].call)
            note_missing(s, &s->inquiries[i], OUTCOME_AD_NOT_REACHABLE,
                         "no controller answered in time");
    decide(s);
    return 0;
}

static void wait_for_others(account_search *s) {
    (void) sd_event_source_set_time(s->grace, now_monotonic() + ACCOUNT_SEARCH_GRACE);
    (void) sd_event_source_set_enabled(s->grace, SD_EVENT_ONESHOT);
}

static void take_account(account_search *s, const inquiry *i, directory_account *account) {
    _cleanup_free_ char *text = NULL;

    if (s->account) {
        text = text_format("%s and %s both have an account with this identifier", name_of(s->home),
                           name_of(i));
        directory_account_free(account);
        return end(s, OUTCOME_AD_MULTI_MATCH, text);
    }

    s->account = account;
    s->home = i;
    if (s->n_pending == 0 || claim_of(s) == CLAIM_SOLE)
        decide(s);
    else if (claim_of(s) == CLAIM_FIRST)
        wait_for_others(s);
}

static void on_answer(directory_reply *reply, void *userdata) {
    inquiry *i = userdata;
    account_search *s = i->search;

    i->call = NULL;
    s->n_pending--;
    if (reply->outcome == OUTCOME_AD_MULTI_MATCH)
        return end(s, OUTCOME_AD_MULTI_MATCH, reply->detail);
    if (reply->account)
        return take_account(s, i, TAKE_PTR(reply->account));

    note_missing(s, i, reply->outcome, reply->detail);
    if (s->n_pending == 0)
        decide(s);
}

/* ---- The search ------------------------------------------------------------------------------ */

static bool may_have_it(const account_search_question *q, size_t index) {
    return !q->domain || strcasecmp(q->domain, directory_domain(q->directories[index])) == 0;
}

/* One domain alone has all the time there is. */
static usec_t deadline_of(const account_search *s, const account_search_question *q) {
    usec_t end = now_monotonic() + ACCOUNT_SEARCH_PATIENCE;

    return s->n > 1 && end < q->deadline ? end : q->deadline;
}

static int ask(account_search *s, const account_search_question *q) {
    usec_t deadline = deadline_of(s, q);

    for (size_t i = 0; i < s->n; i++) {
        int r = directory_locate(s->inquiries[i].directory, &q->id, deadline, on_answer,
                                 &s->inquiries[i], &s->inquiries[i].call);

        if (r < 0)
            return r;
        s->n_pending++;
    }
    return 0;
}

int account_search_new(sd_event *event, const account_search_question *question,
                       account_search_fn done, void *userdata, account_search **ret) {
    _cleanup_(account_search_freep) account_search *s = NULL;
    int r;

    assert(event);
    assert(question);
    assert(done);
    assert(ret);

    s = calloc(1, sizeof(account_search));
    if (!s)
        return -ENOMEM;

    *s = (account_search){
        .done = done, .userdata = userdata, .id = question->id, .missing = OUTCOME_INVALID};
    s->inquiries = calloc(question->n_directories + 1, sizeof(inquiry));
    if (!s->inquiries)
        return -ENOMEM;

    for (size_t i = 0; i < question->n_directories; i++)
        if (may_have_it(question, i))
            s->inquiries[s->n++] =
                (inquiry){.search = s, .directory = question->directories[i], .index = i};
    if (s->n == 0)
        return -ENOENT;

    r = sd_event_add_time(event, &s->grace, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_grace_over, s);
    if (r >= 0)
        r = sd_event_source_set_enabled(s->grace, SD_EVENT_OFF);
    if (r >= 0)
        r = ask(s, question);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(s);
    return 0;
}

account_search *account_search_free(account_search *s) {
    if (!s)
        return NULL;

    cancel(s);
    sd_event_source_disable_unref(s->grace);
    directory_account_free(s->account);
    free(s->inquiries);
    free(s->detail);
    free(s);
    return NULL;
}
