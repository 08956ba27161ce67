/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the answers of DNS come to: the list of controllers, and what is wrong. Pure: no network, no
 * clock, no randomness of its own; nothing here allocates or logs. */

#include "ldap/discovery_records.h"

/* How many are told of: those of the site and some more. An agent need not be connected to every
 * controller of a large domain. */
#define DISCOVERY_HOSTS_MAX 8

typedef struct discovery_list {
    char hosts[DISCOVERY_HOSTS_MAX][SRV_TARGET_MAX]; /* in order of preference */
    size_t n;
} discovery_list;

/* In the order in which their answers are preferred. */
typedef enum discovery_question {
    QUESTION_PDC,
    QUESTION_SITE,
    QUESTION_DOMAIN,
    QUESTION_MAX,
} discovery_question;

typedef struct discovery_answers {
    srv_answer answers[QUESTION_MAX];
    int errors[QUESTION_MAX]; /* of <netdb.h>; 0: none, or not asked */
} discovery_answers;

/* Takes into `known` what was heard. An answer that is as before keeps the order that was drawn for
 * it. Where no answer came, that of before stays; a site or a PDC emulator of which DNS says that
 * it has no records has none; of the domain itself that is not believed, since there is no other
 * place to look. */
void discovery_take(discovery_answers *known, const discovery_answers *heard, srv_random_fn random,
                    void *userdata);

void discovery_make_list(const discovery_answers *known, discovery_list *ret);
bool discovery_list_equal(const discovery_list *a, const discovery_list *b);

/* What is wrong with an inquiry: a question was not answered, or there are no records at all; that
 * a site or the PDC emulator has none is an answer. Returns a sentence without a dot, static, and
 * the question that it is about; or NULL where nothing is. */
const char *discovery_problem(const discovery_answers *heard, discovery_question *ret_question);
