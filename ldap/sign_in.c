/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/sign_in.h"

#include <errno.h>
#include <string.h>

struct sign_in {
    connection *connection;
    connection_request *request;
    char *dn;
    const secret *password;
    sign_in_done_fn done;
    void *userdata;

    password_verdict verdict;
    bool tried;
};

static void on_bound(const connection_answer *answer, void *userdata) {
    sign_in *s = userdata;

    s->request = NULL;
    if (answer->result == -1)
        return;

    s->verdict = answer_password_verdict(answer->result, answer->text);
    connection_fail(s->connection, OUTCOME_INVALID, "has answered");
}

static void on_opened(void *userdata) {
    sign_in *s = userdata;

    if (connection_bind(s->connection, s->dn, s->password, on_bound, s, &s->request) < 0)
        connection_fail(s->connection, OUTCOME_AD_NOT_REACHABLE, "takes no requests");
    else
        s->tried = true;
}

/* Every way ends here. */
static void on_lost(outcome o, const char *reason, void *userdata) {
    sign_in *s = userdata;

    (void) o;
    (void) reason;
    s->done(s->verdict, s->tried, s->userdata);
}

int sign_in_new(controller *c, const char *dn, const secret *password, sign_in_done_fn done,
                void *userdata, sign_in **ret) {
    _cleanup_(sign_in_freep) sign_in *s = NULL;
    int r;

    assert(c);
    assert(dn);
    /* Without a password a simple bind succeeds and is anonymous (RFC 4513 section 5.1.2). */
    assert(password && secret_size(password) > 0);
    assert(done);
    assert(ret);

    s = calloc(1, sizeof(sign_in));
    if (!s)
        return -ENOMEM;

    *s = (sign_in){.dn = strdup(dn),
                   .password = password,
                   .done = done,
                   .userdata = userdata,
                   .verdict = PASSWORD_UNTOLD};
    if (!s->dn)
        return -ENOMEM;

    r = controller_dial(c, on_opened, on_lost, s, &s->connection);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(s);
    return 0;
}

sign_in *sign_in_free(sign_in *s) {
    if (!s)
        return NULL;

    connection_request_free(s->request);
    connection_free(s->connection);
    free(s->dn);
    free(s);
    return NULL;
}
