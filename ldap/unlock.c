/* SPDX-License-Identifier: Apache-2.0 */

/* Clearing a lockout. */

#include "ldap/write.h"

static int send_unlock(write_call *w) {
    LDAPMod unlock = {.mod_op = LDAP_MOD_REPLACE,
                      .mod_type = (char[]){"lockoutTime"},
                      .mod_values = (char *[]){(char[]){"0"}, NULL}};
    LDAPMod *mods[] = {&unlock, NULL};

    return write_send(w, mods, NULL);
}

int directory_unlock(directory *d, const directory_account *account,
                     const directory_attempt *attempt, directory_done_fn fn, void *userdata,
                     directory_call **ret) {
    static const write_kind kind = {.class = write_call_class(false),
                                    .name = "an unlock",
                                    .answer = ANSWER_TO_WRITE,
                                    .send = send_unlock};
    write_order order = {.account = account, .attempt = *attempt};

    return write_new(d, &kind, &order, fn, userdata, ret);
}
