/* SPDX-License-Identifier: Apache-2.0 */

/* Setting a password: one modify with all that belongs together; then, on the same controller, a
 * look at what it came to, and must-change as a modify of its own, since with policy hints servers
 * refuse the two together as too young. A refusal by the policy is followed by a look at the
 * policy; one for a missing right, by a look at the rights. */

#include <errno.h>
#include <string.h>

#include "agent/base/clock.h"
#include "ldap/account.h"
#include "ldap/call.h"
#include "ldap/password.h"
#include "ldap/policy.h"
#include "ldap/rights.h"
#include "ldap/text.h"

/* BER of SEQUENCE { INTEGER 1 }, MS-ADTS 3.1.1.3.4.1.27: the policy counts in full. */
#define POLICY_HINTS_VALUE "\x30\x03\x02\x01\x01"

typedef struct reset_call {
    directory_call call;
    const directory_account *account;
    const secret *password;
    directory_reset_flags flags;

    /* The GUID stays the account's own even if it is renamed or moved in this moment (MS-ADTS
     * 3.1.1.3.1.2.4). */
    char *guid_name;
    bool by_name; /* the controller does not take a GUID for a name */
    bool with_hints;
    char *refusal; /* in the directory's words */
    rights_look *look;
} reset_call;

static int send_reset(reset_call *r);

static const char *target(const reset_call *r) {
    return r->by_name ? r->account->dn : r->guid_name;
}

/* ---- After it was done ----------------------------------------------------------------------- */

static void on_must_change_set(const connection_answer *answer, void *userdata) {
    reset_call *r = userdata;

    r->call.request = NULL;
    r->call.reply.must_change = answer->result == LDAP_SUCCESS;
    r->call.reply.must_change_failed = answer->result != LDAP_SUCCESS;
    if (answer->result != LDAP_SUCCESS)
        call_expect(&r->call, OUTCOME_INVALID,
                    answer->result == -1 ? text_format("the controller %s", answer->text)
                                         : answer_describe(answer->result, answer->text));
    call_end(&r->call);
}

static void set_must_change(reset_call *r) {
    LDAPMod must_change = {.mod_op = LDAP_MOD_REPLACE,
                           .mod_type = (char[]){"pwdLastSet"},
                           .mod_values = (char *[]){(char[]){"0"}, NULL}};
    LDAPMod *mods[] = {&must_change, NULL};
    connection *c = call_write_connection(&r->call);

    if (!c || connection_modify(c, target(r), mods, NULL, "a must-change at next sign-in",
                                on_must_change_set, r, &r->call.request) < 0)
        call_end(&r->call);
}

static void on_read_back(const connection_answer *answer, void *userdata) {
    reset_call *r = userdata;
    directory_reply *reply = &r->call.reply;

    r->call.request = NULL;
    if (answer->result == LDAP_SUCCESS && answer->n_entries == 1) {
        entry e = {answer->ld, answer->entries[0]};
        bool locked = account_is_locked_out(e);

        reply->password_last_set = entry_date(e, "pwdLastSet");
        /* So it is where the agent's account may not unexpire passwords, MS-SAMR 3.1.1.8.7. */
        reply->must_change = entry_integer(e, "pwdLastSet", -1) == 0;
        reply->account_still_locked = locked;
        reply->account_unlocked =
            !locked && r->account->info.locked_out && (r->flags & RESET_UNLOCK);
    }

    if ((r->flags & RESET_MUST_CHANGE) && !reply->must_change)
        set_must_change(r);
    else {
        reply->must_change_failed = false;
        call_end(&r->call);
    }
}

static void on_done(reset_call *r) {
    static const char *const attributes[] = {"pwdLastSet", "msDS-User-Account-Control-Computed",
                                             NULL};
    directory_reply *reply = &r->call.reply;
    connection *c = call_connection(&r->call);

    /* From here on the password is set, whatever happens to the rest. */
    call_expect(&r->call, OUTCOME_INVALID, NULL);
    reply->history_not_enforced = !r->with_hints;
    reply->account_unlocked = r->account->info.locked_out && (r->flags & RESET_UNLOCK);
    reply->account_still_locked = r->account->info.locked_out && !(r->flags & RESET_UNLOCK);
    reply->must_change_failed = r->flags & RESET_MUST_CHANGE;

    if (!c || connection_search(c, target(r), LDAP_SCOPE_BASE, "(objectClass=*)", attributes,
                                on_read_back, r, &r->call.request) < 0)
        call_end(&r->call);
}

/* ---- After the policy refused it ------------------------------------------------------------- */

static void end_with_reasons(reset_call *r, const password_policy *policy) {
    policy_subject subject = {
        .sam_account_name = r->account->sam_account_name,
        .display_name = r->account->display_name,
        .password_last_set = r->account->info.password_last_set,
        .now = now_realtime(),
        .history_enforced = r->with_hints,
    };

    r->call.reply.n_reasons = policy_reasons(r->refusal ? r->refusal : "", policy, &subject,
                                             r->password, r->call.reply.reasons);
    call_end(&r->call);
}

static void on_policy(const connection_answer *answer, void *userdata) {
    reset_call *r = userdata;
    entry e;

    r->call.request = NULL;
    if (answer->result != LDAP_SUCCESS || answer->n_entries != 1)
        return end_with_reasons(r, NULL);

    e = (entry){answer->ld, answer->entries[0]};
    if (r->account->policy_dn && entry_has(e, "msDS-MinimumPasswordLength")) {
        _cleanup_free_ char *complexity = entry_text(e, "msDS-PasswordComplexityEnabled");

        return end_with_reasons(r, &(password_policy){
                                       .min_length = (unsigned long long) entry_integer(
                                           e, "msDS-MinimumPasswordLength", 0),
                                       .history_length = (unsigned long long) entry_integer(
                                           e, "msDS-PasswordHistoryLength", 0),
                                       .min_age = entry_span(e, "msDS-MinimumPasswordAge"),
                                       .complexity = complexity && strcmp(complexity, "TRUE") == 0,
                                   });
    }

    if (!r->account->policy_dn && entry_has(e, "minPwdLength"))
        return end_with_reasons(
            r, &(password_policy){
                   .min_length = (unsigned long long) entry_integer(e, "minPwdLength", 0),
                   .history_length = (unsigned long long) entry_integer(e, "pwdHistoryLength", 0),
                   .min_age = entry_span(e, "minPwdAge"),
                   /* DOMAIN_PASSWORD_COMPLEX, MS-SAMR 2.2.3.11 */
                   .complexity = entry_integer(e, "pwdProperties", 0) & 1,
               });

    end_with_reasons(r, NULL);
}

/* The policy in force is the fine-grained one that the account's msDS-ResultantPSO names, else the
 * domain's. The former is often not to be read by the agent's account. */
static void look_at_policy(reset_call *r) {
    static const char *const attributes[] = {"minPwdLength",
                                             "pwdHistoryLength",
                                             "minPwdAge",
                                             "pwdProperties",
                                             "msDS-MinimumPasswordLength",
                                             "msDS-PasswordHistoryLength",
                                             "msDS-MinimumPasswordAge",
                                             "msDS-PasswordComplexityEnabled",
                                             NULL};
    connection *c = call_connection(&r->call);
    const char *dn = r->account->policy_dn;

    if (!dn && c)
        dn = controller_survey(r->call.controller)->naming_context;

    if (!c || connection_search(c, dn, LDAP_SCOPE_BASE, "(objectClass=*)", attributes, on_policy, r,
                                &r->call.request) < 0)
        end_with_reasons(r, NULL);
}

/* ---- After it was refused for a missing right ------------------------------------------------- */

static void on_rights(directory_rights *rights, const char *problem, void *userdata) {
    reset_call *r = userdata;

    (void) problem;
    if (rights && rights->missing)
        call_expect(&r->call, OUTCOME_AD_PERMISSIONS,
                    text_format("%s (%s)", rights->missing, r->refusal ? r->refusal : "?"));
    if (rights)
        call_take_rights(&r->call, rights);
    call_end(&r->call);
}

/* The refusal stands; which right is missing is evidence. */
static void look_at_rights(reset_call *r) {
    text_replace(&r->refusal, r->call.detail);
    if (rights_look_new(r->call.controller, r->call.directory->domain.config, r->account, on_rights,
                        r, &r->look) < 0)
        call_end(&r->call);
}

/* ---- The reset itself ------------------------------------------------------------------------ */

static void on_reset(const connection_answer *answer, void *userdata) {
    reset_call *r = userdata;
    outcome o;

    r->call.request = NULL;
    if (answer->result == -1)
        return call_fail(&r->call, OUTCOME_OUTCOME_UNKNOWN,
                         text_format("the connection was lost before the answer: %s: it %s",
                                     controller_name(r->call.controller), answer->text));

    /* It was refused for the name's form; nothing has been changed. */
    if (answer->result == LDAP_INVALID_DN_SYNTAX && !r->by_name) {
        r->by_name = true;
        if (send_reset(r) < 0)
            call_try_next(&r->call, "takes no more requests");
        return;
    }

    o = call_take_answer(&r->call, ANSWER_TO_RESET, answer);
    if (o == OUTCOME_INVALID)
        return on_done(r);
    if (o == OUTCOME_AD_NOT_REACHABLE)
        return call_try_next(&r->call, "is busy");
    if (o == OUTCOME_AD_PERMISSIONS)
        return look_at_rights(r);
    if (o != OUTCOME_AD_PASSWORD_POLICY)
        return call_end(&r->call);

    text_replace(&r->refusal, answer->text);
    look_at_policy(r);
}

static int send_reset(reset_call *r) {
    _cleanup_(secret_freep) secret *unicode = NULL;
    _cleanup_free_ char *what = NULL;
    struct berval value;
    LDAPMod password = {.mod_op = LDAP_MOD_REPLACE | LDAP_MOD_BVALUES,
                        .mod_type = (char[]){"unicodePwd"},
                        .mod_bvalues = (struct berval *[]){&value, NULL}};
    LDAPMod unlock = {.mod_op = LDAP_MOD_REPLACE,
                      .mod_type = (char[]){"lockoutTime"},
                      .mod_values = (char *[]){(char[]){"0"}, NULL}};
    LDAPMod *mods[] = {&password, r->flags & RESET_UNLOCK ? &unlock : NULL, NULL};
    LDAPControl hints = {.ldctl_value = {.bv_len = sizeof(POLICY_HINTS_VALUE) - 1,
                                         .bv_val = (char[]){POLICY_HINTS_VALUE}}};
    const char *oid = controller_survey(r->call.controller)->policy_hints;
    connection *c = call_write_connection(&r->call);
    int e;

    if (!c)
        return -ENOTCONN;

    e = password_encode(r->password, &unicode);
    if (e < 0)
        return e;
    value = (struct berval){secret_size(unicode), secret_buffer(unicode)};

    r->with_hints = oid && r->call.directory->domain.config->policy_hints != POLICY_HINTS_OFF;
    hints.ldctl_oid = (char *) (uintptr_t) oid;

    what = text_format("a reset of %s", r->account->guid);
    if (!what)
        return -ENOMEM;

    e = connection_modify(c, target(r), mods, r->with_hints ? &hints : NULL, what, on_reset, r,
                          &r->call.request);
    if (e < 0)
        return e;

    r->call.reply.sent = true;
    call_expect(&r->call, OUTCOME_OUTCOME_UNKNOWN,
                text_format("%s did not answer in time", controller_name(r->call.controller)));
    return 0;
}

/* ---- The call -------------------------------------------------------------------------------- */

static int begin(directory_call *call) {
    reset_call *r = (reset_call *) call;

    call->reply.sent = false;
    return send_reset(r);
}

static void done(directory_call *call) {
    reset_call *r = (reset_call *) call;

    free(r->guid_name);
    free(r->refusal);
    rights_look_free(r->look);
}

int directory_reset(directory *d, const directory_account *account, const secret *password,
                    directory_reset_flags flags, usec_t deadline, directory_done_fn fn,
                    void *userdata, directory_call **ret) {
    static const call_class class = {
        .size = sizeof(reset_call), .begin = begin, .done = done, .writes = true};
    directory_call *call;
    reset_call *reset;
    int r;

    assert(d);
    assert(account);
    assert(password);
    assert(ret);

    r = call_new(d, &class, deadline, fn, userdata, &call);
    if (r < 0)
        return r;

    reset = (reset_call *) call;
    reset->account = account;
    reset->password = password;
    reset->flags = flags;
    reset->guid_name = text_format("<GUID=%s>", account->guid);
    call->preferred = account->controller;
    if (!reset->guid_name) {
        directory_call_free(call);
        return -ENOMEM;
    }

    *ret = call;
    return 0;
}
