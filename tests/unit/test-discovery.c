/* SPDX-License-Identifier: Apache-2.0 */

/* Which controllers DNS tells of, in which order, for how long; in which site this host is; and
 * when what failed is tried again. */

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ldap/discovery_list.h"
#include "ldap/retry.h"
#include "ldap/site.h"

/* ---- DNS messages ---------------------------------------------------------------------------- */

typedef struct message {
    uint8_t bytes[2048];
    size_t size;
} message;

static void put16(message *m, unsigned value) {
    m->bytes[m->size++] = (uint8_t) (value >> 8);
    m->bytes[m->size++] = (uint8_t) value;
}

static void put_name(message *m, const char *name) {
    while (*name) {
        size_t n = strcspn(name, ".");

        m->bytes[m->size++] = (uint8_t) n;
        memcpy(m->bytes + m->size, name, n);
        m->size += n;
        name += n + (name[n] == '.');
    }
    m->bytes[m->size++] = 0;
}

static void begin_message(message *m, unsigned answers) {
    *m = (message){};
    put16(m, 4711);
    put16(m, 0x8180);
    put16(m, 1);
    put16(m, answers);
    put16(m, 0);
    put16(m, 0);
    put_name(m, "_ldap._tcp.dc._msdcs.corp.example");
    put16(m, ns_t_srv);
    put16(m, ns_c_in);
}

static void put_record(message *m, uint32_t ttl, unsigned priority, unsigned weight, unsigned port,
                       const char *target) {
    size_t length_at;

    put16(m, 0xc00c); /* the question's name */
    put16(m, ns_t_srv);
    put16(m, ns_c_in);
    put16(m, ttl >> 16);
    put16(m, ttl & 0xffff);
    length_at = m->size;
    put16(m, 0);
    put16(m, priority);
    put16(m, weight);
    put16(m, port);
    put_name(m, target);
    m->bytes[length_at] = (uint8_t) ((m->size - length_at - 2) >> 8);
    m->bytes[length_at + 1] = (uint8_t) (m->size - length_at - 2);
}

static void records_are_read_with_the_shortest_ttl(void **state) {
    srv_answer a;
    message m;

    (void) state;
    begin_message(&m, 2);
    put_record(&m, 900, 0, 100, 389, "dc1.corp.example");
    put_record(&m, 600, 1, 50, 389, "dc2.corp.example");

    assert_int_equal(srv_parse(m.bytes, m.size, &a), 0);
    assert_int_equal(a.n, 2);
    assert_int_equal(a.ttl, 600);
    assert_string_equal(a.records[0].target, "dc1.corp.example");
    assert_int_equal(a.records[0].weight, 100);
    assert_string_equal(a.records[1].target, "dc2.corp.example");
    assert_int_equal(a.records[1].priority, 1);
}

static void what_is_no_writable_controller_is_passed_over(void **state) {
    srv_answer a;
    message m;

    (void) state;
    begin_message(&m, 5);
    put_record(&m, 1, 0, 100, 3268, "gc.corp.example");
    put_record(&m, 1, 0, 100, 3269, "gc.corp.example");
    put_record(&m, 1, 0, 0, 389, "");
    put_record(&m, 1, 0, 0, 389, "dc1 .corp.example");
    put_record(&m, 900, 0, 100, 389, "dc1.corp.example");

    assert_int_equal(srv_parse(m.bytes, m.size, &a), 0);
    assert_int_equal(a.n, 1);
    assert_int_equal(a.ttl, 900);
}

static void a_message_cut_anywhere_does_no_harm(void **state) {
    srv_answer a;
    message m;

    (void) state;
    begin_message(&m, 2);
    put_record(&m, 900, 0, 100, 389, "dc1.corp.example");
    put_record(&m, 900, 0, 100, 389, "dc2.corp.example");

    for (size_t size = 0; size < m.size; size++) {
        _cleanup_free_ uint8_t *cut = malloc(size + 1);

        memcpy(cut, m.bytes, size);
        assert_int_equal(srv_parse(cut, size, &a), -EBADMSG);
    }
}

static void an_answer_has_room_for_no_more_than_its_records(void **state) {
    srv_answer a;
    message m;

    (void) state;
    begin_message(&m, SRV_RECORDS_MAX + 5);
    for (size_t i = 0; i < SRV_RECORDS_MAX + 5; i++)
        put_record(&m, 900, 0, 0, 389, "a.b");

    assert_int_equal(srv_parse(m.bytes, m.size, &a), 0);
    assert_int_equal(a.n, SRV_RECORDS_MAX);
}

/* ---- Order ----------------------------------------------------------------------------------- */

/* xorshift32, so that the draws are the same in every run. */
static uint32_t next_random(void *userdata) {
    uint32_t *x = userdata;

    *x ^= *x << 13;
    *x ^= *x >> 17;
    *x ^= *x << 5;
    return *x;
}

static srv_answer answer_of(size_t n, const srv_record *records) {
    srv_answer a = {.n = n};

    memcpy(a.records, records, n * sizeof(srv_record));
    return a;
}

#define DRAWS 20000

/* How often, of DRAWS, each target came first. */
static void count_first(const srv_answer *from, unsigned counts[static 4]) {
    uint32_t seed = 0x2782;

    memset(counts, 0, 4 * sizeof(unsigned));
    for (unsigned i = 0; i < DRAWS; i++) {
        srv_answer a = *from;

        srv_order(&a, next_random, &seed);
        counts[a.records[0].target[2] - '1']++;
    }
}

static void assert_share(unsigned count, double share) {
    assert_in_range(count, (unsigned) ((share - 0.02) * DRAWS),
                    (unsigned) ((share + 0.02) * DRAWS));
}

static void weights_are_shares_of_the_first_place(void **state) {
    const srv_answer a =
        answer_of(3, (srv_record[]){{"dc1", 0, 60, 389}, {"dc2", 0, 30, 389}, {"dc3", 0, 10, 389}});
    unsigned counts[4];

    (void) state;
    count_first(&a, counts);
    assert_share(counts[0], 0.6);
    assert_share(counts[1], 0.3);
    assert_share(counts[2], 0.1);
}

static void without_weights_all_are_alike(void **state) {
    const srv_answer a = answer_of(
        4, (srv_record[]){
               {"dc1", 0, 0, 389}, {"dc2", 0, 0, 389}, {"dc3", 0, 0, 389}, {"dc4", 0, 0, 389}});
    unsigned counts[4];

    (void) state;
    count_first(&a, counts);
    for (size_t i = 0; i < 4; i++)
        assert_share(counts[i], 0.25);
}

/* RFC 2782: "a very small chance of being selected". */
static void no_weight_beside_others_is_a_very_small_chance(void **state) {
    const srv_answer a = answer_of(2, (srv_record[]){{"dc1", 0, 0, 389}, {"dc2", 0, 100, 389}});
    unsigned counts[4];

    (void) state;
    count_first(&a, counts);
    assert_in_range(counts[0], 1, DRAWS / 40);
}

static void a_lower_priority_always_comes_first_and_nobody_is_lost(void **state) {
    const srv_answer from = answer_of(4, (srv_record[]){{"dc1", 20, 65535, 389},
                                                        {"dc2", 10, 1, 389},
                                                        {"dc3", 10, 65535, 389},
                                                        {"dc4", 0, 0, 389}});
    uint32_t seed = 1;

    (void) state;
    for (unsigned i = 0; i < 1000; i++) {
        srv_answer a = from;

        srv_order(&a, next_random, &seed);
        assert_string_equal(a.records[0].target, "dc4");
        assert_int_equal(a.records[1].priority, 10);
        assert_int_equal(a.records[2].priority, 10);
        assert_string_equal(a.records[3].target, "dc1");
        assert_true(srv_equal(&a, &from));
    }
}

static void another_weight_or_another_name_is_another_answer(void **state) {
    const srv_answer a = answer_of(2, (srv_record[]){{"dc1", 0, 1, 389}, {"dc2", 0, 1, 389}}),
                     turned = answer_of(2, (srv_record[]){{"DC2", 0, 1, 389}, {"dc1", 0, 1, 389}}),
                     weight = answer_of(2, (srv_record[]){{"dc1", 0, 1, 389}, {"dc2", 0, 2, 389}}),
                     name = answer_of(2, (srv_record[]){{"dc1", 0, 1, 389}, {"dc3", 0, 1, 389}}),
                     fewer = answer_of(1, (srv_record[]){{"dc1", 0, 1, 389}});

    (void) state;
    assert_true(srv_equal(&a, &turned));
    assert_false(srv_equal(&a, &weight));
    assert_false(srv_equal(&a, &name));
    assert_false(srv_equal(&a, &fewer));
}

/* ---- What the answers come to ------------------------------------------------------------------ */

static const srv_record dc1 = {"dc1.corp.example", 0, 100, 389},
                        dc2 = {"dc2.corp.example", 0, 100, 389},
                        dc3 = {"dc3.corp.example", 0, 100, 389};

static void assert_listed(const discovery_answers *known, const char *hosts) {
    char text[512] = "";
    discovery_list list;

    discovery_make_list(known, &list);
    for (size_t i = 0; i < list.n; i++)
        (void) snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%.3s", i ? " " : "",
                        list.hosts[i]);
    assert_string_equal(text, hosts);
}

/* Of the PDC emulator, of the site, and of the domain. */
static discovery_answers three_answers(void) {
    return (discovery_answers){
        .answers = {answer_of(1, &dc3), answer_of(1, &dc2), answer_of(1, &dc1)}};
}

static void a_site_or_a_pdc_without_records_is_forgotten(void **state) {
    static const int none[] = {HOST_NOT_FOUND, NO_DATA};
    uint32_t seed = 7;

    (void) state;
    for (size_t i = 0; i < ELEMENTSOF(none); i++) {
        discovery_answers known = {}, heard = three_answers();

        discovery_take(&known, &heard, next_random, &seed);
        assert_listed(&known, "dc3 dc2 dc1");

        heard.answers[QUESTION_SITE] = (srv_answer){};
        heard.errors[QUESTION_SITE] = none[i];
        discovery_take(&known, &heard, next_random, &seed);
        assert_listed(&known, "dc3 dc1");

        heard.answers[QUESTION_PDC] = (srv_answer){};
        heard.errors[QUESTION_PDC] = none[i];
        discovery_take(&known, &heard, next_random, &seed);
        assert_listed(&known, "dc1");
    }
}

static void without_an_answer_what_is_known_stays(void **state) {
    discovery_answers known = {}, heard = three_answers();
    uint32_t seed = 7;

    (void) state;
    discovery_take(&known, &heard, next_random, &seed);
    heard = (discovery_answers){.errors = {TRY_AGAIN, NO_RECOVERY, HOST_NOT_FOUND}};
    discovery_take(&known, &heard, next_random, &seed);
    assert_listed(&known, "dc3 dc2 dc1");
}

static void the_question_that_failed_is_told(void **state) {
    discovery_answers heard = three_answers();
    discovery_question q;

    (void) state;
    assert_null(discovery_problem(&heard, &q));

    heard.answers[QUESTION_SITE] = (srv_answer){};
    heard.errors[QUESTION_SITE] = HOST_NOT_FOUND;
    assert_null(discovery_problem(&heard, &q));

    heard.errors[QUESTION_SITE] = TRY_AGAIN;
    assert_string_equal(discovery_problem(&heard, &q), "no name server answered");
    assert_int_equal(q, QUESTION_SITE);

    heard.errors[QUESTION_DOMAIN] = NO_RECOVERY;
    assert_string_equal(discovery_problem(&heard, &q), "the name server gave no proper answer");
    assert_int_equal(q, QUESTION_DOMAIN);

    heard = (discovery_answers){.errors = {HOST_NOT_FOUND, HOST_NOT_FOUND, HOST_NOT_FOUND}};
    assert_string_equal(discovery_problem(&heard, &q), "the name does not exist");
    assert_int_equal(q, QUESTION_DOMAIN);

    heard = (discovery_answers){};
    assert_string_equal(discovery_problem(&heard, &q), "it names no writable controller");
}

/* ---- Time ------------------------------------------------------------------------------------ */

static void a_ttl_is_kept_between_a_minute_and_an_hour(void **state) {
    (void) state;
    assert_int_equal(srv_lifetime(0), USEC_PER_MINUTE);
    assert_int_equal(srv_lifetime(59), USEC_PER_MINUTE);
    assert_int_equal(srv_lifetime(900), 15 * USEC_PER_MINUTE);
    assert_int_equal(srv_lifetime(3601), USEC_PER_HOUR);
    assert_int_equal(srv_lifetime(UINT32_MAX), USEC_PER_HOUR);
}

static void a_negative_answer_is_kept_shorter_and_then_longer(void **state) {
    (void) state;
    assert_int_equal(srv_negative_lifetime(1), 15 * USEC_PER_SEC);
    assert_int_equal(srv_negative_lifetime(2), 30 * USEC_PER_SEC);
    assert_int_equal(srv_negative_lifetime(3), USEC_PER_MINUTE);
    for (unsigned n = 1; n < 100; n++) {
        assert_true(srv_negative_lifetime(n) <= srv_negative_lifetime(n + 1));
        assert_true(srv_negative_lifetime(n) <= 5 * USEC_PER_MINUTE);
    }
}

static void a_controller_is_tried_again_later_and_later_but_every_minute(void **state) {
    uint32_t seed = 7;

    (void) state;
    for (unsigned n = 0; n < 100; n++) {
        usec_t middle = (n < 6 ? 1u << n : 60) * USEC_PER_SEC;
        usec_t pause = retry_controller(n, next_random(&seed));

        assert_in_range(pause, middle * 3 / 4, middle * 5 / 4);
    }
    assert_int_not_equal(retry_controller(9, 1), retry_controller(9, 1000));
}

/* AD's default: an account is locked by wrong passwords within 30 minutes. */
static void wrong_credentials_never_count_together_and_end(void **state) {
    uint32_t seed = 7;

    (void) state;
    for (unsigned n = 1; n < RETRY_WRONG_CREDENTIALS_MAX; n++)
        for (unsigned i = 0; i < 1000; i++)
            assert_in_range(retry_account(true, n, next_random(&seed)), 31 * USEC_PER_MINUTE,
                            46 * USEC_PER_MINUTE);
    assert_true(retry_account(true, RETRY_WRONG_CREDENTIALS_MAX, 0) == USEC_INFINITY);
    assert_true(retry_account(true, RETRY_WRONG_CREDENTIALS_MAX + 1, 0) == USEC_INFINITY);
}

static void a_state_that_mends_itself_is_looked_at_slowly_and_for_ever(void **state) {
    uint32_t seed = 7;

    (void) state;
    for (unsigned n = 1; n < 1000; n++)
        assert_in_range(retry_account(false, n, next_random(&seed)), 5 * USEC_PER_MINUTE,
                        6 * USEC_PER_MINUTE);
}

/* ---- Site ------------------------------------------------------------------------------------ */

static void every_subnet_that_holds_the_address_is_asked_for(void **state) {
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    struct sockaddr nothing = {.sa_family = AF_UNIX};
    _cleanup_free_ char *of_v4 = NULL, *of_v6 = NULL, *of_mapped = NULL;

    (void) state;
    assert_int_equal(inet_pton(AF_INET, "10.1.200.7", &v4.sin_addr), 1);
    of_v4 = site_subnet_filter((const struct sockaddr *) &v4);
    assert_non_null(strstr(of_v4, "(&(objectClass=subnet)(|(cn=10.1.200.7/32)(cn=10.1.200.6/31)"));
    assert_non_null(strstr(of_v4, "(cn=10.1.200.0/24)"));
    assert_non_null(strstr(of_v4, "(cn=10.1.192.0/20)"));
    assert_non_null(strstr(of_v4, "(cn=10.0.0.0/8)"));
    assert_non_null(strstr(of_v4, "(cn=0.0.0.0/0)))"));

    assert_int_equal(inet_pton(AF_INET6, "2001:db8:1:2::7", &v6.sin6_addr), 1);
    of_v6 = site_subnet_filter((const struct sockaddr *) &v6);
    assert_non_null(strstr(of_v6, "(cn=2001:db8:1:2::/64)"));
    assert_non_null(strstr(of_v6, "(cn=2001:db8::/32)"));

    assert_int_equal(inet_pton(AF_INET6, "::ffff:10.1.200.7", &v6.sin6_addr), 1);
    of_mapped = site_subnet_filter((const struct sockaddr *) &v6);
    assert_string_equal(of_mapped, of_v4);

    assert_null(site_subnet_filter(&nothing));
}

static void a_site_is_read_out_of_its_dn(void **state) {
    static const char *const none[] = {
        "", "CN=", "CN=,CN=Sites", "OU=Berlin,CN=Sites", "CN=Ber\\,lin,CN=Sites", "CN=Berlin"};
    _cleanup_free_ char *site =
        site_from_dn("CN=Berlin-2,CN=Sites,CN=Configuration,DC=corp,DC=example");

    (void) state;
    assert_string_equal(site, "Berlin-2");
    for (size_t i = 0; i < ELEMENTSOF(none); i++)
        assert_null(site_from_dn(none[i]));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_read_with_the_shortest_ttl),
        cmocka_unit_test(what_is_no_writable_controller_is_passed_over),
        cmocka_unit_test(a_message_cut_anywhere_does_no_harm),
        cmocka_unit_test(an_answer_has_room_for_no_more_than_its_records),
        cmocka_unit_test(weights_are_shares_of_the_first_place),
        cmocka_unit_test(without_weights_all_are_alike),
        cmocka_unit_test(no_weight_beside_others_is_a_very_small_chance),
        cmocka_unit_test(a_lower_priority_always_comes_first_and_nobody_is_lost),
        cmocka_unit_test(another_weight_or_another_name_is_another_answer),
        cmocka_unit_test(a_site_or_a_pdc_without_records_is_forgotten),
        cmocka_unit_test(without_an_answer_what_is_known_stays),
        cmocka_unit_test(the_question_that_failed_is_told),
        cmocka_unit_test(a_ttl_is_kept_between_a_minute_and_an_hour),
        cmocka_unit_test(a_negative_answer_is_kept_shorter_and_then_longer),
        cmocka_unit_test(a_controller_is_tried_again_later_and_later_but_every_minute),
        cmocka_unit_test(wrong_credentials_never_count_together_and_end),
        cmocka_unit_test(a_state_that_mends_itself_is_looked_at_slowly_and_for_ever),
        cmocka_unit_test(every_subnet_that_holds_the_address_is_asked_for),
        cmocka_unit_test(a_site_is_read_out_of_its_dn),
    };

    return cmocka_run_group_tests_name("discovery", tests, NULL, NULL);
}
