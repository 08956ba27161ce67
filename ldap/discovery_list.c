/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/discovery_list.h"

#include <netdb.h>
#include <string.h>
#include <strings.h>

static bool is_listed(const discovery_list *list, const char *host) {
    for (size_t i = 0; i < list->n; i++)
        if (strcasecmp(list->hosts[i], host) == 0)
            return true;
    return false;
}

void discovery_make_list(const discovery_answers *known, discovery_list *ret) {
    assert(known);
    assert(ret);

    *ret = (discovery_list){};
    for (discovery_question q = 0; q < QUESTION_MAX; q++)
        for (size_t i = 0; i < known->answers[q].n && ret->n < DISCOVERY_HOSTS_MAX; i++) {
            const char *host = known->answers[q].records[i].target;

            if (!is_listed(ret, host))
                memcpy(ret->hosts[ret->n++], host, strlen(host) + 1);
        }
}

bool discovery_list_equal(const discovery_list *a, const discovery_list *b) {
    assert(a);
    assert(b);

    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (strcasecmp(a->hosts[i], b->hosts[i]) != 0)
            return false;
    return true;
}

/* Whether there are none, and DNS ought to know. */
static bool has_none(const discovery_answers *heard, discovery_question q) {
    return heard->errors[q] == HOST_NOT_FOUND || heard->errors[q] == NO_DATA;
}

void discovery_take(discovery_answers *known, const discovery_answers *heard, srv_random_fn random,
                    void *userdata) {
    assert(known);
    assert(heard);

    for (discovery_question q = 0; q < QUESTION_MAX; q++) {
        if (q != QUESTION_DOMAIN && has_none(heard, q))
            known->answers[q] = (srv_answer){};
        if (heard->errors[q] != 0 || srv_equal(&heard->answers[q], &known->answers[q]))
            continue;

        known->answers[q] = heard->answers[q];
        srv_order(&known->answers[q], random, userdata);
    }
}

static const char *describe(int error) {
    switch (error) {
    case HOST_NOT_FOUND:
        return "the name does not exist";
    case TRY_AGAIN:
        return "no name server answered";
    case NO_RECOVERY:
        return "the name server gave no proper answer";
    default:
        return "it names no writable controller";
    }
}

const char *discovery_problem(const discovery_answers *heard, discovery_question *ret_question) {
    bool is_empty = true;

    assert(heard);
    assert(ret_question);

    /* From the domain on, which matters most. */
    for (discovery_question q = QUESTION_MAX; q-- > 0;) {
        *ret_question = q;
        if (heard->errors[q] == TRY_AGAIN || heard->errors[q] == NO_RECOVERY)
            return describe(heard->errors[q]);
        is_empty = is_empty && heard->answers[q].n == 0;
    }

    *ret_question = QUESTION_DOMAIN;
    return is_empty ? describe(heard->errors[QUESTION_DOMAIN]) : NULL;
}
