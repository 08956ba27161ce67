/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/operation.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <syslog.h>

#include "agent/answer.h"
#include "agent/authorise.h"
#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/password_memory.h"
#include "agent/request.h"
#include "agent/respond.h"

/* The relay gives up at 60 s. */
#define DEADLINE (45 * USEC_PER_SEC)
/* The directory answers by its deadline; this is for a disk that does not. */
#define WATCHDOG (50 * USEC_PER_SEC)

#define ROLE_GLOBAL_ADMINISTRATOR "62e90394-69f5-4237-9190-012177145e10"
#define ROLE_PRIVILEGED_AUTHENTICATION_ADMINISTRATOR "7be44c8a-adaf-4e2a-84d6-ab2649e08a13"
#define ROLE_AUTHENTICATION_ADMINISTRATOR "c4e39bd9-1100-46d3-8c65-fb160da0071f"
#define ROLE_USER_ADMINISTRATOR "fe930be7-5e62-47db-91af-98c3a49a38b1"
#define ROLE_HELPDESK_ADMINISTRATOR "729827e3-9c14-49f7-bb1b-9608f156bbb8"
#define ROLE_PASSWORD_ADMINISTRATOR "966707d0-3269-4727-9be2-8c3a10f19b9d"
#define APP_ROLE_RESET "Password.Reset.All"
#define APP_ROLE_UNLOCK "Account.Unlock.All"

typedef struct operation operation;

/* One request on its way. Each step ends by beginning the next or in finish(). */
struct operation {
    operations *set;
    operation *next;
    relay_request *origin;  /* NULL once answered */
    usec_t began, deadline; /* CLOCK_MONOTONIC */
    sd_event_source *watchdog;

    request request;
    token_claims claims;
    initiator initiator;
    const issuer *issuer;
    issuer_call *verifying;

    directory_call *asking; /* the directory */
    size_t asked;           /* index of the directory that is asked */
    directory_account *account;
    size_t home;       /* index of the directory that has the account */
    outcome not_found; /* worst of what the directories said that have not got it */
    char *not_found_why;

    bool keyed;       /* verified: from now on its id counts among those under way */
    bool started;     /* the start event is logged */
    bool recorded;    /* the ledger has it, and is told the end */
    bool sent_before; /* and what came of it is not known; until it is, the ledger says so */
    bool waiting_for_ledger;
    operation *leader; /* the same request came earlier and is under way: it will answer for both */
    usec_t retry_after; /* of OUTCOME_TOO_MANY_REQUESTS */

    /* The end. */
    int status;
    char *body;
};

struct operations {
    operations_context context;
    operations_idle_fn on_idle;
    void *userdata;
    password_memory *passwords;
    limits *limits;
    operation *first;
    size_t n;
    bool freeing;
};

/* ---- Life
 * ----------------------------------------------------------------------------------------- */

static void unlink_operation(operation *op) {
    operation **p = &op->set->first;

    while (*p != op)
        p = &(*p)->next;
    *p = op->next;
    op->set->n--;
}

static void operation_free(operation *op) {
    operations *set = op->set;

    unlink_operation(op);
    (void) sd_event_source_disable_unref(op->watchdog);
    (void) issuer_call_free(op->verifying);
    (void) directory_call_free(op->asking);
    (void) directory_account_free(op->account);
    token_claims_done(&op->claims);
    request_done(&op->request);
    free(op->not_found_why);
    free(op->body);
    free(op);

    if (set->freeing)
        return;
    health_set_requests_in_flight(set->context.health, (unsigned) set->n);
    if (set->n == 0 && set->on_idle)
        set->on_idle(set->userdata);
}

/* ---- Log
 * ------------------------------------------------------------------------------------------ */

/* Who asks, as LogUserIdentity= has it; services and people without a name go by their id. */
static char *initiator_text(const operation *op) {
    const token_claims *claims = &op->claims;
    const char *id = claims->object_id ? claims->object_id : claims->subject;
    char *text = NULL;

    if (claims->is_app && claims->client)
        return strdup(claims->client);
    if (claims->upn || claims->onprem_sid)
        text = identities_text(op->set->context.identities, claims->upn, claims->onprem_sid);
    return text || !id ? text : strdup(id);
}

/* On whom. Until the account is found there is only what the request calls it. */
static char *user_text(const operation *op) {
    const directory_account_info *account = op->account ? directory_account_get(op->account) : NULL;
    const char *name = op->request.user;
    const char *sid = op->request.user_type == IDENTIFIER_SID ? name : NULL;

    if (account) {
        name =
            account->user_principal_name ? account->user_principal_name : account->sam_account_name;
        sid = account->sid;
    }
    return identities_text(op->set->context.identities, name, sid);
}

static bool mentions(const char *text, const char *name) {
    return name && *name && strcasestr(text, name);
}

/* Where names may not be told, neither may a text of the directory's that has one in it. */
static const char *reason_for_log(const operation *op, outcome o, const char *reason) {
    const directory_account_info *account = op->account ? directory_account_get(op->account) : NULL;

    if (!reason || identities_may_name(op->set->context.identities))
        return reason;

    if (mentions(reason, op->request.user) || mentions(reason, op->claims.upn) ||
        (account &&
         (mentions(reason, account->dn) || mentions(reason, account->user_principal_name) ||
          mentions(reason, account->sam_account_name))))
        return outcome_get(o)->title;
    return reason;
}

static const char *domain_of(const operation *op) {
    if (op->set->context.config->n_directories == 1 || op->account)
        return directory_domain(op->set->context.directories[op->home]);
    return "the configured domains";
}

static const char *controller_of(const operation *op, const directory_reply *reply) {
    if (reply && reply->controller)
        return reply->controller;
    return op->account ? directory_account_get(op->account)->controller : NULL;
}

/* The entry of `event`. Where it is the request's last one, `result` is what it came to and
 * `status` how it was answered; else OUTCOME_INVALID and 0. */
static void log_entry(const operation *op, outcome event, const char *reason,
                      const directory_reply *reply, outcome result, int status) {
    _cleanup_free_ char *user = user_text(op), *asker = initiator_text(op);
    char duration[32], ldap_result[16] = "", ad_error[16] = "", answered[16] = "";

    (void) snprintf(duration, sizeof(duration), "%llu",
                    (unsigned long long) (now_monotonic() - op->began));
    if (reply && reply->ldap_result >= 0)
        (void) snprintf(ldap_result, sizeof(ldap_result), "%d", reply->ldap_result);
    if (reply && reply->ad_error != 0)
        (void) snprintf(ad_error, sizeof(ad_error), "0x%08x", reply->ad_error);
    if (status > 0)
        (void) snprintf(answered, sizeof(answered), "%d", status);

    log_event(event, {"WRITEBACK_REQUEST_ID", op->request.id},
              {"WRITEBACK_OPERATION", request_operation_name(op->request.operation)},
              {"WRITEBACK_OUTCOME", result != OUTCOME_INVALID ? outcome_get(result)->name : NULL},
              {"WRITEBACK_STATUS", *answered ? answered : NULL}, {"WRITEBACK_USER", user},
              {"WRITEBACK_INITIATOR", asker}, {"WRITEBACK_INITIATOR_ID", op->claims.object_id},
              {"WRITEBACK_CLIENT", op->claims.client},
              {"WRITEBACK_REASON", reason_for_log(op, event, reason)},
              {"WRITEBACK_DOMAIN", domain_of(op)}, {"WRITEBACK_DC", controller_of(op, reply)},
              {"WRITEBACK_LDAP_RESULT", *ldap_result ? ldap_result : NULL},
              {"WRITEBACK_AD_ERROR", *ad_error ? ad_error : NULL},
              {"WRITEBACK_DURATION_USEC", duration},
              {"WRITEBACK_RELAY", op->origin ? relay_request_relay_name(op->origin) : NULL},
              {"WRITEBACK_TRACKING_ID", op->origin ? relay_request_tracking_id(op->origin) : NULL},
              {"TRACE_ID", op->request.trace_id}, {"SPAN_ID", op->request.span_id});
}

/* An entry before the request's last one. */
static void log_operation(const operation *op, outcome event, const char *reason,
                          const directory_reply *reply) {
    log_entry(op, event, reason, reply, OUTCOME_INVALID, 0);
}

/* The last one: `result` tells what the request came to. */
static void log_end(const operation *op, outcome event, const char *reason,
                    const directory_reply *reply, outcome result) {
    log_entry(op, event, reason, reply, result, outcome_get(result)->http);
}

/* That a request came again, and got this status again. */
static void log_repetition(const operation *op, int status) {
    log_entry(op, OUTCOME_REQUEST_REPEATED, NULL, NULL, OUTCOME_REQUEST_REPEATED, status);
}

/* How an operation begins and ends in the log; a reset by a service has events of its own. */
typedef struct operation_events {
    outcome start, success, failure;
} operation_events;

static const operation_events *events_of(const operation *op) {
    static const operation_events by_service = {
        OUTCOME_PASSWORD_RESET_START, OUTCOME_PASSWORD_RESET_SUCCESS, OUTCOME_PASSWORD_RESET_FAIL};
    static const operation_events events[] = {
        [OPERATION_RESET] = {OUTCOME_ADMIN_RESET_START, OUTCOME_ADMIN_RESET_SUCCESS,
                             OUTCOME_ADMIN_RESET_FAIL},
        [OPERATION_CHANGE] = {OUTCOME_CHANGE_PASSWORD_START, OUTCOME_CHANGE_PASSWORD_SUCCESS,
                              OUTCOME_CHANGE_PASSWORD_FAIL},
        [OPERATION_UNLOCK] = {OUTCOME_UNLOCK_START, OUTCOME_UNLOCK_SUCCESS, OUTCOME_UNLOCK_FAIL},
    };

    assert(op->request.operation != OPERATION_CHECK);
    return op->initiator.is_app && op->request.operation == OPERATION_RESET
               ? &by_service
               : &events[op->request.operation];
}

/* ---- The end
 * -------------------------------------------------------------------------------------- */

static unsigned long long in_whole_seconds(usec_t span) {
    return (span + USEC_PER_SEC - 1) / USEC_PER_SEC;
}

/* `answered` is the operation itself, or its leader. */
static void respond(operation *op, const operation *answered) {
    char seconds[24];
    const relay_header retry_after = {"Retry-After", seconds};

    if (!op->origin)
        return;

    (void) snprintf(seconds, sizeof(seconds), "%llu", in_whole_seconds(answered->retry_after));
    respond_with_receipt(TAKE_PTR(op->origin), op->set->context.keys, op->request.id,
                         answered->status, &retry_after, answered->retry_after > 0 ? 1 : 0,
                         answered->body);
}

/* Answers everyone who asked for this, and ends. */
static void deliver(operation *op) {
    operations *set = op->set;

    for (operation *other = set->first, *next; other; other = next) {
        next = other->next;
        if (other->leader == op) {
            log_repetition(other, op->status);
            respond(other, op);
            operation_free(other);
        }
    }
    respond(op, op);
    if (!op->waiting_for_ledger)
        operation_free(op);
}

static void on_finish_recorded(const ledger_entry *entry, void *userdata) {
    operation *op = userdata;

    op->waiting_for_ledger = false;
    if (entry->r < 0)
        log_event(OUTCOME_LEDGER_UNAVAILABLE, {"WRITEBACK_REQUEST_ID", op->request.id},
                  {"WRITEBACK_REASON", entry->why});
    deliver(op);
}

/* The answer is known. What was recorded is recorded to its end before the answer leaves; a request
 * whose outcome is unknown stays "sent", so that a repetition is told the same. */
static void finish(operation *op, outcome o, char *body) {
    const outcome_info *info = outcome_get(o);
    bool is_final = !info->retryable;

    op->status = info->http;
    op->body = body;
    health_count_request(op->set->context.health, request_operation_name(op->request.operation), o,
                         now_monotonic() - op->began);

    if (op->recorded && o != OUTCOME_OUTCOME_UNKNOWN && body &&
        ledger_finish(op->set->context.ledger, op->request.id, is_final, op->status, body,
                      on_finish_recorded, op) >= 0) {
        op->waiting_for_ledger = true;
        return;
    }
    deliver(op);
}

static void refuse_by_directory(operation *op, outcome o, const char *reason,
                                const directory_reply *reply) {
    if (op->started) {
        log_operation(op, o, reason, reply);
        log_end(op, events_of(op)->failure, outcome_get(o)->title, reply, o);
    } else {
        log_end(op, o, reason, reply, o);
    }
    finish(op, o, answer_problem(o, op->request.id, reason, reply));
}

static void refuse(operation *op, outcome o, const char *reason) {
    refuse_by_directory(op, o, reason, NULL);
}

/* A check is answered, not refused. */
static void answer_checked(operation *op, outcome refusal, const char *reason,
                           const directory_rights *rights, bool show_account) {
    const directory_account_info *account =
        show_account && op->account ? directory_account_get(op->account) : NULL;

    log_end(op, OUTCOME_CHECK_ANSWERED,
            refusal == OUTCOME_INVALID ? "allowed" : outcome_get(refusal)->name, NULL,
            OUTCOME_CHECK_ANSWERED);
    finish(op, OUTCOME_CHECK_ANSWERED,
           answer_check(op->request.id, refusal, reason, rights, account));
}

static void end_unless_allowed(operation *op, outcome refusal, const char *reason,
                               bool show_account) {
    if (op->request.operation == OPERATION_CHECK)
        answer_checked(op, refusal, reason, NULL, show_account);
    else
        refuse(op, refusal, reason);
}

/* `what` begins the sentence. */
static void end_for_rate(operation *op, const char *what, usec_t wait) {
    _cleanup_free_ char *reason = NULL;

    op->retry_after = wait;
    if (asprintf(&reason, "%s; come again in %llu s", what, in_whole_seconds(wait)) < 0)
        reason = NULL;
    end_unless_allowed(op, OUTCOME_TOO_MANY_REQUESTS, reason, true);
}

/* Too late: whatever is under way has not ended by its own deadline. */
static int on_watchdog(sd_event_source *source, uint64_t usec, void *userdata) {
    operation *op = userdata;

    (void) source;
    (void) usec;

    /* The outcome is known, and only its record is late: tell it. */
    if (op->body) {
        deliver(op);
        return 0;
    }

    op->verifying = issuer_call_free(op->verifying);
    op->asking = directory_call_free(op->asking);
    op->recorded = false;
    refuse(op, op->waiting_for_ledger ? OUTCOME_LEDGER_UNAVAILABLE : OUTCOME_UNKNOWN_ERROR,
           op->waiting_for_ledger ? "the disk did not answer within 50 s"
                                  : "the request was not worked off within 50 s");
    return 0;
}

/* True where the watchdog has answered already and the operation only waited to be told this. */
static bool is_over(operation *op) {
    op->waiting_for_ledger = false;
    if (op->origin)
        return false;

    operation_free(op);
    return true;
}

/* ---- Set the password
 * ----------------------------------------------------------------------------- */

static void on_done(directory_reply *reply, void *userdata) {
    operation *op = userdata;
    outcome success = events_of(op)->success;

    op->asking = NULL;
    if (reply->outcome != OUTCOME_INVALID) {
        refuse_by_directory(op, reply->outcome, reply->detail, reply);
        return;
    }

    log_end(op, success, reply->detail, reply, success);
    finish(op, success, answer_done(success, op->request.operation, op->request.id, reply));
}

static int begin_reset(operation *op, directory *d, const directory_attempt *attempt) {
    directory_reset_flags flags = 0;

    if (op->request.unlock)
        flags |= RESET_UNLOCK;
    if (op->request.must_change)
        flags |= RESET_MUST_CHANGE;

    return directory_reset(d, op->account, op->request.new_password, flags, attempt, on_done, op,
                           &op->asking);
}

static int begin_in_directory(operation *op) {
    directory *d = op->set->context.directories[op->home];
    directory_attempt attempt = {
        .issued = op->request.issued, .sent_before = op->sent_before, .deadline = op->deadline};

    switch (op->request.operation) {
    case OPERATION_CHANGE:
        return directory_change(d, op->account, op->request.current_password,
                                op->request.new_password, &attempt, on_done, op, &op->asking);
    case OPERATION_UNLOCK:
        return directory_unlock(d, op->account, &attempt, on_done, op, &op->asking);
    default:
        return begin_reset(op, d, &attempt);
    }
}

static void on_marked_sent(const ledger_entry *entry, void *userdata) {
    operation *op = userdata;

    if (is_over(op))
        return;
    if (entry->r < 0)
        refuse(op, OUTCOME_LEDGER_UNAVAILABLE, entry->why);
    else if (begin_in_directory(op) < 0)
        refuse(op, OUTCOME_UNKNOWN_ERROR, "out of memory");
    else
        op->recorded = true;
}

static void do_it(operation *op) {
    op->waiting_for_ledger = true;
    if (ledger_mark_sent(op->set->context.ledger, op->request.id, on_marked_sent, op) < 0) {
        op->waiting_for_ledger = false;
        refuse(op, OUTCOME_LEDGER_UNAVAILABLE, "too many requests wait for the disk");
    }
}

/* ---- Look at the agent's rights -------------------------------------------------------------- */

/* What the agent lacks for a reset of this account; the other rights are for what a reset may be
 * asked to do beside it. */
static bool lacks_rights_to_reset(const directory_rights *rights, bool locked_out) {
    return !rights->right[RIGHT_RESET_PASSWORD].held ||
           (locked_out && !rights->right[RIGHT_WRITE_LOCKOUT_TIME].held);
}

static void on_rights(directory_reply *reply, void *userdata) {
    operation *op = userdata;
    const directory_rights *rights = reply->rights;
    bool locked_out = directory_account_get(op->account)->locked_out;

    op->asking = NULL;
    if (rights && lacks_rights_to_reset(rights, locked_out)) {
        answer_checked(op, OUTCOME_AD_PERMISSIONS, rights->missing, rights, true);
        return;
    }
    if (!rights && reply->outcome != OUTCOME_AD_PERMISSIONS) {
        answer_checked(op, reply->outcome, reply->detail, NULL, true);
        return;
    }

    /* Rights that may not be read may be there: nothing speaks against a reset. */
    if (!rights)
        log_text(LOG_NOTICE, "Check %s: %s", op->request.id, reply->detail);
    answer_checked(op, OUTCOME_INVALID, NULL, NULL, true);
}

static void look_at_rights(operation *op) {
    if (directory_check_rights(op->set->context.directories[op->home], op->account, op->deadline,
                               on_rights, op, &op->asking) < 0)
        refuse(op, OUTCOME_UNKNOWN_ERROR, "out of memory");
}

/* ---- Look at the account
 * -------------------------------------------------------------------------- */

/* A check only asks whether it would be too often. */
static usec_t count_account(operation *op, const char *guid) {
    limits *l = op->set->limits;

    return op->request.operation == OPERATION_CHECK ? limits_wait_account(l, guid, now_monotonic())
                                                    : limits_take_account(l, guid, now_monotonic());
}

static void look_at_account(operation *op) {
    const directory_account_info *account = directory_account_get(op->account);
    const target whom = {
        .upn = account->user_principal_name,
        .sid = account->sid,
        .is_privileged = account->is_privileged,
    };
    bool is_check = op->request.operation == OPERATION_CHECK;
    verdict v = authorise_target(&op->initiator, op->request.operation, &whom);
    usec_t wait;

    if (v.outcome == OUTCOME_INVALID)
        v = authorise_scope(account->scope);
    if (v.outcome != OUTCOME_INVALID)
        end_unless_allowed(op, v.outcome, v.reason, v.outcome == OUTCOME_TARGET_PRIVILEGED);
    else if (!account->enabled)
        end_unless_allowed(op, OUTCOME_AD_ACCOUNT_DISABLED, "the account is disabled", true);
    else if ((wait = count_account(op, account->guid)) > 0)
        end_for_rate(op, "this account was acted on too often lately (AccountRate=)", wait);
    else if (is_check && !op->initiator.is_app && !op->initiator.is_administrator)
        /* It is the person's own account, and a change goes by the person's own rights. */
        answer_checked(op, OUTCOME_INVALID, NULL, NULL, true);
    else if (is_check)
        look_at_rights(op);
    else
        do_it(op);
}

static void on_located(directory_reply *reply, void *userdata);

/* A SAM account name says in which domain; any other identifier may be in each. */
static bool may_be_in(const operation *op, size_t index) {
    const char *domain = directory_domain(op->set->context.directories[index]);

    return !op->request.user_domain || strcasecmp(op->request.user_domain, domain) == 0;
}

/* All domains have been asked. */
static void on_all_located(operation *op) {
    if (op->account)
        look_at_account(op);
    else if (op->not_found == OUTCOME_INVALID)
        end_unless_allowed(op, OUTCOME_AD_USER_NOT_FOUND,
                           "the request names a domain that this agent does not serve", false);
    else
        end_unless_allowed(op, op->not_found, op->not_found_why, false);
}

static void locate(operation *op) {
    const directory_identifier id = {.type = op->request.user_type, .value = op->request.user};
    const operations_context *context = &op->set->context;

    while (op->asked < context->config->n_directories && !may_be_in(op, op->asked))
        op->asked++;
    if (op->asked == context->config->n_directories) {
        on_all_located(op);
        return;
    }

    if (directory_locate(context->directories[op->asked], &id, op->deadline, on_located, op,
                         &op->asking) < 0)
        refuse(op, OUTCOME_UNKNOWN_ERROR, "out of memory");
}

/* Where one domain has not got the account and another could not be asked, the latter is the
 * answer. */
static void note_not_found(operation *op, const directory_reply *reply) {
    if (op->not_found != OUTCOME_INVALID && reply->outcome == OUTCOME_AD_USER_NOT_FOUND)
        return;

    op->not_found = reply->outcome;
    free(op->not_found_why);
    op->not_found_why = reply->detail ? strdup(reply->detail) : NULL;
}

static void on_located(directory_reply *reply, void *userdata) {
    operation *op = userdata;

    op->asking = NULL;
    if (reply->outcome == OUTCOME_AD_MULTI_MATCH || (reply->account && op->account)) {
        end_unless_allowed(op, OUTCOME_AD_MULTI_MATCH, reply->detail, false);
        return;
    }

    if (reply->account) {
        op->account = TAKE_PTR(reply->account);
        op->home = op->asked;
    } else {
        note_not_found(op, reply);
    }
    op->asked++;
    locate(op);
}

/* ---- May they?
 * ------------------------------------------------------------------------------------ */

static void authorise(operation *op) {
    bool is_check = op->request.operation == OPERATION_CHECK;
    verdict v = authorise_initiator(&op->initiator, op->request.operation,
                                    op->set->context.config->allowed_clients);

    if (!is_check) {
        log_operation(op, events_of(op)->start, NULL, NULL);
        op->started = true;
    }
    if (v.outcome != OUTCOME_INVALID)
        end_unless_allowed(op, v.outcome, v.reason, false);
    else
        locate(op);
}

/* ---- Seen before?
 * --------------------------------------------------------------------------------- */

/* The first answer again. */
static void repeat(operation *op, const ledger_entry *entry) {
    op->recorded = false;
    op->status = entry->status;
    op->body = strdup(entry->body);
    log_repetition(op, entry->status);
    deliver(op);
}

static void on_begun(const ledger_entry *entry, void *userdata) {
    operation *op = userdata;

    if (is_over(op))
        return;
    if (entry->r < 0) {
        refuse(op, OUTCOME_LEDGER_UNAVAILABLE, entry->why);
        return;
    }
    if (entry->state == LEDGER_CONFLICT ||
        !password_memory_agrees(op->set->passwords, &op->request)) {
        refuse(op, OUTCOME_REQUEST_CONFLICT,
               "the same id came with other content; use a new id for a new request");
        return;
    }

    switch (entry->state) {
    case LEDGER_DONE:
        repeat(op, entry);
        return;
    case LEDGER_SENT:
        op->sent_before = true;
        break;
    default:
        op->recorded = true;
    }
    authorise(op);
}

static bool same_secret(const secret *a, const secret *b) {
    return a && b ? secret_equal(a, b) : a == b;
}

/* The same id is under way already: the answer will be the same, if it is the same request. */
static bool join_leader(operation *op) {
    for (operation *other = op->set->first; other; other = other->next) {
        /* One that was answered for its time answers nobody else. */
        if (!other->keyed || !other->origin || strcmp(other->request.id, op->request.id) != 0)
            continue;

        if (memcmp(other->request.fingerprint, op->request.fingerprint, REQUEST_FINGERPRINT_SIZE) !=
                0 ||
            !same_secret(other->request.new_password, op->request.new_password) ||
            !same_secret(other->request.current_password, op->request.current_password))
            refuse(op, OUTCOME_REQUEST_CONFLICT,
                   "the same id is under way with other content; use a new id for a new request");
        else
            op->leader = other;
        return true;
    }
    return false;
}

static void look_into_ledger(operation *op) {
    usec_t wait = limits_take_request(op->set->limits, now_monotonic());

    if (wait > 0) {
        op->retry_after = wait;
        refuse(op, OUTCOME_TOO_MANY_REQUESTS, "there are too many requests (RequestRate=)");
        return;
    }
    if (op->request.operation == OPERATION_CHECK) {
        authorise(op);
        return;
    }
    if (join_leader(op))
        return;

    op->keyed = true;
    op->waiting_for_ledger = true;
    if (ledger_begin(op->set->context.ledger, &op->request, now_realtime(), on_begun, op) < 0) {
        op->waiting_for_ledger = false;
        refuse(op, OUTCOME_LEDGER_UNAVAILABLE, "too many requests wait for the disk");
    }
}

/* ---- Who asks?
 * ------------------------------------------------------------------------------------ */

static initiator read_initiator(const token_claims *claims) {
    static const char *const privileged[] = {ROLE_GLOBAL_ADMINISTRATOR,
                                             ROLE_PRIVILEGED_AUTHENTICATION_ADMINISTRATOR};
    static const char *const others[] = {ROLE_AUTHENTICATION_ADMINISTRATOR, ROLE_USER_ADMINISTRATOR,
                                         ROLE_HELPDESK_ADMINISTRATOR, ROLE_PASSWORD_ADMINISTRATOR};
    initiator who = {
        .is_app = claims->is_app,
        .client = claims->client,
        .upn = claims->upn,
        .sid = claims->onprem_sid,
    };

    /* A service has app roles and a person directory roles, whatever else a token claims. */
    if (claims->is_app) {
        who.may_reset_all = token_claims_has_role(claims, APP_ROLE_RESET);
        who.may_unlock_all = token_claims_has_role(claims, APP_ROLE_UNLOCK);
        return who;
    }

    for (size_t i = 0; i < ELEMENTSOF(privileged); i++)
        if (token_claims_has_directory_role(claims, privileged[i]))
            who.is_privileged_administrator = who.is_administrator = true;
    for (size_t i = 0; i < ELEMENTSOF(others); i++)
        if (token_claims_has_directory_role(claims, others[i]))
            who.is_administrator = true;
    return who;
}

static void on_verified(int r, const char *why, token_claims *claims, void *userdata) {
    operation *op = userdata;

    op->verifying = NULL;
    if (r == -ENOMEM) {
        refuse(op, OUTCOME_UNKNOWN_ERROR, "out of memory");
        return;
    }
    if (r < 0) {
        refuse(op, OUTCOME_AUTH_TOKEN_ERROR, why);
        return;
    }

    op->claims = *claims;
    *claims = (token_claims){};
    op->initiator = read_initiator(&op->claims);
    look_into_ledger(op);
}

/* NULL with a reason where there is none. */
static issuer *find_issuer(const operation *op, const char **ret_why) {
    const operations_context *context = &op->set->context;
    const secret *token = op->request.authorization;
    _cleanup_free_ char *url = NULL;

    *ret_why = "authorization is no signed JWT that names its issuer";
    if (token_peek_issuer(secret_data(token), secret_size(token), &url) < 0)
        return NULL;

    *ret_why = "authorization is a token of an issuer that this agent is not configured for";
    for (size_t i = 0; i < context->config->n_issuers; i++)
        if (issuer_speaks_for(context->issuers[i], url))
            return context->issuers[i];

    return NULL;
}

static void verify(operation *op) {
    const char *why;
    issuer *i = find_issuer(op, &why);
    issuer_call *call = NULL;

    if (!i) {
        refuse(op, OUTCOME_AUTH_TOKEN_ERROR, why);
        return;
    }
    if (issuer_verify(i, op->request.authorization, on_verified, op, &call) < 0)
        refuse(op, OUTCOME_UNKNOWN_ERROR, "out of memory");
    else if (call)
        op->verifying = call;
    /* Without a call it has ended already, and the operation may be gone. */
}

/* ---- What is asked?
 * ------------------------------------------------------------------------------- */

static void open_request(operation *op) {
    _cleanup_(secret_freep) secret *text = NULL;
    _cleanup_free_ char *reason = NULL;
    const operations_context *context = &op->set->context;
    const char *why = NULL;
    const void *body;
    size_t size;
    outcome o;
    int r;

    body = relay_request_body(op->origin, &size);
    r = agent_keys_open_sealed(context->keys, body, size, now_realtime(), &text, &why);
    if (r < 0) {
        refuse(op, r == -ENOMEM ? OUTCOME_UNKNOWN_ERROR : OUTCOME_DECRYPTION_ERROR,
               r == -ENOMEM ? "out of memory" : why);
        return;
    }

    o = request_parse(text, &op->request, &reason);
    if (o == OUTCOME_INVALID)
        o = request_check_validity(&op->request, context->config->agent_id,
                                   context->config->tenant_id, now_realtime(), &reason);
    if (o != OUTCOME_INVALID)
        refuse(op, o, reason);
    else
        verify(op);
}

void operations_begin(operations *o, relay_request *q) {
    operation *op;

    assert(o);
    assert(q);

    op = calloc(1, sizeof(operation));
    if (!op) {
        respond_with_receipt(q, o->context.keys, NULL, outcome_get(OUTCOME_UNKNOWN_ERROR)->http,
                             NULL, 0, NULL);
        return;
    }

    *op = (operation){.set = o,
                      .next = o->first,
                      .origin = q,
                      .began = now_monotonic(),
                      .request = {.operation = OPERATION_INVALID},
                      .not_found = OUTCOME_INVALID};
    op->deadline = op->began + DEADLINE;
    o->first = op;
    o->n++;
    health_set_requests_in_flight(o->context.health, (unsigned) o->n);

    if (sd_event_add_time(o->context.event, &op->watchdog, CLOCK_MONOTONIC, op->began + WATCHDOG,
                          USEC_PER_SEC, on_watchdog, op) < 0)
        refuse(op, OUTCOME_UNKNOWN_ERROR, "out of memory");
    else
        open_request(op);
}

/* ---- The set
 * -------------------------------------------------------------------------------------- */

int operations_new(const operations_context *context, operations_idle_fn on_idle, void *userdata,
                   operations **ret) {
    _cleanup_(operations_freep) operations *o = NULL;
    int r;

    assert(context);
    assert(ret);

    o = calloc(1, sizeof(operations));
    if (!o)
        return -ENOMEM;

    *o = (operations){.context = *context, .on_idle = on_idle, .userdata = userdata};
    r = password_memory_new(&o->passwords);
    if (r >= 0)
        r = limits_new(context->config->request_rate, context->config->account_rate, &o->limits);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(o);
    return 0;
}

operations *operations_free(operations *o) {
    if (!o)
        return NULL;

    o->freeing = true;
    while (o->first)
        operation_free(o->first);
    (void) password_memory_free(o->passwords);
    (void) limits_free(o->limits);
    free(o);
    return NULL;
}

size_t operations_pending(const operations *o) {
    assert(o);
    return o->n;
}
