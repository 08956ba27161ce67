/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/answer.h"

#include <string.h>

#include "agent/base/clock.h"

static char *to_text(json_t *object) {
    char *text = object ? json_to_text(object) : NULL;

    json_decref(object);
    return text;
}

/* What is known of this very case says more than what is true of all of them; NULL: nothing is. */
static const char *steps_of(const directory_rights *rights) {
    return rights ? rights->steps : NULL;
}

static json_t *reasons_of(const directory_reply *reply) {
    json_t *reasons = json_array();

    for (size_t i = 0; i < reply->n_reasons; i++) {
        const directory_policy_reason *reason = &reply->reasons[i];
        json_t *one = json_pack("{s:s}", "rule", reason->rule);

        if (reason->required > 0)
            (void) json_object_set_new(one, "required",
                                       json_integer((json_int_t) reason->required));
        (void) json_array_append_new(reasons, one);
    }
    return reasons;
}

char *answer_problem(outcome o, const char *id, const char *detail, const directory_reply *reply) {
    json_t *object = problem_new(o, id, detail, steps_of(reply ? reply->rights : NULL));

    if (object && reply && reply->n_reasons > 0)
        (void) json_object_set_new(object, "reasons", reasons_of(reply));
    return to_text(object);
}

static json_t *warnings_of(const directory_reply *reply) {
    json_t *warnings = json_array();

    if (reply->account_still_locked)
        (void) json_array_append_new(warnings, json_string("accountStillLocked"));
    if (reply->must_change_failed)
        (void) json_array_append_new(warnings, json_string("mustChangeAtNextSignInNotSet"));
    if (reply->must_change_unknown)
        (void) json_array_append_new(warnings, json_string("mustChangeAtNextSignInUnknown"));
    if (reply->history_not_enforced)
        (void) json_array_append_new(warnings, json_string("passwordHistoryNotEnforced"));
    if (reply->already_set)
        (void) json_array_append_new(warnings, json_string("passwordAlreadySet"));
    if (reply->answer_lost)
        (void) json_array_append_new(warnings, json_string("answerLost"));
    return warnings;
}

char *answer_done(outcome o, request_operation operation, const char *id,
                  const directory_reply *reply) {
    const outcome_info *info = outcome_get(o);
    char date[RFC3339_MAX];
    json_t *object;

    object = json_pack("{s:s, s:s, s:s, s:i, s:s, s:s*, s:o}", /* */
                       "id", id, "operation", request_operation_name(operation), "status",
                       "succeeded", "eventId", info->event, "event", info->name, "domainController",
                       reply->controller, "warnings", warnings_of(reply));
    if (!object)
        return NULL;

    if (reply->password_last_set > 0)
        (void) json_object_set_new(object, "passwordLastSet",
                                   json_string(rfc3339_utc(reply->password_last_set, date)));
    if (operation != OPERATION_CHANGE)
        (void) json_object_set_new(object, "accountUnlocked",
                                   json_boolean(reply->account_unlocked));
    if (operation == OPERATION_RESET)
        (void) json_object_set_new(object, "mustChangeAtNextSignIn",
                                   json_boolean(reply->must_change));
    return to_text(object);
}

char *answer_check(const char *id, outcome refusal, const char *reason,
                   const directory_rights *rights, const directory_account_info *account) {
    const outcome_info *info = outcome_get(OUTCOME_CHECK_ANSWERED);
    json_t *reasons = json_array();
    json_t *object;

    if (refusal != OUTCOME_INVALID) {
        const outcome_info *why = outcome_get(refusal);
        const char *known = steps_of(rights);
        _cleanup_free_ char *steps = outcome_text(known ? known : why->steps);

        (void) json_array_append_new(reasons,
                                     json_pack("{s:s, s:i, s:s, s:s, s:o}", "code", why->name,
                                               "eventId", why->event, "title", why->title, "detail",
                                               reason ? reason : why->title, "steps",
                                               json_lines(steps ? steps : "")));
    }

    object =
        json_pack("{s:s, s:s, s:s, s:i, s:s, s:b, s:o}", /* */
                  "id", id, "operation", "check", "status", "succeeded", "eventId", info->event,
                  "event", info->name, "allowed", refusal == OUTCOME_INVALID, "reasons", reasons);
    if (object && account)
        (void) json_object_set_new(
            object, "account",
            json_pack("{s:b, s:b, s:b, s:b, s:b}", "enabled", account->enabled, "lockedOut",
                      account->locked_out, "privileged", account->is_privileged, "protected",
                      account->is_protected, "mustChange", account->must_change));
    return to_text(object);
}
