/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent makes of its parts: overall status, readiness, the blade, document, metrics, and
 * the one line for systemd. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "health/blade.h"
#include "health/document.h"
#include "health/state.h"
#include "tests/unit/captured_log.h"

#define NOW (1700000000 * USEC_PER_SEC)
/* How long this host had been up then. */
#define UPTIME USEC_PER_DAY

static moment at(usec_t date) {
    return (moment){.date = date, .uptime = UPTIME + date - NOW};
}

static int report_at(components *all, const health_component *told, usec_t date) {
    const moment now = at(date);

    return components_report(all, told, &now);
}

/* When the next may be called well, as a date. */
static usec_t settle_at(components *all, usec_t date) {
    const moment now = at(date);
    usec_t next = components_settle(all, &now);

    return next == 0 ? 0 : next - UPTIME + NOW;
}

static void report(components *all, health_component_type type, const char *name,
                   const char *instance, health_status status) {
    const health_component told = {
        .type = type,
        .name = name,
        .instance = instance,
        .status = status,
        .output = "why",
        .is_unreached = type == COMPONENT_RELAY && status == HEALTH_FAIL,
    };

    assert_int_equal(report_at(all, &told, NOW), 0);
}

/* ---- The fold -------------------------------------------------------------------------------- */

/* One relay beside another, two controllers of one domain, one of another, and one of each of the
 * rest that differ in what they mean. */
typedef enum part { R1, R2, A1, A2, B1, ISSUER, LEDGER, SYNC, LICENCE, PARTS } part;

static const struct {
    health_component_type type;
    const char *name;
    const char *instance;
} parts[PARTS] = {
    [R1] = {COMPONENT_RELAY, "relay:primary", ""},
    [R2] = {COMPONENT_RELAY, "relay:second", ""},
    [A1] = {COMPONENT_CONTROLLER, "directory:a.example", "dc1"},
    [A2] = {COMPONENT_CONTROLLER, "directory:a.example", "dc2"},
    [B1] = {COMPONENT_CONTROLLER, "directory:b.example", "dc1"},
    [ISSUER] = {COMPONENT_ISSUER, "issuer:entra", ""},
    [LEDGER] = {COMPONENT_LEDGER, "ledger", ""},
    [SYNC] = {COMPONENT_SYNC, "sync", ""},
    [LICENCE] = {COMPONENT_LICENCE, "licence", ""},
};

/* Known to work, if not well. */
static bool is_known(health_status status) {
    return status == HEALTH_PASS || status == HEALTH_WARN;
}

static void every_combination_folds_to_what_the_contract_says(void **state) {
    health_status s[PARTS] = {HEALTH_PASS};
    component *c[PARTS];
    components all = {0};

    (void) state;

    for (part p = 0; p < PARTS; p++) {
        report(&all, parts[p].type, parts[p].name, parts[p].instance, HEALTH_PASS);
        c[p] = components_find(&all, parts[p].name, parts[p].instance);
    }

    for (unsigned long combination = 0; combination < 1ul << (2 * PARTS); combination++) {
        bool serves, is_tried, all_well = true;
        blade b;

        for (part p = 0; p < PARTS; p++) {
            s[p] = (health_status) (combination >> (2 * p) & 3);
            c[p]->status = s[p];
            c[p]->is_untried = s[p] == HEALTH_UNKNOWN && p != SYNC && p != LICENCE;
            if (s[p] != HEALTH_PASS && !(s[p] == HEALTH_UNKNOWN && (p == SYNC || p == LICENCE)))
                all_well = false;
        }
        b = blade_fold(&all);

        serves = (s[R1] != HEALTH_FAIL || s[R2] != HEALTH_FAIL) &&
                 (s[A1] != HEALTH_FAIL || s[A2] != HEALTH_FAIL) && s[B1] != HEALTH_FAIL &&
                 s[ISSUER] != HEALTH_FAIL && s[LEDGER] != HEALTH_FAIL;
        is_tried = (is_known(s[R1]) || is_known(s[R2])) && (is_known(s[A1]) || is_known(s[A2])) &&
                   is_known(s[B1]) && is_known(s[ISSUER]);
        assert_int_equal(b.ready, serves && is_tried);

        if (s[LICENCE] == HEALTH_FAIL)
            assert_int_equal(b.state, BLADE_NOT_ENABLED);
        else if (!serves || !is_tried || s[SYNC] == HEALTH_FAIL)
            assert_int_equal(b.state, BLADE_TEMPORARILY_UNAVAILABLE);
        else
            assert_int_equal(b.state, BLADE_UP_AND_RUNNING);

        if (b.state != BLADE_UP_AND_RUNNING)
            assert_int_equal(b.overall, HEALTH_FAIL);
        else
            assert_int_equal(b.overall, all_well ? HEALTH_PASS : HEALTH_WARN);
    }

    components_done(&all);
}

static void without_relay_or_directory_writeback_is_not_configured(void **state) {
    components all = {0};

    (void) state;

    assert_int_equal(blade_fold(&all).state, BLADE_NOT_CONFIGURED);
    assert_false(blade_fold(&all).ready);

    report(&all, COMPONENT_RELAY, "relay:primary", "", HEALTH_PASS);
    assert_int_equal(blade_fold(&all).state, BLADE_NOT_CONFIGURED);
    components_forget(&all, "relay:primary", "");

    report(&all, COMPONENT_CONTROLLER, "directory:a.example", "dc1", HEALTH_PASS);
    assert_int_equal(blade_fold(&all).state, BLADE_NOT_CONFIGURED);
    assert_int_equal(blade_fold(&all).overall, HEALTH_FAIL);

    report(&all, COMPONENT_RELAY, "relay:primary", "", HEALTH_PASS);
    assert_int_equal(blade_fold(&all).state, BLADE_UP_AND_RUNNING);

    components_done(&all);
}

static void each_failure_is_of_the_right_group(void **state) {
    components all = {0};

    (void) state;

    for (part p = 0; p < PARTS; p++)
        report(&all, parts[p].type, parts[p].name, parts[p].instance, HEALTH_FAIL);

    for (size_t i = 0; i < all.n; i++) {
        blade_reason reason = blade_reason_of(&all, all.items[i]);

        if (all.items[i]->type == COMPONENT_ISSUER)
            assert_int_equal(reason, BLADE_REASON_NONE); /* it follows from the relays */
        else if (all.items[i]->type == COMPONENT_SYNC)
            assert_int_equal(reason, BLADE_REASON_SYNC);
        else if (all.items[i]->type == COMPONENT_LICENCE)
            assert_int_equal(reason, BLADE_REASON_NOT_IN_USE);
        else
            assert_int_equal(reason, BLADE_REASON_WRITEBACK);
    }

    /* An alternative that works takes the reason away, and a controller of another domain is none.
     */
    report(&all, COMPONENT_CONTROLLER, "directory:a.example", "dc2", HEALTH_WARN);
    assert_int_equal(blade_reason_of(&all, components_find(&all, "directory:a.example", "dc1")),
                     BLADE_REASON_NONE);
    assert_int_equal(blade_reason_of(&all, components_find(&all, "directory:b.example", "dc1")),
                     BLADE_REASON_WRITEBACK);

    components_done(&all);
}

static void a_root_cause_hides_what_follows_from_it(void **state) {
    const component *relay, *controller, *issuer;
    components all = {0};

    (void) state;

    report(&all, COMPONENT_RELAY, "relay:primary", "", HEALTH_FAIL);
    report(&all, COMPONENT_CONTROLLER, "directory:a.example", "dc1", HEALTH_FAIL);
    report(&all, COMPONENT_ISSUER, "issuer:entra", "", HEALTH_FAIL);
    relay = components_find(&all, "relay:primary", "");
    controller = components_find(&all, "directory:a.example", "dc1");
    issuer = components_find(&all, "issuer:entra", "");

    /* No way out to the cloud: the relay is told, the issuer follows, the directory is another. */
    assert_ptr_equal(blade_root_of(&all, issuer), relay);
    assert_null(blade_root_of(&all, relay));
    assert_null(blade_root_of(&all, controller));
    assert_int_equal(blade_reason_of(&all, issuer), BLADE_REASON_NONE);
    assert_false(blade_needs_cure(&all, issuer));
    assert_true(blade_needs_cure(&all, relay));

    /* A relay that answered, and refused, was reached: the way out is none of the reasons. */
    assert_int_equal(report_at(&all,
                               &(const health_component){
                                   .type = COMPONENT_RELAY,
                                   .name = "relay:refusing",
                                   .instance = "",
                                   .status = HEALTH_FAIL,
                                   .event = OUTCOME_RELAY_LISTENER_ERROR,
                               },
                               NOW),
                     0);
    assert_null(blade_root_of(&all, issuer));
    assert_true(blade_needs_cure(&all, issuer));
    components_forget(&all, "relay:refusing", "");
    assert_ptr_equal(blade_root_of(&all, issuer), relay);

    /* An issuer that fails while a relay works fails for itself. */
    report(&all, COMPONENT_RELAY, "relay:second", "", HEALTH_PASS);
    assert_null(blade_root_of(&all, issuer));
    assert_int_equal(blade_reason_of(&all, issuer), BLADE_REASON_WRITEBACK);

    /* A wrong clock makes everyone's certificates and tokens look wrong. */
    report(&all, COMPONENT_CLOCK, "clock", "", HEALTH_FAIL);
    assert_string_equal(blade_root_of(&all, controller)->name, "clock");
    assert_string_equal(blade_root_of(&all, issuer)->name, "clock");
    assert_false(blade_fold(&all).ready);
    assert_int_equal(blade_fold(&all).state, BLADE_TEMPORARILY_UNAVAILABLE);

    components_done(&all);
}

/* Whose keys are still known only warns; of Graph's checks one cure is enough, or none. */
static void what_cannot_be_asked_without_a_way_out_follows_from_the_relay(void **state) {
    health_component graph = {
        .type = COMPONENT_SYNC,
        .name = "sync",
        .instance = "",
        .status = HEALTH_UNKNOWN,
        .event = OUTCOME_GRAPH_UNREACHABLE,
    };
    const component *relay, *issuer, *sync;
    components all = {0};

    (void) state;

    report(&all, COMPONENT_RELAY, "relay:primary", "", HEALTH_FAIL);
    report(&all, COMPONENT_ISSUER, "issuer:entra", "", HEALTH_WARN);
    assert_int_equal(report_at(&all, &graph, NOW), 0);
    relay = components_find(&all, "relay:primary", "");
    issuer = components_find(&all, "issuer:entra", "");
    sync = components_find(&all, "sync", "");

    assert_ptr_equal(blade_root_of(&all, issuer), relay);
    assert_false(blade_needs_cure(&all, issuer));
    assert_ptr_equal(blade_root_of(&all, sync), relay);
    assert_false(blade_needs_cure(&all, sync));

    /* That Graph refuses the agent is another matter. */
    graph.event = OUTCOME_GRAPH_REFUSED;
    assert_int_equal(report_at(&all, &graph, NOW), 0);
    assert_null(blade_root_of(&all, sync));
    assert_true(blade_needs_cure(&all, sync));

    graph.event = OUTCOME_GRAPH_UNREACHABLE;
    assert_int_equal(report_at(&all, &graph, NOW), 0);
    report(&all, COMPONENT_RELAY, "relay:primary", "", HEALTH_PASS);
    assert_null(blade_root_of(&all, sync));
    assert_true(blade_needs_cure(&all, sync));
    assert_null(blade_root_of(&all, issuer));

    components_done(&all);
}

/* ---- Components ------------------------------------------------------------------------------ */

static void since_moves_with_the_status_only(void **state) {
    health_component told = {
        .type = COMPONENT_RELAY, .name = "relay:primary", .instance = "", .status = HEALTH_FAIL};
    components all = {0};
    const component *c;

    (void) state;

    told.output = "connection refused";
    assert_int_equal(report_at(&all, &told, NOW), 0);
    told.output = "timed out";
    assert_int_equal(report_at(&all, &told, NOW + USEC_PER_MINUTE), 0);

    c = components_find(&all, "relay:primary", "");
    assert_int_equal(all.n, 1);
    assert_int_equal(c->since, NOW);
    assert_int_equal(c->reported, NOW + USEC_PER_MINUTE);
    assert_string_equal(c->output, "timed out");

    told.status = HEALTH_PASS;
    told.output = NULL;
    assert_int_equal(report_at(&all, &told, NOW + USEC_PER_HOUR), 0);
    assert_int_equal(c->since, NOW + USEC_PER_HOUR);
    assert_null(c->output);

    components_done(&all);
}

/* Three failures within ten minutes: not called well before it was so for five. */
static void what_comes_and_goes_is_not_called_well_at_once(void **state) {
    health_component told = {
        .type = COMPONENT_RELAY, .name = "relay:primary", .instance = "", .status = HEALTH_PASS};
    components all = {0};
    const component *c;
    usec_t now = NOW;

    (void) state;

    assert_int_equal(report_at(&all, &told, now), 0);
    c = components_find(&all, "relay:primary", "");
    told.event = OUTCOME_RELAY_ERROR;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(c->status, HEALTH_PASS);
        assert_int_equal(settle_at(&all, now), 0);
        now += USEC_PER_MINUTE;
        told.status = HEALTH_FAIL;
        told.output = "cut";
        assert_int_equal(report_at(&all, &told, now), 0);
        assert_int_equal(c->status, HEALTH_FAIL);
        told.status = HEALTH_PASS;
        told.output = NULL;
        told.event = OUTCOME_INVALID;
        assert_int_equal(report_at(&all, &told, now + 1), 0);
        told.event = OUTCOME_RELAY_ERROR;
    }

    assert_int_equal(c->status, HEALTH_WARN);
    assert_int_equal(c->since, now + 1);
    assert_non_null(strstr(c->output, "it comes and goes"));
    /* What cures it is what cures its failures. */
    assert_int_equal(component_event(c), OUTCOME_RELAY_ERROR);
    assert_int_equal(settle_at(&all, now + 1), now + 1 + 5 * USEC_PER_MINUTE);

    /* That it is well is told again and again. */
    assert_int_equal(report_at(&all, &told, now + USEC_PER_MINUTE), 0);
    assert_int_equal(settle_at(&all, now + USEC_PER_MINUTE), now + 1 + 5 * USEC_PER_MINUTE);

    /* A failure is shown at once all the same, and the five minutes begin anew when it has ended,
     * however long it lasted. */
    now += 4 * USEC_PER_MINUTE;
    told.status = HEALTH_FAIL;
    assert_int_equal(report_at(&all, &told, now), 0);
    assert_int_equal(c->status, HEALTH_FAIL);
    assert_int_equal(settle_at(&all, now), 0);
    now += 6 * USEC_PER_MINUTE;
    assert_int_equal(settle_at(&all, now), 0);
    told.status = HEALTH_PASS;
    assert_int_equal(report_at(&all, &told, now), 0);
    assert_int_equal(c->status, HEALTH_WARN);

    now += 5 * USEC_PER_MINUTE;
    assert_int_equal(settle_at(&all, now), 0);
    assert_int_equal(c->status, HEALTH_PASS);
    assert_int_equal(c->since, now);
    assert_null(c->output);

    /* One failure later is one failure. */
    told.status = HEALTH_FAIL;
    assert_int_equal(report_at(&all, &told, now + 1), 0);
    told.status = HEALTH_PASS;
    assert_int_equal(report_at(&all, &told, now + 2), 0);
    assert_int_equal(c->status, HEALTH_PASS);

    components_done(&all);
}

/* A host whose clock was an hour ahead, and is put right meanwhile. */
static void setting_the_clock_does_not_stretch_the_damping(void **state) {
    health_component told = {.type = COMPONENT_RELAY, .name = "relay:primary", .instance = ""};
    moment now = {.date = NOW + USEC_PER_HOUR, .uptime = UPTIME};
    components all = {0};
    const component *c;

    (void) state;

    for (int i = 0; i < 7; i++) {
        now.uptime += USEC_PER_SEC;
        told.status = i % 2 ? HEALTH_FAIL : HEALTH_PASS;
        assert_int_equal(components_report(&all, &told, &now), 0);
    }
    c = components_find(&all, "relay:primary", "");
    assert_int_equal(c->status, HEALTH_WARN);

    now.date = NOW;
    now.uptime += 5 * USEC_PER_MINUTE;
    assert_int_equal(components_settle(&all, &now), 0);
    assert_int_equal(c->status, HEALTH_PASS);

    components_done(&all);
}

static void tell_at(components *all, health_component_type type, const char *name,
                    const char *instance, health_status status, usec_t now) {
    const health_component told = {
        .type = type, .name = name, .instance = instance, .status = status};

    assert_int_equal(report_at(all, &told, now), 0);
}

/* What is being tried again is as it was, until it was tried. */
static void not_tried_yet_does_not_overwrite_what_is_known(void **state) {
    components all = {0};
    const component *relay, *sync;

    (void) state;

    tell_at(&all, COMPONENT_RELAY, "relay:primary", "", HEALTH_UNKNOWN, NOW);
    relay = components_find(&all, "relay:primary", "");
    assert_int_equal(relay->status, HEALTH_UNKNOWN);
    assert_true(relay->is_untried);

    tell_at(&all, COMPONENT_RELAY, "relay:primary", "", HEALTH_FAIL, NOW + 1);
    assert_false(relay->is_untried);
    tell_at(&all, COMPONENT_RELAY, "relay:primary", "", HEALTH_UNKNOWN, NOW + 2);
    assert_int_equal(relay->status, HEALTH_FAIL);
    assert_true(relay->is_untried);
    tell_at(&all, COMPONENT_RELAY, "relay:primary", "", HEALTH_FAIL, NOW + 3);
    assert_false(relay->is_untried);
    assert_int_equal(relay->since, NOW + 1);
    assert_int_equal(relay->n_failures, 1);

    /* That Graph cannot tell is news. */
    tell_at(&all, COMPONENT_SYNC, "sync", "", HEALTH_PASS, NOW);
    tell_at(&all, COMPONENT_SYNC, "sync", "", HEALTH_UNKNOWN, NOW + 1);
    sync = components_find(&all, "sync", "");
    assert_int_equal(sync->status, HEALTH_UNKNOWN);
    assert_false(sync->is_untried);

    components_done(&all);
}

static void what_a_reload_let_go_is_the_same_part_when_it_is_told_again(void **state) {
    const char *const domain = "directory:a.example";
    components all = {0};

    (void) state;

    tell_at(&all, COMPONENT_CONTROLLER, domain, "dc1", HEALTH_PASS, NOW);
    tell_at(&all, COMPONENT_CONTROLLER, domain, "dc2", HEALTH_PASS, NOW);
    tell_at(&all, COMPONENT_RELAY, "relay:old", "", HEALTH_PASS, NOW);
    components_let_go(&all, domain, "dc1");
    components_let_go(&all, domain, "dc2");
    components_let_go(&all, "relay:old", "");

    /* The new configuration has another relay, and DNS has yet to tell of the controllers. */
    tell_at(&all, COMPONENT_RELAY, "relay:new", "", HEALTH_UNKNOWN, NOW + 1);
    tell_at(&all, COMPONENT_CONTROLLER, domain, "a.example", HEALTH_UNKNOWN, NOW + 1);
    components_sweep(&all);
    assert_null(components_find(&all, "relay:old", ""));
    assert_non_null(components_find(&all, domain, "dc1"));
    assert_non_null(components_find(&all, domain, "dc2"));
    assert_false(blade_fold(&all).ready);

    /* It tells of one, which is then tried. */
    tell_at(&all, COMPONENT_CONTROLLER, domain, "dc2", HEALTH_UNKNOWN, NOW + 2);
    components_forget(&all, domain, "a.example");
    components_sweep(&all);
    assert_non_null(components_find(&all, domain, "dc1"));
    tell_at(&all, COMPONENT_CONTROLLER, domain, "dc2", HEALTH_PASS, NOW + 3);
    components_sweep(&all);
    assert_null(components_find(&all, domain, "dc1"));
    assert_int_equal(components_find(&all, domain, "dc2")->since, NOW);

    components_done(&all);
}

/* In the order in which the configuration names them now. */
static void what_is_told_again_stands_where_it_would_if_it_were_new(void **state) {
    const char *const domain = "directory:a.example";
    components all = {0};

    (void) state;

    tell_at(&all, COMPONENT_CONTROLLER, domain, "dc1", HEALTH_PASS, NOW);
    tell_at(&all, COMPONENT_CONTROLLER, domain, "dc2", HEALTH_PASS, NOW);
    tell_at(&all, COMPONENT_ISSUER, "issuer:entra", "", HEALTH_PASS, NOW);
    components_let_go(&all, domain, "dc1");
    components_let_go(&all, domain, "dc2");
    tell_at(&all, COMPONENT_CONTROLLER, domain, "dc2", HEALTH_UNKNOWN, NOW);
    tell_at(&all, COMPONENT_CONTROLLER, domain, "dc1", HEALTH_UNKNOWN, NOW);

    assert_int_equal(all.n, 3);
    assert_string_equal(all.items[0]->instance, "dc2");
    assert_string_equal(all.items[1]->instance, "dc1");
    assert_string_equal(all.items[2]->name, "issuer:entra");

    components_done(&all);
}

/* A controller's words come from the wire: control characters, broken UTF-8, no end. */
static void what_a_peer_said_is_made_printable_and_cut(void **state) {
    char endless[4 * COMPONENT_TEXT_MAX];
    health_component told = {.type = COMPONENT_CONTROLLER,
                             .name = "directory:a.example",
                             .instance = "dc1",
                             .status = HEALTH_FAIL,
                             .output = "bad\n\x1b[31mé\x7f"};
    components all = {0};
    const component *c;

    (void) state;

    assert_int_equal(report_at(&all, &told, NOW), 0);
    c = components_find(&all, "directory:a.example", "dc1");
    assert_string_equal(c->output, "bad??[31mé?");

    told.output = "latin-1: \xe9";
    assert_int_equal(report_at(&all, &told, NOW), 0);
    assert_string_equal(c->output, "latin-1: ?");

    /* Cut before the two-byte character that crosses the limit. */
    memset(endless, 'x', sizeof(endless) - 1);
    endless[sizeof(endless) - 1] = '\0';
    memcpy(endless + COMPONENT_TEXT_MAX - 1, "é", 2);
    told.output = endless;
    assert_int_equal(report_at(&all, &told, NOW), 0);
    assert_int_equal(strlen(c->output), COMPONENT_TEXT_MAX - 1);

    components_done(&all);
}

/* ---- What is said of it ---------------------------------------------------------------------- */

static health new_health(void) {
    static char agent[] = "agent-test", tenant[] = "tenant", release[] = "1.2.3";

    return (health){.agent_id = agent, .tenant_id = tenant, .release = release};
}

static void tell(health *h, health_component_type type, const char *name, const char *instance,
                 health_status status, const char *output) {
    const health_component told = {
        .type = type, .name = name, .instance = instance, .status = status, .output = output};

    assert_int_equal(health_report(h, &told), 0);
}

static void document_says_what_fails_and_that_the_rest_is_unknown(void **state) {
    _cleanup_(json_freep) json_t *document = NULL;
    const char *status, *visible_state, *group, *check, *detail, *sync_status, *sync_output, *since;
    health h = new_health();
    int visible;
    json_error_t error;

    (void) state;

    tell(&h, COMPONENT_SYNC, "sync", "", HEALTH_UNKNOWN, NULL);
    tell(&h, COMPONENT_CONTROLLER, "directory:a.example", "dc1", HEALTH_PASS, NULL);
    tell(&h, COMPONENT_RELAY, "relay:primary", "", HEALTH_FAIL, "connection \"refused\"");

    document = health_document(&h);
    assert_non_null(document);
    assert_int_equal(json_unpack_ex(document, &error, 0,
                                    "{s:s, s:{s:b, s:s, s:[{s:s, s:s, s:s, s:s}!]}, "
                                    "s:{s:[{s:s, s:s}], s:[{s:s}]}}",
                                    "status", &status, "blade", "visible", &visible, "state",
                                    &visible_state, "reasons", "group", &group, "title", &since,
                                    "check", &check, "detail", &detail, "checks", "sync", "status",
                                    &sync_status, "output", &sync_output, "relay:primary", "since",
                                    &since),
                     0);
    assert_string_equal(status, "fail");
    assert_false(visible);
    assert_string_equal(visible_state, "temporarilyUnavailable");
    assert_string_equal(group, "writebackConnectivity");
    assert_string_equal(check, "relay:primary");
    assert_string_equal(detail, "connection \"refused\"");
    assert_string_equal(sync_status, "warn");
    assert_string_equal(sync_output, "Not known: not looked at yet");

    components_done(&h.components);
}

static void unknown_synchronisation_does_not_hide_the_blade(void **state) {
    _cleanup_(json_freep) json_t *document = NULL;
    const char *status;
    health h = new_health();
    int visible;

    (void) state;

    tell(&h, COMPONENT_SYNC, "sync", "", HEALTH_UNKNOWN, NULL);
    tell(&h, COMPONENT_LICENCE, "licence", "", HEALTH_UNKNOWN, NULL);
    tell(&h, COMPONENT_CONTROLLER, "directory:a.example", "dc1", HEALTH_PASS, NULL);
    tell(&h, COMPONENT_RELAY, "relay:primary", "", HEALTH_PASS, NULL);

    document = health_document(&h);
    assert_int_equal(
        json_unpack(document, "{s:s, s:{s:b}}", "status", &status, "blade", "visible", &visible),
        0);
    assert_true(visible);
    assert_string_equal(status, "pass");

    components_done(&h.components);
}

/* Who configured that Graph is asked wants to know where it does not work. */
static void what_was_asked_in_vain_warns_and_has_a_cure(void **state) {
    _cleanup_(json_freep) json_t *document = NULL;
    const char *status, *output, *check;
    int visible, event;
    health h = new_health();

    (void) state;

    tell(&h, COMPONENT_CONTROLLER, "directory:a.example", "dc1", HEALTH_PASS, NULL);
    tell(&h, COMPONENT_RELAY, "relay:primary", "", HEALTH_PASS, NULL);
    assert_int_equal(health_report(&h,
                                   &(const health_component){
                                       .type = COMPONENT_LICENCE,
                                       .name = "licence",
                                       .instance = "",
                                       .status = HEALTH_UNKNOWN,
                                       .output = "AADSTS700016",
                                       .event = OUTCOME_GRAPH_REFUSED,
                                   }),
                     0);

    document = document_status(&h);
    assert_int_equal(json_unpack(document, "{s:s, s:{s:b}, s:{s:[{s:s}]}, s:[{s:i, s:[{s:s}]}]}",
                                 "status", &status, "blade", "visible", &visible, "checks",
                                 "licence", "output", &output, "cures", "eventId", &event, "checks",
                                 "check", &check),
                     0);
    assert_string_equal(status, "warn");
    assert_true(visible);
    assert_string_equal(output, "Not known: AADSTS700016");
    assert_int_equal(event, 35073);
    assert_string_equal(check, "licence");

    components_done(&h.components);
}

/* Peers that take the connection and stay silent keep it so for long. */
static void what_was_not_tried_yet_is_not_up_and_running_and_is_named(void **state) {
    _cleanup_(json_freep) json_t *ready = NULL, *document = NULL, *again = NULL;
    const char *status, *visible_state, *check, *detail;
    health h = new_health();
    int visible;

    (void) state;

    tell(&h, COMPONENT_CONTROLLER, "directory:a.example", "dc1", HEALTH_PASS, NULL);
    tell(&h, COMPONENT_RELAY, "relay:primary", "", HEALTH_UNKNOWN, NULL);
    assert_false(health_has_tried_all(&h));
    assert_int_equal(health_overall(&h), HEALTH_FAIL);

    ready = document_ready(&h);
    assert_string_equal(json_get_string(ready, "output"),
                        "relay:primary: it has not been tried yet");
    document = health_document(&h);
    assert_int_equal(json_unpack(document, "{s:{s:b, s:s, s:[{s:s, s:s}!]}, s:{s:[{s:s}]}}",
                                 "blade", "visible", &visible, "state", &visible_state, "reasons",
                                 "check", &check, "detail", &detail, "checks", "relay:primary",
                                 "status", &status),
                     0);
    assert_false(visible);
    assert_string_equal(visible_state, "temporarilyUnavailable");
    assert_string_equal(check, "relay:primary");
    assert_string_equal(detail, "it has not been tried yet");
    assert_string_equal(status, "warn");

    /* Not again since a reload: not ready, but nothing says that it does not work. */
    tell(&h, COMPONENT_RELAY, "relay:primary", "", HEALTH_PASS, NULL);
    assert_true(health_has_tried_all(&h));
    tell(&h, COMPONENT_RELAY, "relay:primary", "", HEALTH_UNKNOWN, NULL);
    assert_int_equal(health_overall(&h), HEALTH_PASS);
    assert_false(health_is_ready(&h));
    again = document_ready(&h);
    assert_string_equal(json_get_string(again, "output"),
                        "relay:primary: it has not been tried yet");

    components_done(&h.components);
}

static void stopping_is_not_ready_and_says_so(void **state) {
    _cleanup_(json_freep) json_t *ready = NULL;
    health h = new_health();

    (void) state;

    tell(&h, COMPONENT_CONTROLLER, "directory:a.example", "dc1", HEALTH_PASS, NULL);
    tell(&h, COMPONENT_RELAY, "relay:primary", "", HEALTH_PASS, NULL);
    assert_true(health_is_ready(&h));

    health_set_stopping(&h);
    assert_false(health_is_ready(&h));
    ready = document_ready(&h);
    assert_string_equal(json_get_string(ready, "output"), "The agent is stopping");

    components_done(&h.components);
}

/* From the moment that requests are turned away until the parts of the new configuration work. */
static void a_reload_is_not_ready_and_forgets_nothing_that_comes_back(void **state) {
    _cleanup_(json_freep) json_t *draining = NULL, *document = NULL;
    _cleanup_free_ char *line = NULL;
    const component *relay;
    health h = new_health();
    const char *output;
    usec_t since;
    int known;

    (void) state;

    tell(&h, COMPONENT_CONTROLLER, "directory:a.example", "dc1", HEALTH_PASS, NULL);
    tell(&h, COMPONENT_RELAY, "relay:primary", "", HEALTH_PASS, NULL);
    tell(&h, COMPONENT_RELAY, "relay:old", "", HEALTH_PASS, NULL);
    relay = components_find(&h.components, "relay:primary", "");
    since = relay->since;

    health_begin_reload(&h);
    assert_false(health_is_ready(&h));
    draining = document_ready(&h);
    assert_string_equal(json_get_string(draining, "output"),
                        "The agent is taking over a new configuration");
    health_forget(&h, "relay:primary", "");
    health_forget(&h, "relay:old", "");
    tell(&h, COMPONENT_RELAY, "relay:primary", "", HEALTH_UNKNOWN, NULL);
    health_end_reload(&h);

    assert_null(components_find(&h.components, "relay:old", ""));
    assert_false(health_is_ready(&h));
    assert_int_equal(health_overall(&h), HEALTH_PASS);
    document = health_document(&h);
    assert_int_equal(json_unpack(document, "{s:{s:[{s:b, s:s}]}}", "checks", "relay:primary",
                                 "known", &known, "output", &output),
                     0);
    assert_false(known);
    assert_string_equal(output, COMPONENT_NOT_TRIED_AGAIN);
    line = health_status_line(&h);
    assert_non_null(strstr(line, "relay primary not tried yet"));

    tell(&h, COMPONENT_RELAY, "relay:primary", "", HEALTH_PASS, NULL);
    assert_true(health_is_ready(&h));
    assert_ptr_equal(components_find(&h.components, "relay:primary", ""), relay);
    assert_int_equal(relay->since, since);

    health_forget(&h, "relay:primary", "");
    assert_null(components_find(&h.components, "relay:primary", ""));

    components_done(&h.components);
}

static void status_line_tells_the_day_in_one_line(void **state) {
    _cleanup_free_ char *line = NULL;
    health h = new_health();

    (void) state;

    tell(&h, COMPONENT_CONTROLLER, "directory:a.example", "dc1.a.example", HEALTH_PASS, NULL);
    tell(&h, COMPONENT_CONTROLLER, "directory:a.example", "dc2.a.example", HEALTH_FAIL, "silent");
    tell(&h, COMPONENT_RELAY, "relay:primary", "", HEALTH_PASS, NULL);
    for (int i = 0; i < 3; i++)
        health_count_request(&h, "reset", OUTCOME_ADMIN_RESET_SUCCESS, USEC_PER_SEC);
    health_count_request(&h, "reset", OUTCOME_AD_PASSWORD_POLICY, USEC_PER_SEC);
    health_count_request(&h, "check", OUTCOME_CHECK_ANSWERED, USEC_PER_SEC);

    line = health_status_line(&h);
    assert_string_equal(line, "relay primary connected; dc1.a.example ok; dc2.a.example down; "
                              "3 resets, 1 refused");

    components_done(&h.components);
}

/* ---- When it is said that writeback cannot work ---------------------------------------------- */

/* Parts of an agent, told and looked at by a clock of the test's own. */
typedef struct watched {
    components all;
    outage outage;
    usec_t now; /* a date, as at() takes it */
    usec_t due;
} watched;

static void watch(watched *w, health_component_type type, const char *name, health_status status) {
    const health_component told = {
        .type = type,
        .name = name,
        .instance = type == COMPONENT_CONTROLLER ? "dc1" : "",
        .status = status,
    };

    assert_int_equal(report_at(&w->all, &told, w->now), 0);
}

static bool look(watched *w) {
    const moment now = at(w->now);

    (void) components_settle(&w->all, &now);
    return outage_look(&w->outage, &w->all, now.uptime, &w->due);
}

/* Whether it is told once this has lasted for the patience, and not before. */
static bool look_long(watched *w) {
    assert_false(look(w));
    w->now += OUTAGE_PATIENCE - 1;
    assert_false(look(w));
    w->now++;
    return look(w);
}

static watched well(void) {
    watched w = {.now = NOW};

    watch(&w, COMPONENT_RELAY, "relay:primary", HEALTH_PASS);
    watch(&w, COMPONENT_CONTROLLER, "directory:a.example", HEALTH_PASS);
    watch(&w, COMPONENT_ISSUER, "issuer:entra", HEALTH_PASS);
    assert_false(look(&w));
    assert_int_equal(w.due, 0);
    return w;
}

static void an_outage_is_told_once_however_long_it_lasts(void **state) {
    watched w = well();

    (void) state;

    for (int i = 0; i < 2; i++) {
        watch(&w, COMPONENT_RELAY, "relay:primary", HEALTH_FAIL);
        assert_true(look_long(&w));
        assert_int_equal(w.due, 0);

        watch(&w, COMPONENT_CONTROLLER, "directory:a.example", HEALTH_FAIL);
        assert_false(look_long(&w));
        w.now += USEC_PER_HOUR;
        assert_false(look(&w));

        watch(&w, COMPONENT_RELAY, "relay:primary", HEALTH_PASS);
        assert_false(look(&w));
        watch(&w, COMPONENT_CONTROLLER, "directory:a.example", HEALTH_PASS);
        assert_false(look(&w));
    }
    components_done(&w.all);
}

static void what_is_back_within_seconds_is_no_outage(void **state) {
    watched w = well();

    (void) state;

    watch(&w, COMPONENT_RELAY, "relay:primary", HEALTH_FAIL);
    assert_false(look(&w));
    assert_int_equal(w.due, at(w.now).uptime + OUTAGE_PATIENCE);
    w.now += USEC_PER_SEC;
    watch(&w, COMPONENT_RELAY, "relay:primary", HEALTH_PASS);
    assert_false(look_long(&w));
    assert_int_equal(w.due, 0);

    /* The next one has its own patience. */
    watch(&w, COMPONENT_RELAY, "relay:primary", HEALTH_FAIL);
    assert_true(look_long(&w));
    components_done(&w.all);
}

/* They have events of their own, and requests are served all the same. */
static void synchronisation_licence_and_what_was_not_tried_yet_are_no_outage(void **state) {
    watched w = well();

    (void) state;

    watch(&w, COMPONENT_SYNC, "sync", HEALTH_FAIL);
    watch(&w, COMPONENT_LICENCE, "licence", HEALTH_FAIL);
    watch(&w, COMPONENT_CONTROLLER, "directory:b.example", HEALTH_UNKNOWN);
    assert_int_equal(blade_fold(&w.all).overall, HEALTH_FAIL);
    assert_false(look_long(&w));

    watch(&w, COMPONENT_LEDGER, "ledger", HEALTH_FAIL);
    assert_true(look_long(&w));
    components_done(&w.all);
}

static void what_comes_and_goes_is_told_until_it_is_known_for_that_and_hides_no_other(
    void **state) {
    watched w = well();

    (void) state;

    /* From the third on it is known. */
    for (int i = 0; i < 5; i++) {
        watch(&w, COMPONENT_RELAY, "relay:primary", HEALTH_FAIL);
        assert_int_equal(look_long(&w), i < 3);
        watch(&w, COMPONENT_RELAY, "relay:primary", HEALTH_PASS);
        assert_false(look(&w));
    }

    watch(&w, COMPONENT_CONTROLLER, "directory:a.example", HEALTH_FAIL);
    assert_true(look_long(&w));
    watch(&w, COMPONENT_CONTROLLER, "directory:a.example", HEALTH_PASS);
    assert_false(look(&w));

    /* Well for long, it is told again. */
    w.now += COMPONENT_CALM;
    assert_false(look(&w));
    watch(&w, COMPONENT_RELAY, "relay:primary", HEALTH_FAIL);
    assert_true(look_long(&w));
    components_done(&w.all);
}

static void an_outage_is_logged_with_its_causes_and_no_others(void **state) {
    health h = new_health();
    captured_log log;

    (void) state;

    captured_log_begin(&log);
    tell(&h, COMPONENT_CONTROLLER, "directory:a.example", "dc1", HEALTH_PASS, NULL);
    tell(&h, COMPONENT_LICENCE, "licence", "", HEALTH_FAIL, "none");
    tell(&h, COMPONENT_RELAY, "relay:primary", "", HEALTH_FAIL, "cut");
    assert_int_equal(captured_log_count(&log, " 31044 "), 0);

    /* It is five seconds later. */
    h.outage.began -= OUTAGE_PATIENCE;
    tell(&h, COMPONENT_RELAY, "relay:primary", "", HEALTH_FAIL, "cut");
    tell(&h, COMPONENT_RELAY, "relay:primary", "", HEALTH_FAIL, "cut");
    assert_int_equal(captured_log_count(&log, " 31044 "), 1);
    assert_int_equal(captured_log_count(&log, "WRITEBACK_REASON=relay:primary: cut\n"), 1);
    captured_log_end(&log);

    components_done(&h.components);
}

/* ---- Metrics --------------------------------------------------------------------------------- */

/* The line's value, or NULL where there is no such sample. */
static const char *find_sample(const char *page, const char *sample) {
    size_t n = strlen(sample);

    for (const char *line = page; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, sample, n) == 0 && line[n] == ' ')
            return line + n + 1;
        if (!*line)
            break;
    }
    return NULL;
}

static void assert_sample(const char *page, const char *sample, const char *value) {
    const char *found = find_sample(page, sample);
    size_t n = strlen(value);

    if (!found || strncmp(found, value, n) != 0 || found[n] != '\n')
        fail_msg("expected %s %s, found %.40s", sample, value, found ? found : "none");
}

static void metrics_tell_requests_by_how_they_ended(void **state) {
    _cleanup_free_ char *page = NULL;
    health h = new_health();

    (void) state;

    health_count_request(&h, "reset", OUTCOME_ADMIN_RESET_SUCCESS, 40 * USEC_PER_MSEC);
    health_count_request(&h, "reset", OUTCOME_PASSWORD_RESET_SUCCESS, 50 * USEC_PER_MSEC);
    health_count_request(&h, "reset", OUTCOME_AD_PASSWORD_POLICY, 60 * USEC_PER_MSEC);
    health_count_request(&h, "reset", OUTCOME_AD_NOT_REACHABLE, 50 * USEC_PER_SEC);
    health_count_request(&h, "x\"} 1\nforged", OUTCOME_INPUT_VALIDATION_ERROR, 1);
    health_count_request(&h, NULL, OUTCOME_DECRYPTION_ERROR, 1);
    health_set_requests_in_flight(&h, 2);

    page = metrics_page(&h, METRICS_TEXT);
    assert_non_null(page);
    assert_sample(page, "writeback_build_info{version=\"1.2.3\"}", "1");
    assert_sample(page, "writeback_ready", "0");
#define REQUESTS(operation, end, reason)                                                           \
    "writeback_requests_total{operation=\"" operation "\",outcome=\"" end "\",reason=\"" reason    \
    "\"}"
    assert_sample(page, REQUESTS("reset", "succeeded", ""), "2");
    assert_sample(page, REQUESTS("reset", "refused", "ADPasswordPolicyError"), "1");
    assert_sample(page, REQUESTS("reset", "failed", "ADNotReachable"), "1");
    assert_sample(page, REQUESTS("other", "refused", "InputValidationError"), "1");
    assert_sample(page, REQUESTS("other", "refused", "DecryptionError"), "1");
    assert_sample(page, REQUESTS("unlock", "succeeded", ""), "0");
    assert_sample(page, "writeback_requests_in_flight", "2");
    assert_null(strstr(page, "forged"));

#define SECONDS(suffix) "writeback_request_duration_seconds_" suffix
    assert_sample(page, SECONDS("bucket{operation=\"reset\",le=\"0.025\"}"), "0");
    /* A bound belongs to its bucket, and buckets add up. */
    assert_sample(page, SECONDS("bucket{operation=\"reset\",le=\"0.05\"}"), "2");
    assert_sample(page, SECONDS("bucket{operation=\"reset\",le=\"0.1\"}"), "3");
    assert_sample(page, SECONDS("bucket{operation=\"reset\",le=\"45.0\"}"), "3");
    assert_sample(page, SECONDS("bucket{operation=\"reset\",le=\"+Inf\"}"), "4");
    assert_sample(page, SECONDS("count{operation=\"reset\"}"), "4");
    assert_sample(page, SECONDS("sum{operation=\"reset\"}"), "50.150000");
}

/* What came into being with its first request would not have grown by it, by Prometheus's
 * reckoning. */
static void metrics_of_what_has_not_happened_are_there_and_zero(void **state) {
    _cleanup_free_ char *page = NULL;
    health h = new_health();
    unsigned n = 0;

    (void) state;

    page = metrics_page(&h, METRICS_TEXT);
    assert_non_null(page);
    assert_sample(page, REQUESTS("reset", "succeeded", ""), "0");
    assert_sample(page, REQUESTS("reset", "refused", "ADPermissionsError"), "0");
    assert_sample(page, REQUESTS("change", "refused", "ADUserIncorrectPassword"), "0");
    assert_sample(page, REQUESTS("unlock", "failed", "ADNotReachable"), "0");
    assert_sample(page, REQUESTS("check", "failed", "UnknownError"), "0");
    assert_sample(page, REQUESTS("other", "refused", "DecryptionError"), "0");
    assert_sample(page, REQUESTS("other", "refused", "AuthTokenError"), "0");
    assert_sample(page, "writeback_reports_total{outcome=\"succeeded\"}", "0");
    assert_sample(page, "writeback_reports_total{outcome=\"failed\"}", "0");

    /* What is logged only ends no request, and the api's own refusals are none of an operation. */
    assert_null(strstr(page, "\"ControllerUnusable\""));
    assert_null(strstr(page, "\"NotFound\""));
    for (const char *at = page; (at = strstr(at, "\nwriteback_requests_total{")); at++)
        n++;
    assert_in_range(n, 5, 200);
}

static void metrics_tell_relays_and_controllers(void **state) {
    _cleanup_free_ char *page = NULL;
    health h = new_health();

    (void) state;

    tell(&h, COMPONENT_RELAY, "relay:a\"b\\c", "", HEALTH_PASS, NULL);
    assert_int_equal(health_report(&h,
                                   &(const health_component){
                                       .type = COMPONENT_CONTROLLER,
                                       .name = "directory:a.example",
                                       .instance = "dc1",
                                       .status = HEALTH_FAIL,
                                       .output = "silent",
                                       .latency = 1500,
                                       .certificate_not_after = NOW,
                                   }),
                     0);
    health_set_relay_counters(&h, "a\"b\\c", 7, NOW + 5);

    page = metrics_page(&h, METRICS_TEXT);
    assert_sample(page, "writeback_relay_connected{relay=\"a\\\"b\\\\c\"}", "1");
    assert_sample(page, "writeback_relay_reconnects_total{relay=\"a\\\"b\\\\c\"}", "7");
    assert_sample(page, "writeback_relay_last_heartbeat_timestamp_seconds{relay=\"a\\\"b\\\\c\"}",
                  "1700000000.000005");
#define DC "{domain=\"a.example\",dc=\"dc1\"}"
    assert_sample(page, "writeback_dc_up" DC, "0");
    assert_sample(page, "writeback_dc_operation_duration_seconds" DC, "0.001500");
    assert_sample(page, "writeback_dc_certificate_not_after_timestamp_seconds" DC,
                  "1700000000.000000");

    components_done(&h.components);
}

/* Each part is in one state of four, and that is 1; the agent as a whole too. */
static void metrics_tell_each_part_s_status(void **state) {
    _cleanup_free_ char *page = NULL;
    health h = new_health();

    (void) state;

    tell(&h, COMPONENT_RELAY, "relay:primary", "", HEALTH_PASS, NULL);
    tell(&h, COMPONENT_CONTROLLER, "directory:a.example", "dc1", HEALTH_FAIL, "silent");
    tell(&h, COMPONENT_CONTROLLER, "directory:a.example", "dc2", HEALTH_UNKNOWN, NULL);
    tell(&h, COMPONENT_ISSUER, "issuer:entra", "", HEALTH_PASS, NULL);
    tell(&h, COMPONENT_KEYS, "keys", "", HEALTH_WARN, "not renewed");
    tell(&h, COMPONENT_CLOCK, "clock", "", HEALTH_FAIL, "wrong");

    page = metrics_page(&h, METRICS_TEXT);
#define STATUS(labels, status) "writeback_component_status{" labels ",status=\"" status "\"}"
    assert_sample(page, STATUS("component=\"relay:primary\"", "pass"), "1");
    assert_sample(page, STATUS("component=\"relay:primary\"", "fail"), "0");
    assert_sample(page, STATUS("component=\"directory:a.example\",dc=\"dc1\"", "fail"), "1");
    assert_sample(page, STATUS("component=\"directory:a.example\",dc=\"dc1\"", "pass"), "0");
    assert_sample(page, STATUS("component=\"directory:a.example\",dc=\"dc2\"", "unknown"), "1");
    assert_sample(page, STATUS("component=\"directory:a.example\",dc=\"dc2\"", "warn"), "0");
    assert_sample(page, STATUS("component=\"issuer:entra\"", "pass"), "1");
    assert_sample(page, STATUS("component=\"keys\"", "warn"), "1");
    assert_sample(page, STATUS("component=\"keys\"", "unknown"), "0");
    assert_sample(page, STATUS("component=\"clock\"", "fail"), "1");
    assert_sample(page, "writeback_overall_status{status=\"fail\"}", "1");
    assert_sample(page, "writeback_overall_status{status=\"pass\"}", "0");
    assert_null(strstr(page, "writeback_overall_status{status=\"unknown\"}"));

    components_done(&h.components);
}

static void metrics_tell_the_tenant_and_the_clocks_where_they_are_known(void **state) {
    const health_clock clocks[] = {{"relay:primary", -1500000}, {"dc1", 250000}};
    _cleanup_free_ char *unknown = NULL, *page = NULL;
    health h = new_health();

    (void) state;

    unknown = metrics_page(&h, METRICS_TEXT);
    assert_null(strstr(unknown, "writeback_sync_last"));
    assert_null(strstr(unknown, "writeback_licence_held"));
    assert_null(strstr(unknown, "writeback_graph_certificate"));

    health_set_tenant(&h, &(const health_tenant){.last_sync = NOW,
                                                 .knows_licence = true,
                                                 .certificate_not_after = NOW + 5});
    health_set_clocks(&h, clocks, 1);
    health_set_clocks(&h, clocks, ELEMENTSOF(clocks));
    page = metrics_page(&h, METRICS_TEXT);
    assert_sample(page, "writeback_sync_last_timestamp_seconds", "1700000000.000000");
    assert_sample(page, "writeback_licence_held", "0");
    assert_sample(page, "writeback_graph_certificate_not_after_timestamp_seconds",
                  "1700000000.000005");
    assert_sample(page, "writeback_clock_offset_seconds{source=\"relay:primary\"}", "-1.500000");
    assert_sample(page, "writeback_clock_offset_seconds{source=\"dc1\"}", "0.250000");

    health_set_clocks(&h, NULL, 0);
    free(h.clock_sources);
    free(h.clocks);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_combination_folds_to_what_the_contract_says),
        cmocka_unit_test(without_relay_or_directory_writeback_is_not_configured),
        cmocka_unit_test(each_failure_is_of_the_right_group),
        cmocka_unit_test(a_root_cause_hides_what_follows_from_it),
        cmocka_unit_test(what_cannot_be_asked_without_a_way_out_follows_from_the_relay),
        cmocka_unit_test(since_moves_with_the_status_only),
        cmocka_unit_test(what_comes_and_goes_is_not_called_well_at_once),
        cmocka_unit_test(setting_the_clock_does_not_stretch_the_damping),
        cmocka_unit_test(not_tried_yet_does_not_overwrite_what_is_known),
        cmocka_unit_test(what_a_reload_let_go_is_the_same_part_when_it_is_told_again),
        cmocka_unit_test(what_is_told_again_stands_where_it_would_if_it_were_new),
        cmocka_unit_test(what_a_peer_said_is_made_printable_and_cut),
        cmocka_unit_test(document_says_what_fails_and_that_the_rest_is_unknown),
        cmocka_unit_test(unknown_synchronisation_does_not_hide_the_blade),
        cmocka_unit_test(what_was_asked_in_vain_warns_and_has_a_cure),
        cmocka_unit_test(what_was_not_tried_yet_is_not_up_and_running_and_is_named),
        cmocka_unit_test(stopping_is_not_ready_and_says_so),
        cmocka_unit_test(a_reload_is_not_ready_and_forgets_nothing_that_comes_back),
        cmocka_unit_test(status_line_tells_the_day_in_one_line),
        cmocka_unit_test(an_outage_is_told_once_however_long_it_lasts),
        cmocka_unit_test(what_is_back_within_seconds_is_no_outage),
        cmocka_unit_test(synchronisation_licence_and_what_was_not_tried_yet_are_no_outage),
        cmocka_unit_test(what_comes_and_goes_is_told_until_it_is_known_for_that_and_hides_no_other),
        cmocka_unit_test(an_outage_is_logged_with_its_causes_and_no_others),
        cmocka_unit_test(metrics_tell_requests_by_how_they_ended),
        cmocka_unit_test(metrics_of_what_has_not_happened_are_there_and_zero),
        cmocka_unit_test(metrics_tell_relays_and_controllers),
        cmocka_unit_test(metrics_tell_each_part_s_status),
        cmocka_unit_test(metrics_tell_the_tenant_and_the_clocks_where_they_are_known),
    };

    return cmocka_run_group_tests_name("health", tests, NULL, NULL);
}
