/* SPDX-License-Identifier: Apache-2.0 */

/* Changing a password as its owner does. The agent's own connection will do: who knows the current
 * password needs only the right Change Password, which everyone has on every account. */

#include "ldap/password.h"
#include "ldap/write.h"

static int send_change(write_call *w) {
    _cleanup_(secret_freep) secret *current = NULL, *new = NULL;
    struct berval current_value, new_value;
    LDAPMod remove = {.mod_op = LDAP_MOD_DELETE | LDAP_MOD_BVALUES,
                      .mod_type = (char[]){"unicodePwd"},
                      .mod_bvalues = (struct berval *[]){&current_value, NULL}};
    LDAPMod add = {.mod_op = LDAP_MOD_ADD | LDAP_MOD_BVALUES,
                   .mod_type = (char[]){"unicodePwd"},
                   .mod_bvalues = (struct berval *[]){&new_value, NULL}};
    LDAPMod *mods[] = {&remove, &add, NULL};
    int r;

    r = password_encode(w->order.current_password, &current);
    if (r >= 0)
        r = password_encode(w->order.new_password, &new);
    if (r < 0)
        return r;

    current_value = (struct berval){secret_size(current), secret_buffer(current)};
    new_value = (struct berval){secret_size(new), secret_buffer(new)};
    return write_send(w, mods, NULL);
}

int directory_change(directory *d, const directory_account *account, const secret *current_password,
                     const secret *new_password, const directory_attempt *attempt,
                     directory_done_fn fn, void *userdata, directory_call **ret) {
    static const write_kind kind = {.class = write_call_class(false),
                                    .name = "a change",
                                    .answer = ANSWER_TO_CHANGE,
                                    .send = send_change};
    write_order order = {.account = account,
                         .current_password = current_password,
                         .new_password = new_password,
                         .attempt = *attempt};

    assert(current_password);
    assert(new_password);
    return write_new(d, &kind, &order, fn, userdata, ret);
}
