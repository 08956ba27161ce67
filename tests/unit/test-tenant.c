/* SPDX-License-Identifier: Apache-2.0 */
/* What is made of Microsoft Graph's documents: states, their bounds, and what is no document. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/base/clock.h"
#include "agent/tenant.h"

#define P1 "41781fb2-bc02-4b7c-bd55-b576c07bb09d"
#define P2 "eec0eb4f-6444-4f95-aba0-50c24d67f998"
#define OTHER "8c098270-9dd4-4350-9b30-ba4703f3b36b"

static json_t *parse(const char *text) {
    json_t *document = json_loads(text, 0, NULL);

    assert_non_null(document);
    return document;
}

static usec_t at(const char *date) {
    usec_t when = 0;

    assert_int_equal(utc_parse(date, &when), 0);
    return when;
}

static tenant_facts organization(const char *members) {
    _cleanup_(json_freep) json_t *document = NULL;
    _cleanup_free_ char *text = NULL;
    tenant_facts f = {0};
    const char *why;

    assert_true(asprintf(&text, "{\"value\": [{%s}]}", members) > 0);
    document = parse(text);
    assert_int_equal(tenant_read_organization(document, &f.organization, &why), 0);
    f.sync_seen = at("2026-11-26T12:00:00Z");
    return f;
}

static tenant_sync sync_of(const tenant_facts *f, const char *now) {
    return tenant_fold(f, at(now)).sync;
}

static void a_synchronisation_is_late_after_three_hours_and_stale_after_a_day(void **state) {
    tenant_facts f = organization("\"onPremisesSyncEnabled\": true, "
                                  "\"onPremisesLastSyncDateTime\": \"2026-11-26T08:30:00Z\"");

    (void) state;

    assert_int_equal(sync_of(&f, "2026-11-26T08:30:01Z"), TENANT_SYNC_IS_CURRENT);
    assert_int_equal(sync_of(&f, "2026-11-26T11:30:00Z"), TENANT_SYNC_IS_CURRENT);
    assert_int_equal(sync_of(&f, "2026-11-26T11:30:01Z"), TENANT_SYNC_IS_LATE);
    assert_int_equal(sync_of(&f, "2026-11-27T08:30:00Z"), TENANT_SYNC_IS_LATE);
    assert_int_equal(sync_of(&f, "2026-11-27T08:30:01Z"), TENANT_SYNC_IS_STALE);
    /* This host's clock may be behind. */
    assert_int_equal(sync_of(&f, "2020-01-01T00:00:00Z"), TENANT_SYNC_IS_CURRENT);
}

static void a_tenant_without_synchronisation_is_told_from_one_where_it_never_ran(void **state) {
    tenant_facts off = organization("\"onPremisesSyncEnabled\": false, "
                                    "\"onPremisesLastSyncDateTime\": \"2026-11-26T11:59:00Z\"");
    tenant_facts never_enabled = organization("\"onPremisesSyncEnabled\": null");
    tenant_facts never_ran = organization("\"onPremisesSyncEnabled\": true, "
                                          "\"onPremisesLastSyncDateTime\": null");
    _cleanup_free_ char *why =
        tenant_describe_sync(&never_ran, TENANT_SYNC_IS_STALE, at("2026-11-26T12:00:00Z"));

    (void) state;

    assert_int_equal(sync_of(&off, "2026-11-26T12:00:00Z"), TENANT_SYNC_IS_OFF);
    assert_int_equal(sync_of(&never_enabled, "2026-11-26T12:00:00Z"), TENANT_SYNC_IS_OFF);
    assert_int_equal(sync_of(&never_ran, "2026-11-26T12:00:00Z"), TENANT_SYNC_IS_STALE);
    assert_string_equal(why, "directory synchronisation is enabled, and has never run");
}

static void what_was_known_is_kept_for_a_day_but_never_called_late_unseen(void **state) {
    tenant_facts f = organization("\"onPremisesSyncEnabled\": true, "
                                  "\"onPremisesLastSyncDateTime\": \"2026-11-26T11:30:00Z\"");
    tenant_facts late = organization("\"onPremisesSyncEnabled\": true, "
                                     "\"onPremisesLastSyncDateTime\": \"2026-11-26T08:00:00Z\"");
    char failure[] = "graph.example: no";

    (void) state;

    f.sync_why = failure;
    assert_int_equal(sync_of(&f, "2026-11-26T14:30:00Z"), TENANT_SYNC_IS_CURRENT);
    assert_int_equal(sync_of(&f, "2026-11-26T14:30:01Z"), TENANT_SYNC_IS_UNKNOWN);

    late.sync_why = failure;
    assert_int_equal(sync_of(&late, "2026-11-27T12:00:00Z"), TENANT_SYNC_IS_LATE);
    assert_int_equal(sync_of(&late, "2026-11-27T12:00:01Z"), TENANT_SYNC_IS_UNKNOWN);

    f.licence = LICENCE_MISSING;
    f.licence_seen = at("2026-11-26T12:00:00Z");
    f.licence_why = failure;
    assert_int_equal(tenant_fold(&f, at("2026-11-27T12:00:00Z")).licence, LICENCE_MISSING);
    assert_int_equal(tenant_fold(&f, at("2026-11-27T12:00:01Z")).licence, LICENCE_UNKNOWN);
}

static void what_was_never_seen_is_unknown_and_says_why(void **state) {
    char failure[] = "token: answered with status 401: AADSTS700016";
    tenant_facts none = {0}, failed = {.sync_why = failure, .licence_why = failure};
    _cleanup_free_ char *why = NULL, *licence_why = NULL;

    (void) state;

    assert_int_equal(tenant_fold(&none, 1).sync, TENANT_SYNC_IS_UNKNOWN);
    assert_int_equal(tenant_fold(&none, 1).licence, LICENCE_UNKNOWN);
    assert_int_equal(tenant_fold(&failed, 1).sync, TENANT_SYNC_IS_UNKNOWN);
    why = tenant_describe_sync(&failed, TENANT_SYNC_IS_UNKNOWN, 1);
    licence_why = tenant_describe_licence(&failed, LICENCE_UNKNOWN);
    assert_string_equal(why, failure);
    assert_string_equal(licence_why, failure);
}

static licence licence_of(const char *skus) {
    _cleanup_(json_freep) json_t *page = NULL;
    _cleanup_free_ char *text = NULL;
    licence found = LICENCE_UNKNOWN;
    const char *why;

    assert_true(asprintf(&text, "{\"value\": [%s]}", skus) > 0);
    page = parse(text);
    assert_int_equal(tenant_read_skus(page, &found, &why), 0);
    return found;
}

#define SKU(status, plan)                                                                          \
    "{\"capabilityStatus\": \"" status "\", \"servicePlans\": [{\"servicePlanId\": \"" OTHER       \
    "\"}, {\"servicePlanId\": \"" plan "\"}]}"

static void a_licence_is_a_plan_of_p1_or_p2_in_a_subscription_in_force(void **state) {
    (void) state;

    assert_int_equal(licence_of(SKU("Enabled", P1)), LICENCE_HELD);
    assert_int_equal(licence_of(SKU("Warning", P2)), LICENCE_HELD);
    assert_int_equal(licence_of(SKU("Enabled", OTHER) ", " SKU("Enabled", P1)), LICENCE_HELD);
    assert_int_equal(licence_of(SKU("Suspended", P1)), LICENCE_MISSING);
    assert_int_equal(licence_of(SKU("Deleted", P1) ", " SKU("LockedOut", P2)), LICENCE_MISSING);
    assert_int_equal(licence_of(SKU("Enabled", OTHER)), LICENCE_MISSING);
    assert_int_equal(licence_of(""), LICENCE_MISSING);
}

static void a_malformed_answer_is_refused_and_sets_nothing(void **state) {
    static const char *const organizations[] = {
        "{}",
        "[]",
        "{\"value\": []}",
        "{\"value\": [7]}",
        "{\"value\": [{\"onPremisesSyncEnabled\": \"yes\"}]}",
        "{\"value\": [{\"onPremisesSyncEnabled\": true, \"onPremisesLastSyncDateTime\": 7}]}",
        "{\"value\": [{\"onPremisesSyncEnabled\": true, "
        "\"onPremisesLastSyncDateTime\": \"yesterday\"}]}",
        "{\"value\": [{\"onPremisesSyncEnabled\": true, "
        "\"onPremisesLastSyncDateTime\": \"2026-11-26T08:30:00\"}]}",
    };
    static const char *const pages[] = {
        "{}",
        "{\"value\": 7}",
        "{\"value\": [7]}",
        "{\"value\": [{\"capabilityStatus\": 7, \"servicePlans\": []}]}",
        "{\"value\": [{\"capabilityStatus\": \"Enabled\"}]}",
    };

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(organizations); i++) {
        _cleanup_(json_freep) json_t *document = parse(organizations[i]);
        tenant_organization told = {0};
        const char *why = NULL;

        assert_true(tenant_read_organization(document, &told, &why) < 0);
        assert_non_null(why);
        assert_false(told.sync_enabled);
    }
    for (size_t i = 0; i < ELEMENTSOF(pages); i++) {
        _cleanup_(json_freep) json_t *page = parse(pages[i]);
        licence found = LICENCE_UNKNOWN;
        const char *why = NULL;

        assert_true(tenant_read_skus(page, &found, &why) < 0);
        assert_non_null(why);
        assert_int_equal(found, LICENCE_UNKNOWN);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_synchronisation_is_late_after_three_hours_and_stale_after_a_day),
        cmocka_unit_test(a_tenant_without_synchronisation_is_told_from_one_where_it_never_ran),
        cmocka_unit_test(what_was_known_is_kept_for_a_day_but_never_called_late_unseen),
        cmocka_unit_test(what_was_never_seen_is_unknown_and_says_why),
        cmocka_unit_test(a_licence_is_a_plan_of_p1_or_p2_in_a_subscription_in_force),
        cmocka_unit_test(a_malformed_answer_is_refused_and_sets_nothing),
    };

    return cmocka_run_group_tests_name("tenant", tests, NULL, NULL);
}
