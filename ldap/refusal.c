/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/refusal.h"

#include "agent/base/clock.h"
#include "agent/base/text.h"
#include "ldap/policy.h"
#include "ldap/policy_entry.h"

/* The domain's own policy does not hold for an account that has a fine-grained one. */
static void say_what_is_unknown(write_call *w) {
    const char *policy_dn = w->order.account->policy_dn;

    if (policy_dn && w->call.reply.n_reasons == 0)
        call_expect(&w->call, OUTCOME_AD_PASSWORD_POLICY,
                    text_format("%s (which rule, is not known: %s, the account's fine-grained "
                                "policy, could not be read)",
                                w->call.detail ? w->call.detail : "?", policy_dn));
}

static void end_with_reasons(write_call *w, const password_policy *policy) {
    policy_subject subject = {
        .sam_account_name = w->order.account->sam_account_name,
        .display_name = w->order.account->display_name,
        .may_be_simple = w->order.account->password_not_required,
        .password_last_set = w->order.account->info.password_last_set,
        .now = now_realtime(),
        .history_enforced = w->with_hints || w->order.current_password,
    };

    w->call.reply.n_reasons = policy_reasons(w->refusal ? w->refusal : "", policy, &subject,
                                             w->order.new_password, w->call.reply.reasons);
    if (!policy)
        say_what_is_unknown(w);
    write_refused(w);
}

static void on_policy(const connection_answer *answer, void *userdata) {
    write_call *w = userdata;
    password_policy policy;

    w->call.request = NULL;
    end_with_reasons(w, policy_entry_read(answer, w->order.account, &policy) ? &policy : NULL);
}

/* A change that is refused for want of the right Change Password, on Windows and on Samba. */
static bool is_for_the_right_to_change(const write_call *w) {
    return w->order.current_password &&
           (w->call.reply.ldap_result == LDAP_INSUFFICIENT_ACCESS || w->call.reply.ad_error == 0);
}

void refusal_explain(write_call *w) {
    connection *c = call_connection(&w->call);

    if (is_for_the_right_to_change(w)) {
        w->call.reply.reasons[w->call.reply.n_reasons++] =
            (directory_policy_reason){.rule = "userCannotChangePassword"};
        return call_end(&w->call);
    }

    if (!c || policy_entry_search(c, w->order.account, controller_survey(w->call.controller),
                                  on_policy, w, &w->call.request) < 0)
        end_with_reasons(w, NULL);
}
