/* SPDX-License-Identifier: Apache-2.0 */
/* Who may do what to whom: every combination of what there is, against the contract's tables
 * ("Whose word counts"), which stand here once more. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/authorise.h"
#include "agent/base/macro.h"

/* ---- The contract's tables ---------------------------------------------------------------------
 */

typedef enum reach { NOBODY, UNPRIVILEGED, EVERYONE } reach;

/* Ids as in Microsoft's list of built-in roles. Nothing here lets anybody change a password. */
static const struct {
    const char *name, *id; /* no id: an app role */
    reach reset, unlock, check;
} role_table[] = {
    {"GlobalAdministrator", "62e90394-69f5-4237-9190-012177145e10", EVERYONE, EVERYONE, EVERYONE},
    {"PrivilegedAuthenticationAdministrator", "7be44c8a-adaf-4e2a-84d6-ab2649e08a13", EVERYONE,
     EVERYONE, EVERYONE},
    {"UserAdministrator", "fe930be7-5e62-47db-91af-98c3a49a38b1", UNPRIVILEGED, UNPRIVILEGED,
     UNPRIVILEGED},
    {"PasswordAdministrator", "966707d0-3269-4727-9be2-8c3a10f19b9d", UNPRIVILEGED, UNPRIVILEGED,
     UNPRIVILEGED},
    {"HelpdeskAdministrator", "729827e3-9c14-49f7-bb1b-9608f156bbb8", UNPRIVILEGED, UNPRIVILEGED,
     UNPRIVILEGED},
    {"AuthenticationAdministrator", "c4e39bd9-1100-46d3-8c65-fb160da0071f", UNPRIVILEGED,
     UNPRIVILEGED, UNPRIVILEGED},
    {"Password.Reset.All", NULL, UNPRIVILEGED, NOBODY, UNPRIVILEGED},
    {"Account.Unlock.All", NULL, NOBODY, UNPRIVILEGED, UNPRIVILEGED},
};

#define PORTAL "c44b4083-3bb0-49c1-b47d-974e53cbdf3c"
#define ADMIN_CENTER "00000006-0000-0ff1-ce00-000000000000"
#define OWN "11111111-2222-3333-4444-55555555aaaa"

typedef enum client_kind { GOOD, NOT_ALLOWED, WITHOUT_WRITEBACK } client_kind;

static char *const own_clients[] = {(char[]){OWN}, (char[]){"Portal"}, NULL};
static char *const no_clients[] = {NULL};
static char *const admin_center_too[] = {(char[]){ADMIN_CENTER}, NULL};

static const struct {
    client_rules rules;
    const char *client;
    client_kind kind;
} client_table[] = {
    {{true, NULL}, PORTAL, GOOD},
    {{true, no_clients}, "C44B4083-3BB0-49C1-B47D-974E53CBDF3C", GOOD},
    {{true, own_clients}, "11111111-2222-3333-4444-55555555AAAA", GOOD},
    {{true, no_clients}, OWN, NOT_ALLOWED},
    {{true, own_clients}, NULL, NOT_ALLOWED},
    {{true, own_clients}, "", NOT_ALLOWED},
    {{true, own_clients}, ADMIN_CENTER, WITHOUT_WRITEBACK},
    {{true, own_clients}, "00000006-0000-0FF1-CE00-000000000000", WITHOUT_WRITEBACK},
    {{true, NULL}, "89bee1f7-5e6e-4d8a-9f3d-ecd601259da7", WITHOUT_WRITEBACK},
    {{true, NULL}, "4765445b-32c6-49b0-83e6-1d93765276ca", WITHOUT_WRITEBACK},
    {{true, NULL}, "d3590ed6-52b3-4102-aeff-aad2292ab01c", WITHOUT_WRITEBACK},
    {{true, admin_center_too}, ADMIN_CENTER, GOOD},
    /* Microsoft's ids mean nothing in tokens of others, and ids there are compared as they are. */
    {{false, own_clients}, PORTAL, NOT_ALLOWED},
    {{false, NULL}, PORTAL, NOT_ALLOWED},
    {{false, own_clients}, ADMIN_CENTER, NOT_ALLOWED},
    {{false, own_clients}, "Portal", GOOD},
    {{false, own_clients}, "portal", NOT_ALLOWED},
    {{false, own_clients}, NULL, NOT_ALLOWED},
};

/* How the token names who asks, compared with the account. */
typedef enum likeness { ABSENT, SAME, OTHER } likeness;

#define SID "S-1-5-21-1-2-3-1001"
#define UPN "alice@corp.example"
#define LOGON_NAME "a.smith@corp.example"

static const char *const sids[] = {NULL, SID, "S-1-5-21-1-2-3-1002"};
static const char *const upns[] = {NULL, "Alice@Corp.Example", "bob@corp.example"};

/* One case. */
typedef struct facts {
    request_operation operation;
    bool is_app;
    unsigned roles;    /* bit i: the i-th of role_table, which the token has and which counts */
    unsigned withheld; /* which it has and which does not count */
    size_t client;     /* row of client_table */
    likeness sid, upn, preferred;
    bool account_has_upn, privileged;
    directory_scope scope;
    licence licence;
} facts;

/* ---- What the contract says --------------------------------------------------------------------
 */

static reach reach_of(const facts *f) {
    reach widest = NOBODY;

    for (size_t i = 0; i < ELEMENTSOF(role_table); i++) {
        const reach of[OPERATION_MAX_] = {
            [OPERATION_RESET] = role_table[i].reset,
            [OPERATION_UNLOCK] = role_table[i].unlock,
            [OPERATION_CHECK] = role_table[i].check,
        };

        if (f->roles & 1u << i && of[f->operation] > widest)
            widest = of[f->operation];
    }
    return widest;
}

/* "The token's onprem_sid is the target's objectSid; without that claim, upn is its
 * userPrincipalName." */
static bool is_owner(const facts *f) {
    return !f->is_app &&
           (f->sid == SAME || (f->sid == ABSENT && f->upn == SAME && f->account_has_upn));
}

/* Without onprem_sid any name is enough to refuse, one that people choose too. */
static bool seems_owner(const facts *f) {
    return is_owner(f) || (!f->is_app && f->sid == ABSENT && f->account_has_upn &&
                           (f->upn == SAME || f->preferred == SAME));
}

/* "One whose token has none of the three resets nobody." */
static bool is_nameless(const facts *f) {
    return !f->is_app && f->sid == ABSENT && f->upn == ABSENT && f->preferred == ABSENT;
}

static outcome expected_of_asker(const facts *f) {
    reach r = reach_of(f);

    if (f->operation == OPERATION_CHANGE)
        return is_owner(f) ? OUTCOME_INVALID : OUTCOME_INITIATOR_NOT_AUTHORIZED;
    if (f->operation == OPERATION_CHECK && is_owner(f) && r == NOBODY)
        return OUTCOME_INVALID;
    if (seems_owner(f) || is_nameless(f) || r == NOBODY)
        return OUTCOME_INITIATOR_NOT_AUTHORIZED;
    return r == UNPRIVILEGED && f->privileged ? OUTCOME_TARGET_PRIVILEGED : OUTCOME_INVALID;
}

static outcome expected(const facts *f) {
    outcome of_asker = expected_of_asker(f);

    if (client_table[f->client].kind != GOOD)
        return OUTCOME_UNSUPPORTED_PORTAL;
    if (of_asker != OUTCOME_INVALID)
        return of_asker;
    if (f->scope != SCOPE_INSIDE)
        return OUTCOME_TARGET_OUT_OF_SCOPE;
    return f->licence == LICENCE_MISSING ? OUTCOME_LICENCE_MISSING : OUTCOME_INVALID;
}

/* ---- What the agent says -----------------------------------------------------------------------
 */

static role_set role_set_of(unsigned bits) {
    role_set set = 0;

    for (size_t i = 0; i < ELEMENTSOF(role_table); i++)
        if (bits & 1u << i)
            set |= role_from_name(role_table[i].name);
    return set;
}

/* The whole way: initiator first, then target. */
static verdict ask(const facts *f) {
    const initiator who = {
        .is_app = f->is_app,
        .roles = role_set_of(f->roles),
        .withheld = role_set_of(f->withheld),
        .client = client_table[f->client].client,
        .sid = sids[f->sid],
        .upn = upns[f->upn],
        .preferred_name = upns[f->preferred],
    };
    const target whom = {
        .sid = SID,
        .upn = f->account_has_upn ? UPN : NULL,
        .is_privileged = f->privileged,
        .scope = f->scope,
    };
    verdict v = authorise_initiator(&who, f->operation, &client_table[f->client].rules);

    return v.outcome == OUTCOME_INVALID ? authorise_target(&who, f->operation, &whom, f->licence)
                                        : v;
}

/* Where another portal would do, that is what the caller is told. */
static bool sends_to_azure_portal(const verdict *v) {
    return v->reason && strstr(v->reason, "reset the password again in the Azure portal");
}

static size_t assert_as_expected(const facts *f) {
    outcome should = expected(f);
    verdict v = ask(f);

    if (v.outcome != should || (v.outcome == OUTCOME_INVALID) != (v.reason == NULL) ||
        sends_to_azure_portal(&v) != (client_table[f->client].kind == WITHOUT_WRITEBACK))
        fail_msg(
            "%s, app %d, roles 0x%x and 0x%x, client %zu, sid %d, upn %d, preferred %d, account "
            "has upn %d, privileged %d, scope %d, licence %d: expected %s, got %s (%s)",
            request_operation_name(f->operation), f->is_app, f->roles, f->withheld, f->client,
            f->sid, f->upn, f->preferred, f->account_has_upn, f->privileged, f->scope, f->licence,
            should < 0 ? "allowed" : outcome_get(should)->name,
            v.outcome < 0 ? "allowed" : outcome_get(v.outcome)->name,
            v.reason ? v.reason : "no reason");
    return 1;
}

/* Before the directory is asked: refused is who could not do it on any account at all. */
static void assert_refused_early(facts f) {
    const initiator who = {.is_app = f.is_app,
                           .roles = role_set_of(f.roles),
                           .client = client_table[f.client].client,
                           .sid = SID};
    bool on_own, on_other;

    f.sid = SAME;
    on_own = expected(&f) == OUTCOME_INVALID;
    f.sid = OTHER;
    on_other = expected(&f) == OUTCOME_INVALID;
    assert_int_equal(
        authorise_initiator(&who, f.operation, &client_table[f.client].rules).outcome ==
            OUTCOME_INVALID,
        on_own || on_other);
}

static size_t every_target(facts f) {
    size_t n = 0;

    for (unsigned bits = 0; bits < 1u << 2; bits++)
        for (f.scope = SCOPE_INSIDE; f.scope <= SCOPE_DENIED; f.scope++)
            for (f.licence = LICENCE_UNKNOWN; f.licence <= LICENCE_MISSING; f.licence++) {
                f.account_has_upn = bits & 1;
                f.privileged = bits & 2;
                n += assert_as_expected(&f);
            }
    return n;
}

static size_t every_identity(facts f) {
    size_t n = 0;

    for (f.sid = ABSENT; f.sid <= OTHER; f.sid++)
        for (f.upn = ABSENT; f.upn <= OTHER; f.upn++)
            for (f.preferred = ABSENT; f.preferred <= OTHER; f.preferred++)
                n += every_target(f);
    return n;
}

static bool is_app_role(size_t i) {
    return !role_table[i].id;
}

/* Sets of roles that a person's or a service's token can bring; the other kind never counts. */
static bool is_of_kind(unsigned roles, bool is_app) {
    for (size_t i = 0; i < ELEMENTSOF(role_table); i++)
        if (roles & 1u << i && is_app_role(i) != is_app)
            return false;
    return true;
}

static void every_combination_is_as_the_contract_says(void **state) {
    size_t n = 0;

    (void) state;

    for (request_operation o = 0; o < OPERATION_MAX_; o++)
        for (size_t client = 0; client < ELEMENTSOF(client_table); client++)
            for (unsigned roles = 0; roles < 1u << (ELEMENTSOF(role_table) + 1); roles++) {
                facts f = {
                    .operation = o, .client = client, .is_app = roles & 1, .roles = roles >> 1};

                if (!is_of_kind(f.roles, f.is_app))
                    continue;
                assert_refused_early(f);
                n += every_identity(f);
            }
    /* 4 operations, 18 clients, 64 sets of directory roles and 4 of app roles, 27 ways to say who
     * asks, with and without a name, privileged and not, 3 scopes, 3 states of the licence. */
    assert_int_equal(n, 4 * 18 * (64 + 4) * 27 * 4 * 9);
}

/* Whatever a token has and whatever the configuration allows: what counts is what is in both, of
 * people's roles in people's tokens and of services' in services'. */
static void every_set_of_roles_is_read(void **state) {
    (void) state;

    for (unsigned has = 0; has < 1u << ELEMENTSOF(role_table); has++) {
        json_t *wids = json_array(), *roles = json_array();
        _cleanup_(json_freep) json_t *all = json_pack("{s:o, s:o}", "wids", wids, "roles", roles);

        (void) json_array_append_new(wids, json_string("b79fbf4d-3ef9-4689-8143-76b194e85509"));
        (void) json_array_append_new(roles, json_string("Something.Else"));
        for (size_t i = 0; i < ELEMENTSOF(role_table); i++)
            if (has & 1u << i)
                (void) json_array_append_new(
                    is_app_role(i) ? roles : wids,
                    json_string(is_app_role(i) ? role_table[i].name : role_table[i].id));

        for (unsigned allows = 0; allows < 1u << ELEMENTSOF(role_table); allows++)
            for (int is_app = 0; is_app < 2; is_app++) {
                const token_claims claims = {.all = all, .is_app = is_app};
                initiator who = initiator_read(&claims, role_set_of(allows));
                unsigned of_kind = has & (is_app ? 0xc0 : 0x3f);

                assert_int_equal(who.roles, role_set_of(of_kind & allows));
                assert_int_equal(who.withheld, role_set_of(of_kind & ~allows));
            }
    }
    assert_int_equal(role_set_of(0xff), ROLES_ALL);
    assert_int_equal(role_from_name("Reader"), 0);
}

/* The ids of the one claim in the other are nothing. */
static void roles_count_in_their_own_claim_only(void **state) {
    _cleanup_(json_freep) json_t *all =
        json_pack("{s:[s,s], s:[s,s]}", "wids", "Password.Reset.All", "GlobalAdministrator",
                  "roles", "GlobalAdministrator", "62e90394-69f5-4237-9190-012177145e10");

    (void) state;

    for (int is_app = 0; is_app < 2; is_app++) {
        const token_claims claims = {.all = all, .is_app = is_app};

        assert_int_equal(initiator_read(&claims, ROLES_ALL).roles, 0);
    }
}

static void the_reason_names_what_to_look_at(void **state) {
    static const struct {
        facts facts;
        const char *expected;
    } rows[] = {
        {{.client = 6}, "reset the password again in the Azure portal"},
        {{.client = 3}, "not in AllowedClients= of the token's issuer"},
        {{.client = 14}, "not in AllowedClients= of the token's issuer"},
        {{0}, "the person has none of the administrator roles"},
        {{.withheld = 1}, "does not count in tokens of its issuer (AllowedRoles=)"},
        {{.withheld = 1, .operation = OPERATION_CHECK}, "(AllowedRoles=)"},
        {{.is_app = true}, "lacks the app role Password.Reset.All"},
        {{.is_app = true, .operation = OPERATION_UNLOCK}, "lacks the app role Account.Unlock.All"},
        {{.is_app = true, .withheld = 0x40}, "(AllowedRoles=)"},
        {{.is_app = true, .operation = OPERATION_CHECK}, "neither of the app roles"},
        {{.is_app = true, .operation = OPERATION_CHANGE}, "changed by its owner, not by a service"},
        {{.operation = OPERATION_CHANGE, .preferred = SAME, .account_has_upn = true},
         "the token does not show (onprem_sid, upn)"},
        {{.roles = 1}, "the token does not say who asks (onprem_sid, upn or preferred_username)"},
        {{.roles = 1, .operation = OPERATION_CHECK}, "add the optional claims onprem_sid and upn"},
        {{.roles = 1, .sid = SAME}, "nobody resets or unlocks their own account"},
        {{.roles = 1, .preferred = SAME, .account_has_upn = true},
         "nobody resets or unlocks their own account"},
        {{.roles = 0x10, .privileged = true, .upn = OTHER},
         "only Global and Privileged Authentication"},
        {{.is_app = true, .roles = 0x40, .privileged = true}, "services may not act on privileged"},
        {{.roles = 1, .scope = SCOPE_NOT_ALLOWED, .upn = OTHER},
         "in none of the units and groups of AllowedTargets="},
        {{.roles = 1, .scope = SCOPE_DENIED, .upn = OTHER},
         "in one of the units and groups of DeniedTargets="},
        {{.roles = 1, .licence = LICENCE_MISSING, .upn = OTHER}, "no subscription of the tenant"},
    };

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
        verdict v = ask(&rows[i].facts);

        if (!v.reason || !strstr(v.reason, rows[i].expected))
            fail_msg("row %zu: expected: %s; got: %s", i, rows[i].expected,
                     v.reason ? v.reason : "allowed");
    }
}

/* Tokens as people have them, and an account each; written out, since whoever works the rule out of
 * a table makes the same mistake twice. */
static void an_administrator_never_resets_themselves(void **state) {
    static const struct {
        const char *sid, *upn, *preferred_name; /* in the token */
        const char *account_upn;                /* its SID is SID, and its logon name LOGON_NAME */
        bool allowed;
    } rows[] = {
        /* Certain, whatever the names are. */
        {SID, "root@cloud.example", NULL, UPN, false},
        {"S-1-5-21-1-2-3-1002", UPN, UPN, UPN, true},
        {"S-1-5-21-1-2-3-1002", NULL, NULL, UPN, true},
        /* By any of the names, where that is all there is. */
        {NULL, UPN, NULL, UPN, false},
        {NULL, "ALICE@CORP.EXAMPLE", NULL, UPN, false},
        {NULL, NULL, UPN, UPN, false},
        {NULL, "root@cloud.example", UPN, UPN, false},
        {NULL, UPN, "root@cloud.example", UPN, false},
        {NULL, "root@cloud.example", "root@cloud.example", UPN, true},
        /* Letters of all scripts have two cases. */
        {NULL, "J\u00dcRGEN@corp.example", NULL, "j\u00fcrgen@corp.example", false},
        {NULL, NULL, "\u03a3\u039f\u03a6\u039f\u03a3@corp.example",
         "\u03c3\u03bf\u03c6\u03bf\u03c2@corp.example", false},
        {NULL, "j\u00f6rgen@corp.example", NULL, "j\u00fcrgen@corp.example", true},
        /* An account can be signed in to by the name that it has without a userPrincipalName. */
        {NULL, LOGON_NAME, NULL, NULL, false},
        {NULL, NULL, LOGON_NAME, UPN, false},
        {NULL, UPN, NULL, NULL, true},
        /* A token that names nobody may be anybody's. */
        {NULL, NULL, NULL, UPN, false},
        {NULL, NULL, NULL, NULL, false},
        {"", "", "", UPN, false},
    };
    static const client_rules rules = {.is_entra = true};
    static const request_operation operations[] = {OPERATION_RESET, OPERATION_UNLOCK,
                                                   OPERATION_CHECK};

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(rows); i++)
        for (size_t k = 0; k < ELEMENTSOF(operations); k++) {
            _cleanup_(json_freep) json_t *all =
                json_pack("{s:[s]}", "wids", "62e90394-69f5-4237-9190-012177145e10");
            const token_claims claims = {.all = all,
                                         .client = PORTAL,
                                         .onprem_sid = rows[i].sid,
                                         .upn = rows[i].upn,
                                         .preferred_name = rows[i].preferred_name};
            const initiator who = initiator_read(&claims, ROLES_ALL);
            const target whom = {.sid = SID, .upn = rows[i].account_upn, .logon_name = LOGON_NAME};
            verdict v = authorise_initiator(&who, operations[k], &rules);

            if (v.outcome == OUTCOME_INVALID)
                v = authorise_target(&who, operations[k], &whom, LICENCE_UNKNOWN);
            if (v.outcome != (rows[i].allowed ? OUTCOME_INVALID : OUTCOME_INITIATOR_NOT_AUTHORIZED))
                fail_msg("row %zu, %s: %s", i, request_operation_name(operations[k]),
                         v.reason ? v.reason : "allowed");
        }
}

/* To refuse, names are compared generously; to allow, they are not. */
static void a_person_is_the_owner_by_certain_claims_only(void **state) {
    const target whom = {.sid = SID, .upn = "j\u00fcrgen@corp.example", .logon_name = LOGON_NAME};
    const initiator rows[] = {{.preferred_name = "j\u00fcrgen@corp.example"},
                              {.upn = LOGON_NAME},
                              {.sid = "S-1-5-21-1-2-3-1002", .upn = "j\u00fcrgen@corp.example"},
                              {0}};

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(rows); i++)
        assert_int_equal(
            authorise_target(&rows[i], OPERATION_CHANGE, &whom, LICENCE_UNKNOWN).outcome,
            OUTCOME_INITIATOR_NOT_AUTHORIZED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_combination_is_as_the_contract_says),
        cmocka_unit_test(every_set_of_roles_is_read),
        cmocka_unit_test(roles_count_in_their_own_claim_only),
        cmocka_unit_test(an_administrator_never_resets_themselves),
        cmocka_unit_test(a_person_is_the_owner_by_certain_claims_only),
        cmocka_unit_test(the_reason_names_what_to_look_at),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
