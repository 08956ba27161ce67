/* SPDX-License-Identifier: Apache-2.0 */

/* The directory room against a real controller:
 *
 *     tests/lab/run --no-agent tests/integration/directory
 *     tests/lab/run --no-agent --dc 4.22 tests/integration/directory --without-hints
 *     tests/lab/run --no-agent --dc rodc tests/integration/directory --read-only
 *
 * What the room says it did is checked by OpenLDAP's own commands, as the administrator or as the
 * user. */

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "ldap/directory.h"

#define DOMAIN "corp.example"
#define PATIENCE (20 * USEC_PER_SEC)

/* ---- The lab --------------------------------------------------------------------------------- */

static const char *lab(const char *name) {
    char variable[64];
    const char *value;

    (void) snprintf(variable, sizeof(variable), "WRITEBACK_LAB_%s", name);
    value = getenv(variable);
    if (!value)
        fail_msg("%s is not set: run this in tests/lab/run --no-agent", variable);
    return value;
}

/* Runs a command of the shell; its arguments are in the environment, so nothing needs quoting.
 * Returns its exit status, and what it printed in `output`. */
static int run(const char *command, char *output, size_t size) {
    FILE *pipe = popen(command, "r");
    size_t n;
    int status;

    assert_non_null(pipe);
    n = fread(output, 1, size - 1, pipe);
    output[n] = '\0';
    status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Whether this user can sign in with this password, by the word of ldapwhoami. */
static bool can_bind(const char *user, const char *password) {
    char output[1024];

    (void) setenv("TEST_USER", user, 1);
    (void) setenv("TEST_PASSWORD", password, 1);
    return run("LDAPTLS_CACERT=$WRITEBACK_LAB_DC_CA ldapwhoami -x -H ldaps://$WRITEBACK_LAB_DC "
               "-D \"$TEST_USER@" DOMAIN "\" -w \"$TEST_PASSWORD\" 2>&1",
               output, sizeof(output)) == 0;
}

/* What the controller says to this user's bind: "…data 773…". */
static void bind_error(const char *user, const char *password, char *output, size_t size) {
    (void) setenv("TEST_USER", user, 1);
    (void) setenv("TEST_PASSWORD", password, 1);
    (void) run("LDAPTLS_CACERT=$WRITEBACK_LAB_DC_CA ldapwhoami -x -H ldaps://$WRITEBACK_LAB_DC "
               "-D \"$TEST_USER@" DOMAIN "\" -w \"$TEST_PASSWORD\" 2>&1",
               output, size);
}

/* A user's attribute, as the administrator sees it. Static; "" where there is none. */
static const char *attribute(const char *user, const char *name) {
    static char output[4096];

    (void) setenv("TEST_USER", user, 1);
    (void) setenv("TEST_ATTRIBUTE", name, 1);
    assert_int_equal(run("LDAPTLS_CACERT=$WRITEBACK_LAB_DC_CA ldapsearch -LLL -o ldif-wrap=no -x "
                         "-H ldaps://$WRITEBACK_LAB_DC -D \"$WRITEBACK_LAB_ADMIN_DN\" "
                         "-w \"$WRITEBACK_LAB_ADMIN_PASSWORD\" -b \"$WRITEBACK_LAB_BASE_DN\" "
                         "\"(sAMAccountName=$TEST_USER)\" \"$TEST_ATTRIBUTE\" 2>/dev/null | "
                         "sed -n \"s/^$TEST_ATTRIBUTE::* //p\" | tr -d '\\n'",
                         output, sizeof(output)),
                     0);
    return output;
}

/* As the administrator: an LDIF change of one entry. */
static void modify(const char *dn, const char *change) {
    char output[1024];

    (void) setenv("TEST_LDIF", dn, 1);
    (void) setenv("TEST_CHANGE", change, 1);
    if (run("printf 'dn: %s\\nchangetype: modify\\n%b\\n' \"$TEST_LDIF\" \"$TEST_CHANGE\" | "
            "LDAPTLS_CACERT=$WRITEBACK_LAB_DC_CA ldapmodify -x -H ldaps://$WRITEBACK_LAB_DC "
            "-D \"$WRITEBACK_LAB_ADMIN_DN\" -w \"$WRITEBACK_LAB_ADMIN_PASSWORD\" 2>&1",
            output, sizeof(output)) != 0)
        fail_msg("ldapmodify: %s", output);
}

/* An entry, in SDDL, for an object's access control list. */
static void add_to_acl(const char *dn, const char *entry) {
    char output[1024];

    (void) setenv("TEST_DN", dn, 1);
    (void) setenv("TEST_SDDL", entry, 1);
    if (run("chroot $WRITEBACK_LAB_TREE samba-tool dsacl set -s /lab/dc1/etc/smb.conf "
            "--objectdn=\"$TEST_DN\" --sddl=\"$TEST_SDDL\" 2>&1 >/dev/null",
            output, sizeof(output)) != 0)
        fail_msg("samba-tool: %s", output);
}

static const char *staff_dn(const char *name) {
    static char dn[256];

    (void) snprintf(dn, sizeof(dn), "CN=%s,OU=Staff,%s", name, lab("BASE_DN"));
    return dn;
}

/* ---- The room -------------------------------------------------------------------------------- */

typedef struct result {
    bool done;
    directory_reply reply;
    char detail[1024];
    char controller[128];
    directory_account *account;
} result;

typedef struct fixture {
    sd_event *event;
    directory_config config;
    directory *directory;
} fixture;

static void on_done(directory_reply *reply, void *userdata) {
    result *r = userdata;

    assert_false(r->done);
    r->done = true;
    r->reply = *reply;
    r->account = TAKE_PTR(reply->account);
    (void) snprintf(r->detail, sizeof(r->detail), "%s", reply->detail);
    (void) snprintf(r->controller, sizeof(r->controller), "%s",
                    reply->controller ? reply->controller : "");
}

static void wait_for(fixture *f, const bool *done) {
    usec_t until = now_monotonic() + 2 * PATIENCE;

    while (!*done) {
        assert_true(sd_event_run(f->event, USEC_PER_SEC) >= 0);
        if (now_monotonic() > until)
            fail_msg("a call did not end");
    }
}

static result locate_until(fixture *f, directory_identifier_type type, const char *value,
                           usec_t patience) {
    directory_identifier id = {type, value};
    directory_call *call;
    result r = {};

    assert_int_equal(
        directory_locate(f->directory, &id, now_monotonic() + patience, on_done, &r, &call), 0);
    assert_false(r.done);
    wait_for(f, &r.done);
    return r;
}

static result locate(fixture *f, directory_identifier_type type, const char *value) {
    return locate_until(f, type, value, PATIENCE);
}

static directory_account *find(fixture *f, const char *user) {
    result r = locate(f, IDENTIFIER_SAM_ACCOUNT_NAME, user);

    if (r.reply.outcome != OUTCOME_INVALID)
        fail_msg("%s was not found: %s", user, r.detail);
    return r.account;
}

static result reset_account(fixture *f, const directory_account *account, const char *password,
                            directory_reset_flags flags) {
    directory_attempt attempt = {.deadline = now_monotonic() + PATIENCE};
    _cleanup_(secret_freep) secret *s = NULL;
    directory_call *call;
    result r = {};

    assert_int_equal(secret_new(password, strlen(password), &s), 0);
    assert_int_equal(directory_reset(f->directory, account, s, flags, &attempt, on_done, &r, &call),
                     0);
    assert_false(r.done);
    wait_for(f, &r.done);
    return r;
}

static result reset(fixture *f, const char *user, const char *password,
                    directory_reset_flags flags) {
    _cleanup_(directory_account_freep) directory_account *account = find(f, user);

    return reset_account(f, account, password, flags);
}

static result change(fixture *f, const char *user, const char *current, const char *new) {
    _cleanup_(directory_account_freep) directory_account *account = find(f, user);
    directory_attempt attempt = {.deadline = now_monotonic() + PATIENCE};
    _cleanup_(secret_freep) secret *from = NULL, *to = NULL;
    directory_call *call;
    result r = {};

    assert_int_equal(secret_new(current, strlen(current), &from), 0);
    assert_int_equal(secret_new(new, strlen(new), &to), 0);
    assert_int_equal(
        directory_change(f->directory, account, from, to, &attempt, on_done, &r, &call), 0);
    wait_for(f, &r.done);
    return r;
}

static result unlock(fixture *f, const char *user) {
    _cleanup_(directory_account_freep) directory_account *account = find(f, user);
    directory_attempt attempt = {.deadline = now_monotonic() + PATIENCE};
    directory_call *call;
    result r = {};

    assert_int_equal(directory_unlock(f->directory, account, &attempt, on_done, &r, &call), 0);
    wait_for(f, &r.done);
    return r;
}

static void assert_success(const result *r) {
    if (r->reply.outcome != OUTCOME_INVALID)
        fail_msg("%s: %s", outcome_get(r->reply.outcome)->name, r->detail);
}

static void assert_outcome(const result *r, outcome o) {
    if (r->reply.outcome == OUTCOME_INVALID)
        fail_msg("it succeeded, instead of %s", outcome_get(o)->name);
    if (r->reply.outcome != o)
        fail_msg("%s instead of %s: %s", outcome_get(r->reply.outcome)->name, outcome_get(o)->name,
                 r->detail);
}

static void assert_reason(const result *r, const char *rule, unsigned long long required) {
    for (size_t i = 0; i < r->reply.n_reasons; i++)
        if (strcmp(r->reply.reasons[i].rule, rule) == 0) {
            assert_int_equal(r->reply.reasons[i].required, required);
            return;
        }
    fail_msg("%s is not among the %zu reasons: %s", rule, r->reply.n_reasons, r->detail);
}

static char **list_of(const char *one, const char *two) {
    char **list = calloc(3, sizeof(char *));

    list[0] = one ? strdup(one) : NULL;
    if (one && two)
        list[1] = strdup(two);
    return list;
}

static void open_directory(fixture *f) {
    assert_int_equal(directory_new(f->event, &f->config, NULL, NULL, &f->directory), 0);
}

static int set_up_unopened(void **state) {
    fixture *f = calloc(1, sizeof(fixture));

    assert_int_equal(sd_event_new(&f->event), 0);
    f->config = (directory_config){
        .domain = strdup(DOMAIN),
        .controllers = list_of(lab("DC"), NULL),
        .base_dn = strdup(lab("BASE_DN")),
        .bind_dn = strdup(lab("SERVICE_DN")),
        .ca_file = strdup(lab("DC_CA")),
        .policy_hints = POLICY_HINTS_REQUIRE,
    };
    assert_int_equal(secret_new(lab("SERVICE_PASSWORD"), strlen(lab("SERVICE_PASSWORD")),
                                &f->config.bind_password),
                     0);
    *state = f;
    return 0;
}

static int set_up(void **state) {
    (void) set_up_unopened(state);
    open_directory(*state);
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;

    directory_free(f->directory);
    directory_config_done(&f->config);
    sd_event_unref(f->event);
    free(f);
    return 0;
}

/* ---- Finding accounts ------------------------------------------------------------------------ */

static void every_identifier_finds_the_account(void **state) {
    fixture *f = *state;
    _cleanup_(directory_account_freep) directory_account *alice = find(f, "alice");
    const directory_account_info *info = directory_account_get(alice);
    const struct {
        directory_identifier_type type;
        const char *value;
    } ids[] = {
        {IDENTIFIER_OBJECT_GUID, info->guid},
        {IDENTIFIER_SID, info->sid},
        {IDENTIFIER_USER_PRINCIPAL_NAME, "alice@" DOMAIN},
        {IDENTIFIER_USER_PRINCIPAL_NAME, "ALICE@Corp.Example"},
        {IDENTIFIER_SAM_ACCOUNT_NAME, "ALICE"},
        {IDENTIFIER_IMMUTABLE_ID, attribute("alice", "objectGUID")},
    };

    assert_string_equal(info->dn, staff_dn("alice"));
    assert_string_equal(info->sam_account_name, "alice");
    assert_string_equal(info->user_principal_name, "alice@" DOMAIN);
    assert_string_equal(info->controller, lab("DC"));
    assert_true(info->enabled);
    assert_false(info->locked_out || info->must_change || info->is_protected ||
                 info->is_privileged);
    assert_true(info->password_last_set < now_realtime() - 29 * USEC_PER_DAY);

    for (size_t i = 0; i < ELEMENTSOF(ids); i++) {
        result r = locate(f, ids[i].type, ids[i].value);

        assert_success(&r);
        assert_string_equal(directory_account_get(r.account)->dn, info->dn);
        directory_account_free(r.account);
    }
}

static void an_immutable_id_is_the_consistency_guid_where_there_is_one(void **state) {
    fixture *f = *state;
    result r = locate(f, IDENTIFIER_IMMUTABLE_ID, "EBESExQVFhcYGRobHB0eHw==");

    assert_success(&r);
    assert_string_equal(directory_account_get(r.account)->sam_account_name, "grace");
    directory_account_free(r.account);

    /* Her objectGUID means nobody any more. */
    r = locate(f, IDENTIFIER_IMMUTABLE_ID, attribute("grace", "objectGUID"));
    assert_outcome(&r, OUTCOME_AD_USER_NOT_FOUND);
}

static void two_accounts_with_one_anchor_are_told(void **state) {
    result r = locate(*state, IDENTIFIER_IMMUTABLE_ID, "ICEiIyQlJicoKSorLC0uLw==");

    assert_outcome(&r, OUTCOME_AD_MULTI_MATCH);
    assert_null(r.account);
}

static void nobody_is_told(void **state) {
    static const struct {
        directory_identifier_type type;
        const char *value;
    } ids[] = {
        {IDENTIFIER_SAM_ACCOUNT_NAME, "nobody"},
        {IDENTIFIER_USER_PRINCIPAL_NAME, "nobody@" DOMAIN},
        {IDENTIFIER_OBJECT_GUID, "01234567-89ab-cdef-0123-456789abcdef"},
        {IDENTIFIER_SID, "S-1-5-21-1-2-3-4"},
        {IDENTIFIER_IMMUTABLE_ID, "AAAAAAAAAAAAAAAAAAAAAA=="},
        /* A computer, and a group. */
        {IDENTIFIER_SAM_ACCOUNT_NAME, "DC1$"},
        {IDENTIFIER_SAM_ACCOUNT_NAME, "Domain Admins"},
    };

    for (size_t i = 0; i < ELEMENTSOF(ids); i++) {
        result r = locate(*state, ids[i].type, ids[i].value);

        assert_outcome(&r, OUTCOME_AD_USER_NOT_FOUND);
    }
}

/* Unescaped, each of these would find somebody. */
static void a_filter_in_an_identifier_finds_nobody(void **state) {
    static const char *const names[] = {
        "*@*",
        "alice@" DOMAIN ")(objectClass=*",
        "al*@" DOMAIN,
        "\\61lice@" DOMAIN,
    };

    for (size_t i = 0; i < ELEMENTSOF(names); i++) {
        result r = locate(*state, IDENTIFIER_USER_PRINCIPAL_NAME, names[i]);

        assert_outcome(&r, OUTCOME_AD_USER_NOT_FOUND);
    }
}

static void names_that_dns_trip_over_are_reset_like_others(void **state) {
    static const char *const users[] = {"jürgen", "anna", "paul", "bartholomew.longnam"};

    for (size_t i = 0; i < ELEMENTSOF(users); i++) {
        result r = reset(*state, users[i], "Nächt-4711-Frühling", 0);

        assert_success(&r);
    }
    assert_true(can_bind("anna", "Nächt-4711-Frühling"));
    assert_true(can_bind("paul", "Nächt-4711-Frühling"));
}

static void the_state_of_an_account_is_seen(void **state) {
    fixture *f = *state;
    static const struct {
        const char *user;
        bool enabled, locked_out, must_change, is_protected;
    } users[] = {
        {"carol", false, false, false, false},
        {"dave", true, true, false, false},
        {"mustchange", true, false, true, false},
        {"admin-protected", true, false, false, true},
    };

    for (size_t i = 0; i < ELEMENTSOF(users); i++) {
        _cleanup_(directory_account_freep) directory_account *a = find(f, users[i].user);
        const directory_account_info *info = directory_account_get(a);

        assert_int_equal(info->enabled, users[i].enabled);
        assert_int_equal(info->locked_out, users[i].locked_out);
        assert_int_equal(info->must_change, users[i].must_change);
        assert_int_equal(info->is_protected, users[i].is_protected);
        assert_int_equal(info->is_privileged, users[i].is_protected);
    }
}

static void members_of_privileged_groups_are_privileged_nested_and_primary(void **state) {
    fixture *f = *state;
    char group[256], users[256];
    static const struct {
        const char *user;
        bool is_privileged;
    } accounts[] = {{"frank", true}, {"alice", false}};

    (void) snprintf(group, sizeof(group), "CN=Tier 0 Operators,OU=Groups,%s", lab("BASE_DN"));
    (void) snprintf(users, sizeof(users), "CN=Domain Users,CN=Users,%s", lab("BASE_DN"));
    f->config.privileged_groups = list_of(group, NULL);
    open_directory(f);

    for (size_t i = 0; i < ELEMENTSOF(accounts); i++) {
        _cleanup_(directory_account_freep) directory_account *a = find(f, accounts[i].user);

        assert_int_equal(directory_account_get(a)->is_privileged, accounts[i].is_privileged);
        assert_false(directory_account_get(a)->is_protected);
    }

    /* Domain Users is everybody's primary group, which no member attribute names. */
    f->directory = directory_free(f->directory);
    free(f->config.privileged_groups[0]);
    f->config.privileged_groups[0] = strdup(users);
    open_directory(f);
    {
        _cleanup_(directory_account_freep) directory_account *a = find(f, "alice");

        assert_true(directory_account_get(a)->is_privileged);
    }
}

static void a_privileged_group_that_does_not_exist_stops_everything(void **state) {
    fixture *f = *state;
    result r;

    f->config.privileged_groups = list_of("CN=Tier Zero,DC=corp,DC=example", NULL);
    open_directory(f);

    r = locate(f, IDENTIFIER_SAM_ACCOUNT_NAME, "alice");
    assert_outcome(&r, OUTCOME_AD_CONFIGURATION);
    assert_non_null(strstr(r.detail, "CN=Tier Zero,DC=corp,DC=example"));
}

static void an_account_outside_the_base_is_not_found(void **state) {
    fixture *f = *state;
    char guid[64], base[256];
    result r;

    {
        fixture whole = {.event = f->event, .config = f->config};
        _cleanup_(directory_account_freep) directory_account *oscar = NULL;

        open_directory(&whole);
        oscar = find(&whole, "oscar");
        (void) snprintf(guid, sizeof(guid), "%s", directory_account_get(oscar)->guid);
        directory_free(whole.directory);
    }

    (void) snprintf(base, sizeof(base), "OU=Staff,%s", lab("BASE_DN"));
    free(f->config.base_dn);
    f->config.base_dn = strdup(base);
    open_directory(f);

    r = locate(f, IDENTIFIER_OBJECT_GUID, guid);
    assert_outcome(&r, OUTCOME_AD_USER_NOT_FOUND);
}

static void a_base_that_does_not_exist_is_told(void **state) {
    fixture *f = *state;
    result r;

    free(f->config.base_dn);
    f->config.base_dn = strdup("OU=Stuff,DC=corp,DC=example");
    open_directory(f);

    r = locate(f, IDENTIFIER_SAM_ACCOUNT_NAME, "alice");
    assert_outcome(&r, OUTCOME_AD_CONFIGURATION);
    assert_non_null(strstr(r.detail, "BaseDn=OU=Stuff,DC=corp,DC=example"));
}

/* ---- Setting passwords ----------------------------------------------------------------------- */

static void the_new_password_binds_and_the_old_one_does_not(void **state) {
    fixture *f = *state;
    usec_t before = now_realtime();
    result r;

    assert_true(can_bind("alice", lab("USER_PASSWORD")));
    r = reset(f, "alice", "Wörter & \"Zeichen\" 😀 7", 0);

    assert_success(&r);
    assert_true(r.reply.sent);
    assert_int_equal(r.reply.ldap_result, 0);
    assert_string_equal(r.controller, lab("DC"));
    assert_false(r.reply.history_not_enforced || r.reply.must_change ||
                 r.reply.must_change_failed || r.reply.account_still_locked ||
                 r.reply.account_unlocked);
    assert_in_range(r.reply.password_last_set, before - 2 * USEC_PER_SEC,
                    now_realtime() + 2 * USEC_PER_SEC);

    assert_true(can_bind("alice", "Wörter & \"Zeichen\" 😀 7"));
    assert_false(can_bind("alice", lab("USER_PASSWORD")));
}

static void too_short_is_told_with_the_length(void **state) {
    result r = reset(*state, "oscar", "Ab1", 0);

    /* oscar is where the account has no rights; that is looked at first. */
    assert_outcome(&r, OUTCOME_AD_PERMISSIONS);

    r = reset(*state, "carol", "Ab1", 0);
    assert_outcome(&r, OUTCOME_AD_PASSWORD_POLICY);
    assert_int_equal(r.reply.ad_error, 0x52d);
    assert_int_equal(r.reply.n_reasons, 1);
    assert_reason(&r, "minimumPasswordLength", 7);
}

static void each_broken_rule_is_told(void **state) {
    result r = reset(*state, "carol", "abc", 0);

    assert_outcome(&r, OUTCOME_AD_PASSWORD_POLICY);
    assert_int_equal(r.reply.n_reasons, 2);
    assert_reason(&r, "minimumPasswordLength", 7);
    assert_reason(&r, "passwordComplexity", 0);
}

static void complexity_is_told(void **state) {
    result r = reset(*state, "carol", "only-small-letters", 0);

    assert_outcome(&r, OUTCOME_AD_PASSWORD_POLICY);
    assert_int_equal(r.reply.n_reasons, 1);
    assert_reason(&r, "passwordComplexity", 0);
}

/* An access control entry whose trustee is the agent's account. */
static void entry_for_agent(fixture *f, const char *what, char *ret, size_t size) {
    _cleanup_(directory_account_freep) directory_account *agent = find(f, "svc-writeback");

    (void) snprintf(ret, size, "(%s%s)", what, directory_account_get(agent)->sid);
}

static void a_fine_grained_policy_is_told(void **state) {
    result r = reset(*state, "bob", "Fourteen-Chars", 0);

    assert_outcome(&r, OUTCOME_AD_PASSWORD_POLICY);
    assert_reason(&r, "minimumPasswordLength", 15);
    assert_true(can_bind("bob", lab("USER_PASSWORD")));

    /* The agent may not read it, and does not guess what the controller has not named. */
    r = reset(*state, "bob", "abc", 0);
    assert_outcome(&r, OUTCOME_AD_PASSWORD_POLICY);
    assert_int_equal(r.reply.n_reasons, 1);
    assert_reason(&r, "minimumPasswordLength", 15);

    r = reset(*state, "bob", "Fifteen-Chars-1", 0);
    assert_success(&r);
    assert_true(can_bind("bob", "Fifteen-Chars-1"));
}

static void a_fine_grained_policy_that_may_be_read_is_told_in_full(void **state) {
    fixture *f = *state;
    char entry[256];
    result r;

    entry_for_agent(f, "A;;RP;;;", entry, sizeof(entry));
    add_to_acl("CN=Long passwords,CN=Password Settings Container,CN=System,DC=corp,DC=example",
               entry);
    r = reset(f, "bob", "abc", 0);
    assert_outcome(&r, OUTCOME_AD_PASSWORD_POLICY);
    assert_reason(&r, "minimumPasswordLength", 15);
    assert_reason(&r, "passwordComplexity", 0);
    /* That he was reset just now. */
    assert_reason(&r, "minimumPasswordAge", 86400);
    assert_int_equal(r.reply.n_reasons, 3);
}

static void minimum_age_is_told_in_seconds(void **state) {
    result r = reset(*state, "erin", "Another-One-4711", 0);

    assert_outcome(&r, OUTCOME_AD_PASSWORD_POLICY);
    assert_int_equal(r.reply.n_reasons, 1);
    assert_reason(&r, "minimumPasswordAge", 86400);
    assert_true(can_bind("erin", lab("USER_PASSWORD")));
    assert_false(can_bind("erin", "Another-One-4711"));
}

static void history_is_told_and_changes_nothing(void **state) {
    fixture *f = *state;
    _cleanup_free_ char *before = strdup(attribute("expired", "pwdLastSet"));
    result r;

    r = reset(f, "expired", lab("USER_PASSWORD"), 0);

    assert_outcome(&r, OUTCOME_AD_PASSWORD_POLICY);
    assert_int_equal(r.reply.n_reasons, 1);
    assert_reason(&r, "passwordHistory", 24);
    assert_string_equal(attribute("expired", "pwdLastSet"), before);
}

static void without_hints_history_is_skipped_and_that_is_told(void **state) {
    fixture *f = *state;
    result r;

    f->config.policy_hints = POLICY_HINTS_OFF;
    open_directory(f);
    r = reset(f, "expired", lab("USER_PASSWORD"), 0);

    assert_success(&r);
    assert_true(r.reply.history_not_enforced);
}

static void a_locked_account_stays_locked_unless_unlocking_is_asked_for(void **state) {
    fixture *f = *state;
    char error[1024];
    result r;

    r = reset(f, "dave", "Locked-Still-4711", 0);
    assert_success(&r);
    assert_true(r.reply.account_still_locked);
    assert_false(r.reply.account_unlocked);
    bind_error("dave", "Locked-Still-4711", error, sizeof(error));
    assert_non_null(strstr(error, "data 775"));

    /* The minimum age would now stand in the way of a second one. */
    modify(staff_dn("dave"), "replace: pwdLastSet\\npwdLastSet: 0\\n");
    r = reset(f, "dave", "Unlocked-Now-4711", RESET_UNLOCK);
    assert_success(&r);
    assert_true(r.reply.account_unlocked);
    assert_false(r.reply.account_still_locked);
    assert_true(can_bind("dave", "Unlocked-Now-4711"));
    assert_string_equal(attribute("dave", "lockoutTime"), "0");
}

static void must_change_is_set_after_the_reset(void **state) {
    fixture *f = *state;
    char error[1024];
    result r = reset(f, "heidi", "Change-Me-4711", RESET_MUST_CHANGE | RESET_UNLOCK);

    assert_success(&r);
    assert_true(r.reply.must_change);
    assert_false(r.reply.must_change_failed);
    assert_false(r.reply.account_unlocked);
    assert_true(r.reply.password_last_set > now_realtime() - USEC_PER_MINUTE);
    assert_string_equal(attribute("heidi", "pwdLastSet"), "0");
    bind_error("heidi", "Change-Me-4711", error, sizeof(error));
    assert_non_null(strstr(error, "data 773"));
}

static void a_refused_must_change_leaves_the_reset_done(void **state) {
    fixture *f = *state;
    char entry[256];
    result r;

    /* The one right that only must-change needs: write on pwdLastSet. */
    entry_for_agent(f, "OD;;WP;bf967a0a-0de6-11d0-a285-00aa003049e2;;", entry, sizeof(entry));
    add_to_acl(staff_dn("ivan"), entry);

    r = reset(f, "ivan", "Done-All-The-Same-1", RESET_MUST_CHANGE);
    assert_success(&r);
    assert_true(r.reply.must_change_failed);
    assert_false(r.reply.must_change);
    assert_true(can_bind("ivan", "Done-All-The-Same-1"));
}

static void a_protected_account_is_a_matter_of_permissions(void **state) {
    result r = reset(*state, "admin-protected", "Never-Set-4711", RESET_UNLOCK);

    assert_outcome(&r, OUTCOME_AD_PERMISSIONS);
    assert_int_equal(r.reply.ldap_result, 50);
    assert_true(can_bind("admin-protected", lab("USER_PASSWORD")));
}

static void an_account_that_is_gone_by_now_is_not_found(void **state) {
    fixture *f = *state;
    _cleanup_(directory_account_freep) directory_account *paul = find(f, "paul");
    char output[512];
    result r;

    (void) setenv("TEST_DN", directory_account_get(paul)->dn, 1);
    assert_int_equal(run("LDAPTLS_CACERT=$WRITEBACK_LAB_DC_CA ldapdelete -x "
                         "-H ldaps://$WRITEBACK_LAB_DC -D \"$WRITEBACK_LAB_ADMIN_DN\" "
                         "-w \"$WRITEBACK_LAB_ADMIN_PASSWORD\" \"$TEST_DN\" 2>&1",
                         output, sizeof(output)),
                     0);

    r = reset_account(f, paul, "Too-Late-4711", 0);
    assert_outcome(&r, OUTCOME_AD_USER_NOT_FOUND);
}

/* The name changed between finding and resetting; the account did not. */
static void a_renamed_account_is_still_the_one_that_is_reset(void **state) {
    fixture *f = *state;
    _cleanup_(directory_account_freep) directory_account *frank = find(f, "frank");
    char output[512];
    result r;

    (void) setenv("TEST_DN", directory_account_get(frank)->dn, 1);
    assert_int_equal(run("LDAPTLS_CACERT=$WRITEBACK_LAB_DC_CA ldapmodrdn -r -x "
                         "-H ldaps://$WRITEBACK_LAB_DC -D \"$WRITEBACK_LAB_ADMIN_DN\" "
                         "-w \"$WRITEBACK_LAB_ADMIN_PASSWORD\" \"$TEST_DN\" CN=franklin 2>&1",
                         output, sizeof(output)),
                     0);

    r = reset_account(f, frank, "Same-Person-4711", 0);
    assert_success(&r);
    assert_true(r.reply.password_last_set != 0);
    assert_true(can_bind("frank", "Same-Person-4711"));
}

static void cancelled_calls_never_end(void **state) {
    fixture *f = *state;
    _cleanup_(directory_account_freep) directory_account *grace = find(f, "grace");
    _cleanup_(secret_freep) secret *password = NULL;
    directory_attempt attempt = {.deadline = now_monotonic() + PATIENCE};
    directory_identifier id = {IDENTIFIER_SAM_ACCOUNT_NAME, "alice"};
    directory_call *call;
    result never = {}, r;

    assert_int_equal(secret_new("Cancelled-4711", 14, &password), 0);
    assert_int_equal(
        directory_locate(f->directory, &id, now_monotonic() + PATIENCE, on_done, &never, &call), 0);
    assert_null(directory_call_free(call));

    assert_int_equal(
        directory_reset(f->directory, grace, password, 0, &attempt, on_done, &never, &call), 0);
    assert_true(sd_event_run(f->event, 0) >= 0);
    directory_call_free(call);

    r = locate(f, IDENTIFIER_SAM_ACCOUNT_NAME, "alice");
    assert_success(&r);
    directory_account_free(r.account);
    assert_false(never.done);
}

/* ---- Changing passwords ---------------------------------------------------------------------- */

/* A user of a test's own, below OU=Staff, with everybody's password, set just now. */
static void add_user(const char *name) {
    char output[1024];

    (void) setenv("TEST_USER", name, 1);
    (void) setenv("TEST_DN", staff_dn(name), 1);
    if (run("printf 'dn: %s\\nobjectClass: user\\nsAMAccountName: %s\\nuserPrincipalName: %s@" DOMAIN
            "\\nuserAccountControl: 512\\nunicodePwd:: %s\\n' \"$TEST_DN\" \"$TEST_USER\" "
            "\"$TEST_USER\" \"$(printf '\"%s\"' \"$WRITEBACK_LAB_USER_PASSWORD\" | "
            "iconv -t UTF-16LE | base64 -w 0)\" | "
            "LDAPTLS_CACERT=$WRITEBACK_LAB_DC_CA ldapadd -x -H ldaps://$WRITEBACK_LAB_DC "
            "-D \"$WRITEBACK_LAB_ADMIN_DN\" -w \"$WRITEBACK_LAB_ADMIN_PASSWORD\" 2>&1",
            output, sizeof(output)) != 0)
        fail_msg("ldapadd: %s", output);
}

/* So that what was set just now may be changed. */
static void without_minimum_age(void (*test)(fixture *f), fixture *f) {
    modify(lab("BASE_DN"), "replace: minPwdAge\\nminPwdAge: 0\\n");
    test(f);
    modify(lab("BASE_DN"), "replace: minPwdAge\\nminPwdAge: -864000000000\\n");
}

static void lock_out(const char *user) {
    for (size_t i = 0; i < 5; i++)
        assert_false(can_bind(user, "wrong"));
    assert_string_not_equal(attribute(user, "lockoutTime"), "0");
}

static void change_rightly(fixture *f) {
    usec_t before = now_realtime();
    result r;

    add_user("changer");
    r = change(f, "changer", lab("USER_PASSWORD"), "Geändert \"von\" mir 1");
    assert_success(&r);
    assert_true(r.reply.sent);
    assert_string_equal(r.controller, lab("DC"));
    assert_in_range(r.reply.password_last_set, before - 2 * USEC_PER_SEC,
                    now_realtime() + 2 * USEC_PER_SEC);
    assert_false(r.reply.history_not_enforced || r.reply.must_change || r.reply.must_change_failed);
    assert_true(can_bind("changer", "Geändert \"von\" mir 1"));
    assert_false(can_bind("changer", lab("USER_PASSWORD")));
}

static void the_owner_changes_the_password(void **state) {
    without_minimum_age(change_rightly, *state);
}

static void change_wrongly(fixture *f) {
    result r;

    add_user("mistaken");
    r = change(f, "mistaken", "Not-My-Password-1", "Never-Set-4711");
    assert_outcome(&r, OUTCOME_AD_INCORRECT_PASSWORD);
    assert_int_equal(r.reply.ad_error, 0x56);
    assert_string_equal(attribute("mistaken", "badPwdCount"), "1");
    assert_true(can_bind("mistaken", lab("USER_PASSWORD")));
}

static void a_wrong_current_password_is_told_and_changes_nothing(void **state) {
    without_minimum_age(change_wrongly, *state);
}

static void change_against_the_policy(fixture *f) {
    result r;

    add_user("rulebreaker");
    r = change(f, "rulebreaker", lab("USER_PASSWORD"), "Ab1");
    assert_outcome(&r, OUTCOME_AD_PASSWORD_POLICY);
    assert_int_equal(r.reply.n_reasons, 1);
    assert_reason(&r, "minimumPasswordLength", 7);

    r = change(f, "rulebreaker", lab("USER_PASSWORD"), "only-small-letters");
    assert_outcome(&r, OUTCOME_AD_PASSWORD_POLICY);
    assert_int_equal(r.reply.n_reasons, 1);
    assert_reason(&r, "passwordComplexity", 0);

    r = change(f, "rulebreaker", lab("USER_PASSWORD"), "In-Between-4711");
    assert_success(&r);
    r = change(f, "rulebreaker", "In-Between-4711", lab("USER_PASSWORD"));
    assert_outcome(&r, OUTCOME_AD_PASSWORD_POLICY);
    assert_int_equal(r.reply.n_reasons, 1);
    assert_reason(&r, "passwordHistory", 24);
    assert_true(can_bind("rulebreaker", "In-Between-4711"));
}

static void the_policy_holds_for_a_change_and_each_rule_is_told(void **state) {
    without_minimum_age(change_against_the_policy, *state);
}

static void the_minimum_age_holds_for_a_change(void **state) {
    result r;

    add_user("hasty");
    r = change(*state, "hasty", lab("USER_PASSWORD"), "Too-Soon-4711");
    assert_outcome(&r, OUTCOME_AD_PASSWORD_POLICY);
    assert_int_equal(r.reply.n_reasons, 1);
    assert_reason(&r, "minimumPasswordAge", 24 * 60 * 60);
    assert_true(can_bind("hasty", lab("USER_PASSWORD")));
}

static void change_while_locked(fixture *f) {
    result r;

    add_user("lockedout");
    lock_out("lockedout");
    r = change(f, "lockedout", lab("USER_PASSWORD"), "Never-Set-4711");
    assert_outcome(&r, OUTCOME_AD_ACCOUNT_LOCKED_OUT);
    assert_int_equal(r.reply.ad_error, 0x775);
}

static void a_locked_account_cannot_change_its_password(void **state) {
    without_minimum_age(change_while_locked, *state);
}

static void change_where_forbidden(fixture *f) {
    result r;

    add_user("tied");
    add_to_acl(staff_dn("tied"), "(OD;;CR;ab721a53-1e2f-11d0-9819-00aa0040529b;;PS)"
                                 "(OD;;CR;ab721a53-1e2f-11d0-9819-00aa0040529b;;WD)");
    r = change(f, "tied", lab("USER_PASSWORD"), "Never-Set-4711");
    assert_outcome(&r, OUTCOME_AD_PASSWORD_POLICY);
    assert_int_equal(r.reply.n_reasons, 1);
    assert_reason(&r, "userCannotChangePassword", 0);
    assert_true(can_bind("tied", lab("USER_PASSWORD")));
}

static void an_account_that_may_not_change_its_password_is_told(void **state) {
    without_minimum_age(change_where_forbidden, *state);
}

/* The agent's account is nobody there, and need not be anybody. */
static void a_change_needs_none_of_the_agents_rights(void **state) {
    result r = change(*state, "oscar", lab("USER_PASSWORD"), "Oscars-Own-4711");

    assert_success(&r);
    assert_true(can_bind("oscar", "Oscars-Own-4711"));
}

static void who_must_change_and_who_has_expired_can_change(void **state) {
    char error[1024];
    result r;

    add_user("new-here");
    modify(staff_dn("new-here"), "replace: pwdLastSet\\npwdLastSet: 0\\n");
    r = change(*state, "new-here", lab("USER_PASSWORD"), "First-Own-4711");
    assert_success(&r);
    assert_false(r.reply.must_change);
    assert_true(can_bind("new-here", "First-Own-4711"));

    add_user("gone-by");
    modify(staff_dn("gone-by"), "replace: pwdLastSet\\npwdLastSet: 0\\n-\\n"
                                "replace: accountExpires\\naccountExpires: 130000000000000000\\n");
    r = change(*state, "gone-by", lab("USER_PASSWORD"), "Too-Late-4711");
    assert_success(&r);
    bind_error("gone-by", "Too-Late-4711", error, sizeof(error));
    assert_non_null(strstr(error, "data 701"));
}

/* ---- Unlocking ------------------------------------------------------------------------------- */

static void a_locked_account_is_unlocked_and_keeps_its_password(void **state) {
    result r;

    add_user("forgetful");
    lock_out("forgetful");
    assert_false(can_bind("forgetful", lab("USER_PASSWORD")));

    r = unlock(*state, "forgetful");
    assert_success(&r);
    assert_true(r.reply.account_unlocked);
    assert_false(r.reply.account_still_locked);
    assert_int_equal(r.reply.password_last_set, 0);
    assert_string_equal(attribute("forgetful", "lockoutTime"), "0");
    assert_true(can_bind("forgetful", lab("USER_PASSWORD")));
}

static void an_account_that_is_not_locked_is_no_failure(void **state) {
    result r = unlock(*state, "grace");

    assert_success(&r);
    assert_false(r.reply.account_unlocked || r.reply.account_still_locked);
}

static void an_unlock_without_the_right_is_a_matter_of_permissions(void **state) {
    result r = unlock(*state, "oscar");

    assert_outcome(&r, OUTCOME_AD_PERMISSIONS);
}

/* ---- Controllers that cannot be used --------------------------------------------------------- */

static void a_wrong_ca_is_told(void **state) {
    fixture *f = *state;
    result r;

    free(f->config.ca_file);
    f->config.ca_file = strdup("/etc/ssl/certs/ca-certificates.crt");
    open_directory(f);

    r = locate(f, IDENTIFIER_SAM_ACCOUNT_NAME, "alice");
    assert_outcome(&r, OUTCOME_AD_CONFIGURATION);
    assert_non_null(strstr(r.detail, "is not trusted"));
    assert_non_null(strstr(r.detail, "/etc/ssl/certs/ca-certificates.crt"));
}

static void a_ca_file_that_is_not_there_is_told(void **state) {
    fixture *f = *state;
    result r;

    free(f->config.ca_file);
    f->config.ca_file = strdup("/nowhere/ca.pem");
    open_directory(f);

    r = locate(f, IDENTIFIER_SAM_ACCOUNT_NAME, "alice");
    assert_outcome(&r, OUTCOME_AD_CONFIGURATION);
    assert_non_null(strstr(r.detail, "CaFile=/nowhere/ca.pem"));
    assert_non_null(strstr(r.detail, "No such file"));
}

static void use_controllers(fixture *f, const char *one, const char *two) {
    for (char **name = f->config.controllers; *name; name++)
        free(*name);
    free(f->config.controllers);
    f->config.controllers = list_of(one, two);
    open_directory(f);
}

static void a_wrong_name_is_told(void **state) {
    fixture *f = *state;
    result r;

    /* The same controller by its short name, which its certificate does not bear. */
    use_controllers(f, "dc1", NULL);
    r = locate(f, IDENTIFIER_SAM_ACCOUNT_NAME, "alice");
    assert_outcome(&r, OUTCOME_AD_CONFIGURATION);
    assert_non_null(strstr(r.detail, "DNS:dc1.corp.example"));
    assert_non_null(strstr(r.detail, "not for dc1"));
}

static void a_plain_text_port_is_told(void **state) {
    fixture *f = *state;
    char name[128];
    result r;

    (void) snprintf(name, sizeof(name), "%s:389", lab("DC"));
    use_controllers(f, name, NULL);
    r = locate(f, IDENTIFIER_SAM_ACCOUNT_NAME, "alice");
    assert_outcome(&r, OUTCOME_AD_CONFIGURATION);
    assert_non_null(strstr(r.detail, "plain text"));
    assert_non_null(strstr(r.detail, "636"));
}

static void the_global_catalog_is_told(void **state) {
    fixture *f = *state;
    char name[128];
    result r;

    (void) snprintf(name, sizeof(name), "%s:3269", lab("DC"));
    use_controllers(f, name, NULL);
    r = locate(f, IDENTIFIER_SAM_ACCOUNT_NAME, "alice");
    assert_outcome(&r, OUTCOME_AD_CONFIGURATION);
    assert_non_null(strstr(r.detail, "global catalog"));
}

static void a_host_that_does_not_exist_is_told(void **state) {
    fixture *f = *state;
    result r;

    use_controllers(f, "dc9.corp.example", NULL);
    r = locate(f, IDENTIFIER_SAM_ACCOUNT_NAME, "alice");
    assert_outcome(&r, OUTCOME_AD_NOT_REACHABLE);
    assert_non_null(strstr(r.detail, "dc9.corp.example: it has no address"));
}

/* A socket that takes connections and says nothing. */
static int listen_silently(char *name, size_t size) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 10), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *) &address, &length), 0);
    (void) snprintf(name, size, "127.0.0.1:%u", ntohs(address.sin_port));
    return fd;
}

static void a_silent_controller_costs_no_more_than_the_deadline(void **state) {
    fixture *f = *state;
    char name[64];
    _cleanup_close_ int silent = listen_silently(name, sizeof(name));
    usec_t began, took;
    result r;

    assert_true(silent >= 0);
    use_controllers(f, name, NULL);
    began = now_monotonic();
    r = locate_until(f, IDENTIFIER_SAM_ACCOUNT_NAME, "alice", USEC_PER_SEC);
    took = now_monotonic() - began;

    assert_outcome(&r, OUTCOME_AD_NOT_REACHABLE);
    assert_in_range(took, USEC_PER_SEC, 5 * USEC_PER_SEC);
}

static void a_silent_controller_is_told_as_one(void **state) {
    fixture *f = *state;
    char name[64];
    _cleanup_close_ int silent = listen_silently(name, sizeof(name));
    result r;

    assert_true(silent >= 0);
    use_controllers(f, name, NULL);
    r = locate(f, IDENTIFIER_SAM_ACCOUNT_NAME, "alice");
    assert_outcome(&r, OUTCOME_AD_NOT_REACHABLE);
    assert_non_null(strstr(r.detail, "does not answer the TLS handshake"));
    assert_int_equal(directory_controller(f->directory, 0)->state, CONTROLLER_UNUSABLE);
}

static void dead_controllers_first_in_the_list_cost_no_time(void **state) {
    fixture *f = *state;
    char name[64];
    _cleanup_close_ int silent = listen_silently(name, sizeof(name));
    usec_t began = now_monotonic();
    result r;

    assert_true(silent >= 0);
    use_controllers(f, name, lab("DC"));
    r = locate(f, IDENTIFIER_SAM_ACCOUNT_NAME, "alice");
    assert_success(&r);
    assert_string_equal(r.controller, lab("DC"));
    directory_account_free(r.account);
    assert_true(now_monotonic() - began < 8 * USEC_PER_SEC);

    f->directory = directory_free(f->directory);
    use_controllers(f, "dc9.corp.example:1", lab("DC"));
    r = locate(f, IDENTIFIER_SAM_ACCOUNT_NAME, "alice");
    assert_success(&r);
    directory_account_free(r.account);
}

/* Where three wrong passwords lock an account, and only an administrator unlocks it. */
/* The ports from which connections to the controller go. */
static void established(char *output, size_t size) {
    assert_int_equal(run("ss -Htn state established '( dport = :636 )' | awk '{ print $3 }' | sort",
                         output, size),
                     0);
}

/* AD ends what has been idle for fifteen minutes; here for twelve seconds. */
static void connections_that_are_ended_for_idleness_cost_no_request(void **state) {
    fixture *f = *state;
    static const char policy[] = "CN=Default Query Policy,CN=Query-Policies,CN=Directory Service,"
                                 "CN=Windows NT,CN=Services,CN=Configuration,DC=corp,DC=example";
    char before[256], after[256];
    usec_t since, until = now_monotonic() + PATIENCE;
    result r;

    modify(policy, "replace: lDAPAdminLimits\\nlDAPAdminLimits: MaxConnIdleTime=12\\n");
    open_directory(f);
    directory_account_free(find(f, "alice"));
    since = directory_controller(f->directory, 0)->since;
    established(before, sizeof(before));
    do {
        assert_true(sd_event_run(f->event, 100 * USEC_PER_MSEC) >= 0);
        established(after, sizeof(after));
        assert_true(now_monotonic() < until);
    } while (strcmp(before, after) == 0);

    r = locate(f, IDENTIFIER_SAM_ACCOUNT_NAME, "alice");
    assert_success(&r);
    directory_account_free(r.account);
    assert_int_equal(directory_controller(f->directory, 0)->state, CONTROLLER_USABLE);
    assert_true(directory_controller(f->directory, 0)->since == since);
    modify(policy, "replace: lDAPAdminLimits\\nlDAPAdminLimits: MaxConnIdleTime=900\\n");
}

static void a_wrong_bind_password_is_told_and_does_not_lock_the_account(void **state) {
    fixture *f = *state;
    const controller_status *status;
    result r;

    modify(lab("BASE_DN"), "replace: lockoutThreshold\\nlockoutThreshold: 3\\n");
    secret_free(f->config.bind_password);
    assert_int_equal(secret_new("wrong", 5, &f->config.bind_password), 0);
    use_controllers(f, lab("DC"), "127.0.0.2");

    for (size_t i = 0; i < 10; i++) {
        r = locate(f, IDENTIFIER_SAM_ACCOUNT_NAME, "alice");
        assert_outcome(&r, OUTCOME_AD_CONFIGURATION);
        assert_non_null(strstr(r.detail, "wrong password"));
    }

    status = directory_controller(f->directory, 0);
    assert_int_equal(status->state, CONTROLLER_UNUSABLE);
    assert_int_equal(status->outcome, OUTCOME_AD_CONFIGURATION);
    assert_string_equal(attribute("svc-writeback", "badPwdCount"), "1");
    assert_true(can_bind("svc-writeback", lab("SERVICE_PASSWORD")));
    modify(lab("BASE_DN"), "replace: lockoutThreshold\\nlockoutThreshold: 5\\n");
}

/* As the administrator: an entry, in LDIF. */
static void add(const char *dn, const char *attributes) {
    char output[1024];

    (void) setenv("TEST_LDIF", dn, 1);
    (void) setenv("TEST_ATTRIBUTES", attributes, 1);
    if (run("printf 'dn: %s\\n%b' \"$TEST_LDIF\" \"$TEST_ATTRIBUTES\" | "
            "LDAPTLS_CACERT=$WRITEBACK_LAB_DC_CA ldapadd -x -H ldaps://$WRITEBACK_LAB_DC "
            "-D \"$WRITEBACK_LAB_ADMIN_DN\" -w \"$WRITEBACK_LAB_ADMIN_PASSWORD\" 2>&1",
            output, sizeof(output)) != 0)
        fail_msg("ldapadd: %s", output);
}

/* A fine-grained policy under which this user's password has expired a second after it was set. */
static void let_password_expire(const char *user) {
    char attributes[1024];

    (void) snprintf(attributes, sizeof(attributes),
                    "objectClass: msDS-PasswordSettings\\n"
                    "msDS-PasswordSettingsPrecedence: 1\\n"
                    "msDS-PasswordReversibleEncryptionEnabled: FALSE\\n"
                    "msDS-PasswordHistoryLength: 0\\n"
                    "msDS-PasswordComplexityEnabled: FALSE\\n"
                    "msDS-MinimumPasswordLength: 7\\n"
                    "msDS-MinimumPasswordAge: 0\\n"
                    "msDS-MaximumPasswordAge: -10000000\\n"
                    "msDS-LockoutThreshold: 0\\n"
                    "msDS-LockoutObservationWindow: -18000000000\\n"
                    "msDS-LockoutDuration: -18000000000\\n"
                    "msDS-PSOAppliesTo: %s\\n",
                    staff_dn(user));
    add("CN=Short lived,CN=Password Settings Container,CN=System,DC=corp,DC=example", attributes);
}

#define NO_HOURS "AAAAAAAAAAAAAAAAAAAAAAAAAAAA" /* 21 bytes, a bit for each hour of a week */

/* With the right password, so that nothing counts towards a lockout. */
static void each_trouble_of_the_agents_account_is_told(void **state) {
    fixture *f = *state;
    static const struct {
        const char *user, *reason;
    } accounts[] = {
        {"carol", "the account is disabled ("},
        {"mustchange", "the account must change its password first ("},
        {"expired", "the account has expired ("},
        {"oscar", "the account is locked out ("},
        {"day-worker", "the account may not sign in at this hour ("},
        {"desk-worker", "the account may not sign in from this computer ("},
        {"old-timer", "the account's password has expired ("},
    };
    char error[1024] = "";
    usec_t until = now_monotonic() + PATIENCE;
    result r;

    for (size_t i = 0; i < 5; i++)
        assert_false(can_bind("oscar", "wrong"));
    add_user("day-worker");
    modify(staff_dn("day-worker"), "replace: logonHours\\nlogonHours:: " NO_HOURS "\\n");
    add_user("desk-worker");
    modify(staff_dn("desk-worker"), "replace: userWorkstations\\nuserWorkstations: DESK\\n");
    add_user("old-timer");
    let_password_expire("old-timer");
    while (!strstr(error, "data 532")) {
        bind_error("old-timer", lab("USER_PASSWORD"), error, sizeof(error));
        assert_true(now_monotonic() < until);
    }

    for (size_t i = 0; i < ELEMENTSOF(accounts); i++) {
        char dn[64];

        (void) snprintf(dn, sizeof(dn), "%s@" DOMAIN, accounts[i].user);
        free(f->config.bind_dn);
        f->config.bind_dn = strdup(dn);
        secret_free(f->config.bind_password);
        assert_int_equal(secret_new(lab("USER_PASSWORD"), strlen(lab("USER_PASSWORD")),
                                    &f->config.bind_password),
                         0);
        open_directory(f);
        r = locate(f, IDENTIFIER_SAM_ACCOUNT_NAME, "alice");
        assert_outcome(&r, OUTCOME_AD_CONFIGURATION);
        if (!strstr(r.detail, accounts[i].reason) ||
            !strstr(r.detail, "it is tried again after 20"))
            fail_msg("%s: %s", accounts[i].user, r.detail);
        f->directory = directory_free(f->directory);
    }
}

static void a_usable_controller_tells_what_it_is(void **state) {
    fixture *f = *state;
    _cleanup_(directory_account_freep) directory_account *alice = find(f, "alice");
    const controller_status *status = directory_controller(f->directory, 0);

    assert_non_null(alice);
    assert_int_equal(directory_n_controllers(f->directory), 1);
    assert_string_equal(directory_domain(f->directory), DOMAIN);
    assert_string_equal(status->name, lab("DC"));
    assert_int_equal(status->state, CONTROLLER_USABLE);
    assert_null(status->reason);
    assert_true(status->has_policy_hints);
    assert_true(status->not_after > now_realtime());
    assert_in_range(status->latency, 1, 10 * USEC_PER_SEC);
    assert_in_range(status->since, now_realtime() - USEC_PER_MINUTE, now_realtime());
}

/* ---- A controller without policy hints ------------------------------------------------------- */

static void without_the_control_a_reset_is_refused(void **state) {
    fixture *f = *state;
    result r = reset(f, "alice", "Never-Set-4711", 0);

    assert_outcome(&r, OUTCOME_POLICY_HINTS_UNAVAILABLE);
    assert_false(r.reply.sent);
    assert_false(directory_controller(f->directory, 0)->has_policy_hints);
    assert_true(can_bind("alice", lab("USER_PASSWORD")));
}

static void where_the_control_is_only_preferred_history_is_skipped(void **state) {
    fixture *f = *state;
    result r;

    f->config.policy_hints = POLICY_HINTS_PREFER;
    open_directory(f);
    r = reset(f, "alice", lab("USER_PASSWORD"), 0);
    assert_success(&r);
    assert_true(r.reply.history_not_enforced);

    /* The policy has another result code there, and the same meaning. */
    r = reset(f, "alice", "abc", 0);
    assert_outcome(&r, OUTCOME_AD_PASSWORD_POLICY);
    assert_int_equal(r.reply.ldap_result, 19);
    assert_reason(&r, "minimumPasswordLength", 7);
    assert_reason(&r, "passwordComplexity", 0);
}

/* ---- A read-only controller ------------------------------------------------------------------ */

/* A socket that gets a copy of each packet to or from port 389, and nothing else: a connection that
 * has ended leaves no trace elsewhere. */
static int watch_plain_text(void) {
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9), /* of the IP header: protocol */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 0, 5),
        BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
        BPF_STMT(BPF_LD | BPF_H | BPF_IND, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 389, 3, 0),
        BPF_STMT(BPF_LD | BPF_H | BPF_IND, 2),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 389, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    const struct sock_fprog filter = {ELEMENTSOF(program), program};
    int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP)};

    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)), 0);
    assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
    return fd;
}

static int plain_text_packets(int watch) {
    char packet[64];
    int n = 0;

    while (recv(watch, packet, sizeof(packet), MSG_TRUNC) > 0)
        n++;
    return n;
}

static void wait_until_tried(fixture *f, size_t controller) {
    usec_t until = now_monotonic() + PATIENCE;

    while (directory_controller(f->directory, controller)->state == CONTROLLER_UNTRIED) {
        assert_true(sd_event_run(f->event, USEC_PER_SEC) >= 0);
        if (now_monotonic() > until)
            fail_msg("the controller is never tried");
    }
}

static void sign_in_as(fixture *f, const char *dn, const char *password) {
    free(f->config.bind_dn);
    f->config.bind_dn = strdup(dn);
    secret_free(f->config.bind_password);
    assert_int_equal(secret_new(password, strlen(password), &f->config.bind_password), 0);
}

/* The account as the writable controller shows it, to be given to another directory. */
static directory_account *find_elsewhere(fixture *f, const char *user) {
    fixture writable = {.event = f->event, .config = f->config};
    directory_account *account;

    open_directory(&writable);
    account = find(&writable, user);
    directory_free(writable.directory);
    return account;
}

static void a_read_only_controller_is_passed_over_for_a_writable_one(void **state) {
    fixture *f = *state;
    _cleanup_close_ int watch = watch_plain_text();
    const controller_status *status;
    result r;

    use_controllers(f, lab("RODC"), lab("DC"));
    wait_until_tried(f, 0);
    status = directory_controller(f->directory, 0);
    assert_int_equal(status->state, CONTROLLER_UNUSABLE);
    assert_int_equal(status->outcome, OUTCOME_AD_CONFIGURATION);
    assert_false(status->is_account_refused);
    assert_non_null(strstr(status->reason, "is a read-only domain controller"));

    r = reset(f, "alice", "Written-4711-once", 0);
    assert_success(&r);
    assert_string_equal(r.controller, lab("DC"));
    assert_true(can_bind("alice", "Written-4711-once"));
    assert_false(can_bind("alice", lab("USER_PASSWORD")));
    assert_int_equal(plain_text_packets(watch), 0);
}

static void a_read_only_controller_alone_is_told_and_changes_nothing(void **state) {
    fixture *f = *state;
    _cleanup_close_ int watch = watch_plain_text();
    _cleanup_(directory_account_freep) directory_account *grace = find_elsewhere(f, "grace");
    _cleanup_free_ char *before = strdup(attribute("grace", "pwdLastSet"));
    result r;

    use_controllers(f, lab("RODC"), NULL);
    r = locate(f, IDENTIFIER_SAM_ACCOUNT_NAME, "grace");
    assert_outcome(&r, OUTCOME_AD_CONFIGURATION);
    assert_non_null(strstr(r.detail, "is a read-only domain controller, which takes no changes"));

    r = reset_account(f, grace, "Never-Set-4711", 0);
    assert_outcome(&r, OUTCOME_AD_CONFIGURATION);
    assert_non_null(strstr(r.detail, "is a read-only domain controller, which takes no changes"));
    assert_false(r.reply.sent);
    assert_string_equal(attribute("grace", "pwdLastSet"), before);
    assert_true(can_bind("grace", lab("USER_PASSWORD")));
    assert_int_equal(plain_text_packets(watch), 0);
}

/* Where the agent's account may not see what the controller is, the controller says so by a
 * referral to the writable one's port 389, where a password would go in clear text. */
static void a_referral_is_told_and_not_followed(void **state) {
    fixture *f = *state;
    _cleanup_close_ int watch = watch_plain_text();
    _cleanup_free_ char *before = strdup(attribute("heidi", "pwdLastSet"));
    result r;

    sign_in_as(f, "svc-blind@" DOMAIN, lab("SERVICE_PASSWORD"));
    use_controllers(f, lab("RODC"), NULL);
    r = reset(f, "heidi", "Never-Set-4711", 0);
    assert_int_equal(plain_text_packets(watch), 0);
    assert_outcome(&r, OUTCOME_AD_CONFIGURATION);
    assert_int_equal(r.reply.ldap_result, 10);
    assert_int_equal(r.reply.ad_error, 0x202b);
    assert_string_equal(r.controller, lab("RODC"));
    assert_string_equal(attribute("heidi", "pwdLastSet"), before);
    assert_true(can_bind("heidi", lab("USER_PASSWORD")));
}

/* The log, from when it is begun: standard error goes into a file meanwhile. */
static int begin_log(FILE **ret) {
    int before = dup(STDERR_FILENO);

    *ret = tmpfile();
    assert_non_null(*ret);
    assert_true(dup2(fileno(*ret), STDERR_FILENO) >= 0);
    return before;
}

static void end_log(FILE *file, int before, char *log, size_t size) {
    size_t n;

    (void) dup2(before, STDERR_FILENO);
    close(before);
    rewind(file);
    n = fread(log, 1, size - 1, file);
    log[n] = '\0';
    fclose(file);
    print_message("%s", log);
}

/* An account that no read-only controller may hold, the administrator's. */
static void an_account_that_it_does_not_hold_is_its_own_trouble(void **state) {
    fixture *f = *state;
    _cleanup_close_ int watch = watch_plain_text();
    const controller_status *status;
    char log[8192];
    FILE *file;
    int before;
    result r;

    sign_in_as(f, lab("ADMIN_DN"), lab("ADMIN_PASSWORD"));
    before = begin_log(&file);
    use_controllers(f, lab("RODC"), lab("DC"));
    wait_until_tried(f, 0);
    end_log(file, before, log, sizeof(log));
    assert_non_null(strstr(log, " 35034 ServiceAccountRefused"));
    assert_non_null(strstr(log, "rodc1.corp.example refuses the agent's account"));
    assert_non_null(strstr(log, "data 51f"));

    status = directory_controller(f->directory, 0);
    assert_int_equal(status->state, CONTROLLER_UNUSABLE);
    assert_true(status->is_account_refused);
    assert_non_null(
        strstr(status->reason, "a read-only controller that does not hold its password"));

    r = reset(f, "ivan", "Written-4711-once", 0);
    assert_success(&r);
    assert_string_equal(r.controller, lab("DC"));
    assert_true(can_bind("ivan", "Written-4711-once"));
    assert_int_equal(plain_text_packets(watch), 0);
}

static void a_connection_in_plain_text_would_be_seen(void **state) {
    _cleanup_close_ int watch = watch_plain_text();
    char output[1024];

    (void) state;
    (void) run("ldapwhoami -x -H ldap://$WRITEBACK_LAB_DC 2>&1", output, sizeof(output));
    assert_true(plain_text_packets(watch) > 0);
}

#define OPENED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
#define UNOPENED(test) cmocka_unit_test_setup_teardown(test, set_up_unopened, tear_down)

int main(int argc, char **argv) {
    const struct CMUnitTest without_hints[] = {
        OPENED(without_the_control_a_reset_is_refused),
        UNOPENED(where_the_control_is_only_preferred_history_is_skipped),
    };
    const struct CMUnitTest read_only[] = {
        UNOPENED(a_connection_in_plain_text_would_be_seen),
        UNOPENED(a_read_only_controller_is_passed_over_for_a_writable_one),
        UNOPENED(a_read_only_controller_alone_is_told_and_changes_nothing),
        UNOPENED(a_referral_is_told_and_not_followed),
        UNOPENED(an_account_that_it_does_not_hold_is_its_own_trouble),
    };
    const struct CMUnitTest tests[] = {
        OPENED(a_usable_controller_tells_what_it_is),
        OPENED(every_identifier_finds_the_account),
        OPENED(an_immutable_id_is_the_consistency_guid_where_there_is_one),
        OPENED(two_accounts_with_one_anchor_are_told),
        OPENED(nobody_is_told),
        OPENED(a_filter_in_an_identifier_finds_nobody),
        OPENED(the_state_of_an_account_is_seen),
        UNOPENED(members_of_privileged_groups_are_privileged_nested_and_primary),
        UNOPENED(a_privileged_group_that_does_not_exist_stops_everything),
        UNOPENED(an_account_outside_the_base_is_not_found),
        UNOPENED(a_base_that_does_not_exist_is_told),
        OPENED(the_new_password_binds_and_the_old_one_does_not),
        OPENED(names_that_dns_trip_over_are_reset_like_others),
        OPENED(too_short_is_told_with_the_length),
        OPENED(each_broken_rule_is_told),
        OPENED(complexity_is_told),
        OPENED(a_fine_grained_policy_is_told),
        OPENED(a_fine_grained_policy_that_may_be_read_is_told_in_full),
        OPENED(minimum_age_is_told_in_seconds),
        OPENED(history_is_told_and_changes_nothing),
        UNOPENED(without_hints_history_is_skipped_and_that_is_told),
        OPENED(a_locked_account_stays_locked_unless_unlocking_is_asked_for),
        OPENED(must_change_is_set_after_the_reset),
        OPENED(a_refused_must_change_leaves_the_reset_done),
        OPENED(a_protected_account_is_a_matter_of_permissions),
        OPENED(an_account_that_is_gone_by_now_is_not_found),
        OPENED(a_renamed_account_is_still_the_one_that_is_reset),
        OPENED(the_owner_changes_the_password),
        OPENED(a_wrong_current_password_is_told_and_changes_nothing),
        OPENED(the_policy_holds_for_a_change_and_each_rule_is_told),
        OPENED(the_minimum_age_holds_for_a_change),
        OPENED(a_locked_account_cannot_change_its_password),
        OPENED(an_account_that_may_not_change_its_password_is_told),
        OPENED(a_change_needs_none_of_the_agents_rights),
        OPENED(who_must_change_and_who_has_expired_can_change),
        OPENED(a_locked_account_is_unlocked_and_keeps_its_password),
        OPENED(an_account_that_is_not_locked_is_no_failure),
        OPENED(an_unlock_without_the_right_is_a_matter_of_permissions),
        OPENED(cancelled_calls_never_end),
        UNOPENED(a_wrong_ca_is_told),
        UNOPENED(a_ca_file_that_is_not_there_is_told),
        UNOPENED(a_wrong_name_is_told),
        UNOPENED(a_plain_text_port_is_told),
        UNOPENED(the_global_catalog_is_told),
        UNOPENED(a_host_that_does_not_exist_is_told),
        UNOPENED(a_silent_controller_costs_no_more_than_the_deadline),
        UNOPENED(a_silent_controller_is_told_as_one),
        UNOPENED(dead_controllers_first_in_the_list_cost_no_time),
        UNOPENED(connections_that_are_ended_for_idleness_cost_no_request),
        UNOPENED(a_wrong_bind_password_is_told_and_does_not_lock_the_account),
        UNOPENED(each_trouble_of_the_agents_account_is_told),
    };

    (void) signal(SIGPIPE, SIG_IGN);
    log_set_target(LOG_TARGET_STDERR);
    if (argc > 1 && strcmp(argv[1], "--without-hints") == 0)
        return cmocka_run_group_tests_name("directory-without-hints", without_hints, NULL, NULL);
    if (argc > 1 && strcmp(argv[1], "--read-only") == 0)
        return cmocka_run_group_tests_name("directory-read-only", read_only, NULL, NULL);
    return cmocka_run_group_tests_name("directory", tests, NULL, NULL);
}
