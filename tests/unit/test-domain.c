/* SPDX-License-Identifier: Apache-2.0 */

/* The care taken of the agent's account, and of which controllers there are. Nobody is connected
 * to: the port rules these controllers out before a thread would look up their names. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/base/clock.h"
#include "ldap/domain.h"

typedef struct fixture {
    sd_event *event;
    directory_config config;
    domain domain;
} fixture;

static void on_changed(void *userdata) {
    (void) userdata;
}

static int set_up(void **state) {
    fixture *f = calloc(1, sizeof(fixture));

    assert_int_equal(sd_event_new(&f->event), 0);
    f->config = (directory_config){
        .domain = strdup("corp.example"),
        .controllers = calloc(3, sizeof(char *)),
        .bind_dn = strdup("svc-writeback@corp.example"),
    };
    f->config.controllers[0] = strdup("dc1.corp.example:389");
    f->config.controllers[1] = strdup("dc2.corp.example:389");
    assert_int_equal(secret_new("secret", 6, &f->config.bind_password), 0);
    assert_int_equal(domain_init(&f->domain, f->event, &f->config, on_changed, f), 0);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;

    domain_done(&f->domain);
    directory_config_done(&f->config);
    sd_event_unref(f->event);
    free(f);
    return 0;
}

/* ---- The agent's account --------------------------------------------------------------------- */

static const bind_refusal locked_out = {.data = 0x775, .reason = "the account is locked out"},
                          wrong = {
                              .data = 0x52e, .reason = "wrong password", .is_wrong_password = true};

static void refuse(fixture *f, const bind_refusal *refusal) {
    domain_bind_refused(&f->domain, "dc1.corp.example", refusal);
}

static void wrong_credentials_are_tried_once_more_whatever_came_before(void **state) {
    fixture *f = *state;

    for (size_t i = 0; i < 5; i++)
        refuse(f, &locked_out);
    refuse(f, &wrong);
    assert_true(f->domain.refused_until != USEC_INFINITY);
    assert_non_null(strstr(domain_bind_prospect(&f->domain), "tried again after"));

    /* Nor does what comes between make it a third time. */
    refuse(f, &locked_out);
    refuse(f, &wrong);
    assert_true(f->domain.refused_until == USEC_INFINITY);
    assert_non_null(
        strstr(domain_bind_prospect(&f->domain), "until the configuration is reloaded"));
}

static void credentials_that_were_accepted_start_anew(void **state) {
    fixture *f = *state;

    refuse(f, &wrong);
    domain_bind_accepted(&f->domain, NULL);
    assert_true(f->domain.refused_until == 0);
    refuse(f, &wrong);
    assert_true(f->domain.refused_until != USEC_INFINITY);
}

/* ---- Which there are ------------------------------------------------------------------------- */

/* Attempts are counted by slot: two of one slot would count for each other. */
static void controllers_that_come_and_go_never_share_a_slot(void **state) {
    fixture *f = *state;
    domain *d = &f->domain;

    for (unsigned i = 0; i < 3 * DIRECTORY_CONTROLLERS_MAX; i++) {
        discovery_list list = {.n = 1};

        (void) snprintf(list.hosts[0], sizeof(list.hosts[0]), "dc%u.corp.example", 100 + i);
        domain_take_list(d, &list);
        /* The one of before is still there, and calls may hold on to it. */
        assert_in_range(d->n_controllers, 3, 4);
        for (size_t a = 0; a < d->n_controllers; a++)
            for (size_t b = 0; b < a; b++)
                assert_int_not_equal(controller_slot(d->controllers[a]),
                                     controller_slot(d->controllers[b]));
        domain_sweep(d);
        assert_int_equal(d->n_controllers, 3);
    }
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(wrong_credentials_are_tried_once_more_whatever_came_before),
        TEST(credentials_that_were_accepted_start_anew),
        TEST(controllers_that_come_and_go_never_share_a_slot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
