/* SPDX-License-Identifier: Apache-2.0 */

/* Setting a password as an administrator. Must-change is a modify of its own, since with policy
 * hints servers refuse the two together as too young. */

#include "agent/base/text.h"
#include "ldap/password.h"
#include "ldap/write.h"

/* BER of SEQUENCE { INTEGER 1 }, MS-ADTS 3.1.1.3.4.1.27: the policy counts in full. */
#define POLICY_HINTS_VALUE "\x30\x03\x02\x01\x01"

/* ---- After it was done ----------------------------------------------------------------------- */

static void tell_must_change(write_call *w, bool is_set) {
    w->call.reply.must_change = is_set;
    w->call.reply.must_change_failed = !is_set;
    w->call.reply.must_change_unknown = false;
    call_end(&w->call);
}

static void on_must_change_settled(settle_verdict v, controller *by, void *userdata) {
    write_call *w = userdata;

    (void) by;
    w->settling = settle_free(w->settling);
    tell_must_change(w, v == SETTLED_DONE);
}

static void on_must_change_set(const connection_answer *answer, void *userdata) {
    write_call *w = userdata;

    w->call.request = NULL;
    if (answer->result == -1) {
        call_expect(&w->call, OUTCOME_INVALID, text_format("the controller %s", answer->text));
        if (write_find_out(w, SETTLE_MUST_CHANGE, 0, /* once= */ false, on_must_change_settled) < 0)
            call_end(&w->call);
        return;
    }

    if (answer->result != LDAP_SUCCESS)
        call_expect(&w->call, OUTCOME_INVALID, answer_describe(answer->result, answer->text));
    tell_must_change(w, answer->result == LDAP_SUCCESS);
}

static void set_must_change(write_call *w) {
    LDAPMod must_change = {.mod_op = LDAP_MOD_REPLACE,
                           .mod_type = (char[]){"pwdLastSet"},
                           .mod_values = (char *[]){(char[]){"0"}, NULL}};
    LDAPMod *mods[] = {&must_change, NULL};

    if (write_modify(w, mods, NULL, "a must-change at next sign-in", on_must_change_set) < 0)
        return call_end(&w->call);

    w->call.reply.must_change_failed = false;
    w->call.reply.must_change_unknown = true;
}

static void complete(write_call *w) {
    directory_reply *reply = &w->call.reply;

    reply->history_not_enforced = reply->sent && !w->with_hints;
    if ((w->order.flags & RESET_MUST_CHANGE) && !reply->must_change)
        return set_must_change(w);

    reply->must_change_failed = false;
    call_end(&w->call);
}

/* ---- The reset itself ------------------------------------------------------------------------ */

/* OID of the control to send; NULL: none. */
static const char *hints_of(const write_call *w) {
    return w->call.directory->domain.config->policy_hints == POLICY_HINTS_OFF
               ? NULL
               : controller_survey(w->call.controller)->policy_hints;
}

static int send_reset(write_call *w) {
    _cleanup_(secret_freep) secret *unicode = NULL;
    struct berval value;
    LDAPMod password = {.mod_op = LDAP_MOD_REPLACE | LDAP_MOD_BVALUES,
                        .mod_type = (char[]){"unicodePwd"},
                        .mod_bvalues = (struct berval *[]){&value, NULL}};
    LDAPMod unlock = {.mod_op = LDAP_MOD_REPLACE,
                      .mod_type = (char[]){"lockoutTime"},
                      .mod_values = (char *[]){(char[]){"0"}, NULL}};
    LDAPMod *mods[] = {&password, w->order.flags & RESET_UNLOCK ? &unlock : NULL, NULL};
    LDAPControl hints = {.ldctl_oid = (char *) (uintptr_t) hints_of(w),
                         .ldctl_value = {.bv_len = sizeof(POLICY_HINTS_VALUE) - 1,
                                         .bv_val = (char[]){POLICY_HINTS_VALUE}}};
    int r;

    r = password_encode(w->order.new_password, &unicode);
    if (r < 0)
        return r;

    value = (struct berval){secret_size(unicode), secret_buffer(unicode)};
    w->with_hints = hints.ldctl_oid;
    return write_send(w, mods, w->with_hints ? &hints : NULL);
}

int directory_reset(directory *d, const directory_account *account, const secret *password,
                    directory_reset_flags flags, const directory_attempt *attempt,
                    directory_done_fn fn, void *userdata, directory_call **ret) {
    static const write_kind kind = {.class = write_call_class(true),
                                    .name = "a reset",
                                    .answer = ANSWER_TO_RESET,
                                    .send = send_reset,
                                    .complete = complete};
    write_order order = {
        .account = account, .new_password = password, .flags = flags, .attempt = *attempt};

    assert(password);
    return write_new(d, &kind, &order, fn, userdata, ret);
}
