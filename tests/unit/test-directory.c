/* SPDX-License-Identifier: Apache-2.0 */

/* The parts of the directory room that need no controller. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "agent/base/encoding.h"
#include "ldap/answer.h"
#include "ldap/directory.h"
#include "ldap/filter.h"
#include "ldap/identity.h"
#include "ldap/password.h"
#include "ldap/policy.h"

/* ---- GUIDs and SIDs -------------------------------------------------------------------------- */

static void a_guid_keeps_its_bytes_in_the_directorys_order(void **state) {
    static const uint8_t bytes[GUID_SIZE] = {0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66,
                                             0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
    uint8_t parsed[GUID_SIZE];
    char text[GUID_TEXT_MAX];

    (void) state;

    assert_int_equal(guid_from_text("00112233-4455-6677-8899-AABBccddeeff", parsed), 0);
    assert_memory_equal(parsed, bytes, GUID_SIZE);
    assert_string_equal(guid_to_text(bytes, text), "00112233-4455-6677-8899-aabbccddeeff");
}

static void text_that_is_no_guid_is_refused(void **state) {
    static const char *const wrong[] = {
        "",
        "00112233",
        "00112233-4455-6677-8899-aabbccddeef",
        "00112233-4455-6677-8899-aabbccddeeff0",
        "{00112233-4455-6677-8899-aabbccddeeff}",
        "0011223344556677-8899-aabbccddeeff",
        "00112233-4455-6677-8899-aabbccddeefg",
        "00112233-4455-6677-8899-aabbccddee\xc3\xbc",
    };
    uint8_t parsed[GUID_SIZE];

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
        assert_int_equal(guid_from_text(wrong[i], parsed), -EINVAL);
}

static void a_sid_is_text_and_bytes(void **state) {
    static const uint8_t bytes[] = {1,    5,    0,    0,    0,    0,    0, 5, 21, 0,
                                    0,    0,    0xff, 0xff, 0xff, 0xff, 2, 0, 0,  0,
                                    0x04, 0x03, 0x02, 0x01, 0xf4, 1,    0, 0};
    uint8_t parsed[SID_SIZE_MAX];
    char text[SID_TEXT_MAX];
    size_t size;

    (void) state;

    assert_int_equal(sid_from_text("S-1-5-21-4294967295-2-16909060-500", parsed, &size), 0);
    assert_int_equal(size, sizeof(bytes));
    assert_memory_equal(parsed, bytes, size);
    assert_int_equal(sid_to_text(bytes, sizeof(bytes), text), 0);
    assert_string_equal(text, "S-1-5-21-4294967295-2-16909060-500");
}

static void text_that_is_no_sid_is_refused(void **state) {
    static const char *const wrong[] = {
        "",
        "S-1-5",
        "S-2-5-21",
        "s-1-5-21",
        "S-1-5-",
        "S-1-5-4294967296",
        "S-1-5-18446744073709551617",
        "S-1--5-21",
        "S-1-5-+21",
        "S-1-5-21 ",
        "S-1-5-0x15",
        "S-1-5-1-2-3-4-5-6-7-8-9-10-11-12-13-14-15-16",
    };
    uint8_t parsed[SID_SIZE_MAX];
    size_t size;

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
        assert_int_equal(sid_from_text(wrong[i], parsed, &size), -EINVAL);
}

static void bytes_that_are_no_sid_are_refused(void **state) {
    static const struct {
        uint8_t bytes[16];
        size_t size;
    } wrong[] = {
        {{1}, 0},
        {{1, 1, 0, 0, 0, 0, 0}, 7},
        {{2, 1, 0, 0, 0, 0, 0, 5, 18}, 12},
        {{1, 2, 0, 0, 0, 0, 0, 5, 18}, 12},
        {{1, 16, 0, 0, 0, 0, 0, 5, 18}, 12},
        {{1, 1, 1, 0, 0, 0, 0, 5, 18}, 12},
    };
    char text[SID_TEXT_MAX];

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
        assert_int_equal(sid_to_text(wrong[i].bytes, wrong[i].size, text), -EINVAL);
}

/* ---- Identifiers and filters ----------------------------------------------------------------- */

static void identifiers_have_their_forms(void **state) {
    static const struct {
        directory_identifier id;
        int r;
    } ids[] = {
        {{IDENTIFIER_IMMUTABLE_ID, "AAECAwQFBgcICQoLDA0ODw=="}, 0},
        {{IDENTIFIER_IMMUTABLE_ID, "AAECAwQFBgcICQoLDA0O"}, -EINVAL},
        {{IDENTIFIER_IMMUTABLE_ID, "AAECAwQFBgcICQoLDA0ODxA="}, -EINVAL},
        {{IDENTIFIER_IMMUTABLE_ID, "AAECAwQFBgcICQoLDA0ODw"}, -EINVAL},
        {{IDENTIFIER_IMMUTABLE_ID, ""}, -EINVAL},
        {{IDENTIFIER_OBJECT_GUID, "00112233-4455-6677-8899-aabbccddeeff"}, 0},
        {{IDENTIFIER_OBJECT_GUID, "alice"}, -EINVAL},
        {{IDENTIFIER_SID, "S-1-5-21-1-2-3-1000"}, 0},
        {{IDENTIFIER_SID, "alice"}, -EINVAL},
        {{IDENTIFIER_USER_PRINCIPAL_NAME, "jürgen.o'neil@corp.example"}, 0},
        {{IDENTIFIER_USER_PRINCIPAL_NAME, "a@b@corp.example"}, 0},
        {{IDENTIFIER_USER_PRINCIPAL_NAME, "alice"}, -EINVAL},
        {{IDENTIFIER_USER_PRINCIPAL_NAME, "@corp.example"}, -EINVAL},
        {{IDENTIFIER_USER_PRINCIPAL_NAME, "alice@"}, -EINVAL},
        {{IDENTIFIER_USER_PRINCIPAL_NAME, "al\xffice@corp.example"}, -EINVAL},
        {{IDENTIFIER_USER_PRINCIPAL_NAME, "al\nice@corp.example"}, -EINVAL},
        {{IDENTIFIER_USER_PRINCIPAL_NAME, ""}, -EINVAL},
        {{IDENTIFIER_SAM_ACCOUNT_NAME, "alice"}, 0},
        {{IDENTIFIER_SAM_ACCOUNT_NAME, "jürgen"}, 0},
        {{IDENTIFIER_SAM_ACCOUNT_NAME, "CORP\\alice"}, -EINVAL},
        {{IDENTIFIER_SAM_ACCOUNT_NAME, "*"}, -EINVAL},
        {{IDENTIFIER_SAM_ACCOUNT_NAME, "al\tice"}, -EINVAL},
        {{IDENTIFIER_SAM_ACCOUNT_NAME, ""}, -EINVAL},
    };

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(ids); i++) {
        const char *why = NULL;

        assert_int_equal(directory_identifier_check(&ids[i].id, &why), ids[i].r);
        assert_int_equal(why != NULL, ids[i].r < 0);
    }
}

static void an_endless_name_is_refused(void **state) {
    char name[2048];
    directory_identifier id = {IDENTIFIER_USER_PRINCIPAL_NAME, name};
    const char *why;

    (void) state;

    memset(name, 'a', sizeof(name));
    memcpy(name + sizeof(name) - 6, "@corp", 6);
    assert_int_equal(directory_identifier_check(&id, &why), -EINVAL);
    id.value = name + sizeof(name) - 1025;
    assert_int_equal(directory_identifier_check(&id, &why), 0);
}

static void assert_filter(directory_identifier_type type, const char *value, filter_anchor anchor,
                          const char *expected) {
    _cleanup_free_ char *filter = filter_for_account(&(directory_identifier){type, value}, anchor);

    assert_string_equal(filter, expected);
}

static void filters_find_user_accounts_only_and_are_escaped(void **state) {
    (void) state;

    assert_filter(IDENTIFIER_USER_PRINCIPAL_NAME, "*)(cn=\\a*@x", ANCHOR_CONSISTENCY_GUID,
                  "(&(sAMAccountType=805306368)(userPrincipalName=\\2a\\29\\28cn=\\5ca\\2a@x))");
    assert_filter(IDENTIFIER_SAM_ACCOUNT_NAME, "o'neil (ext)", ANCHOR_CONSISTENCY_GUID,
                  "(&(sAMAccountType=805306368)(sAMAccountName=o'neil \\28ext\\29))");
    assert_filter(IDENTIFIER_SID, "S-1-5-18", ANCHOR_CONSISTENCY_GUID,
                  "(&(sAMAccountType=805306368)(objectSid="
                  "\\01\\01\\00\\00\\00\\00\\00\\05\\12\\00\\00\\00))");
    assert_filter(IDENTIFIER_OBJECT_GUID, "00112233-4455-6677-8899-aabbccddeeff",
                  ANCHOR_CONSISTENCY_GUID,
                  "(&(sAMAccountType=805306368)(objectGUID="
                  "\\33\\22\\11\\00\\55\\44\\77\\66\\88\\99\\aa\\bb\\cc\\dd\\ee\\ff))");
    assert_filter(IDENTIFIER_IMMUTABLE_ID, "MyIRAFVEd2aImaq7zN3u/w==", ANCHOR_CONSISTENCY_GUID,
                  "(&(sAMAccountType=805306368)(mS-DS-ConsistencyGuid="
                  "\\33\\22\\11\\00\\55\\44\\77\\66\\88\\99\\aa\\bb\\cc\\dd\\ee\\ff))");
    assert_filter(IDENTIFIER_IMMUTABLE_ID, "MyIRAFVEd2aImaq7zN3u/w==", ANCHOR_OBJECT_GUID,
                  "(&(sAMAccountType=805306368)(objectGUID="
                  "\\33\\22\\11\\00\\55\\44\\77\\66\\88\\99\\aa\\bb\\cc\\dd\\ee\\ff))");
}

/* ---- Passwords ------------------------------------------------------------------------------- */

static secret *password_of(const char *text, size_t size) {
    secret *s;

    assert_int_equal(secret_new(text, size, &s), 0);
    return s;
}

static void passwords_that_unicodepwd_cannot_take_are_refused(void **state) {
    static const struct {
        const char *text;
        size_t size;
        int r;
    } passwords[] = {
        {"", 0, -EINVAL},
        {"a", 1, 0},
        {"a\0b", 3, -EINVAL},
        {"\xff", 1, -EINVAL},
        {"\xed\xa0\x80", 3, -EINVAL}, /* a lone surrogate */
        {"\xc0\x80", 2, -EINVAL},     /* an overlong NUL */
        {"\"ç€😀\"", 11, 0},
    };

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(passwords); i++) {
        _cleanup_(secret_freep) secret *s = password_of(passwords[i].text, passwords[i].size);
        const char *why = NULL;

        assert_int_equal(directory_password_check(s, &why), passwords[i].r);
        assert_int_equal(why != NULL, passwords[i].r < 0);
    }
}

static void the_longest_password_has_256_units(void **state) {
    char text[512];
    _cleanup_(secret_freep) secret *longest = NULL, *longer = NULL, *emoji = NULL;
    const char *why;

    (void) state;

    memset(text, 'x', sizeof(text));
    longest = password_of(text, 256);
    longer = password_of(text, 257);
    assert_int_equal(directory_password_check(longest, &why), 0);
    assert_int_equal(directory_password_check(longer, &why), -EINVAL);

    /* Two units each. */
    for (size_t i = 0; i < 128; i++)
        memcpy(text + i * 4, "😀", 4);
    emoji = password_of(text, 512);
    assert_int_equal(directory_password_check(emoji, &why), 0);
}

static void a_password_is_sent_in_quotes_and_utf16(void **state) {
    static const char expected[] = "\"\0A\0\"\0\xac\x20\x3d\xd8\x00\xde\"";
    _cleanup_(secret_freep) secret *s = password_of("A\"€😀", 9), *encoded = NULL;

    (void) state;

    assert_int_equal(password_encode(s, &encoded), 0);
    assert_int_equal(secret_size(encoded), sizeof(expected));
    assert_memory_equal(secret_data(encoded), expected, sizeof(expected));
}

/* ---- Answers --------------------------------------------------------------------------------- */

/* Samba 4.22 and 4.24 as measured; Windows as documented and reported. */
static void answers_are_told_apart(void **state) {
    static const struct {
        answer_kind kind;
        int result;
        const char *text;
        outcome outcome;
        uint32_t ad_error;
    } answers[] = {
        {ANSWER_TO_RESET, 0, "", OUTCOME_INVALID, 0},
        {ANSWER_TO_RESET, 0, "00000000: Success", OUTCOME_INVALID, 0},

        /* The policy: 19 or 53, by server and version. */
        {ANSWER_TO_RESET, 19,
         "0000052D: Constraint violation - check_password_restrictions: the password is too short. "
         "It should be equal to or longer than 7 characters!",
         OUTCOME_AD_PASSWORD_POLICY, 0x52d},
        {ANSWER_TO_RESET, 53,
         "0000052D: Unwilling to perform - check_password_restrictions: the password does not meet "
         "the complexity criteria!",
         OUTCOME_AD_PASSWORD_POLICY, 0x52d},
        {ANSWER_TO_RESET, 53,
         "0000052D: SvcErr: DSID-031A126C, problem 5003 (WILL_NOT_PERFORM), data 0\n",
         OUTCOME_AD_PASSWORD_POLICY, 0x52d},
        {ANSWER_TO_CHANGE, 19,
         "0000052D: AtrErr: DSID-03190F80, #1:\n\t0: 0000052D: DSID-03190F80, problem 1005 "
         "(CONSTRAINT_ATT_TYPE), data 0, Att 9005a (unicodePwd)\n",
         OUTCOME_AD_PASSWORD_POLICY, 0x52d},

        /* A change with the wrong old password, and on a locked account. */
        {ANSWER_TO_CHANGE, 19,
         "00000056: Constraint violation - check_password_restrictions: The old password specified "
         "doesn't match!",
         OUTCOME_AD_INCORRECT_PASSWORD, 0x56},
        {ANSWER_TO_CHANGE, 19,
         "00000056: AtrErr: DSID-03190F80, #1:\n\t0: 00000056: DSID-03190F80, problem 1005 "
         "(CONSTRAINT_ATT_TYPE), data 0, Att 9005a (unicodePwd)\n",
         OUTCOME_AD_INCORRECT_PASSWORD, 0x56},
        {ANSWER_TO_CHANGE, 19,
         "00000775: Password change not permitted, account locked out! at "
         "source4/dsdb/samdb/ldb_modules/password_hash.c:3165",
         OUTCOME_AD_ACCOUNT_LOCKED_OUT, 0x775},
        {ANSWER_TO_CHANGE, 19, "error in module acl: Constraint violation during LDB_MODIFY (19)",
         OUTCOME_AD_PASSWORD_POLICY, 0},

        /* Rights. */
        {ANSWER_TO_RESET, 50,
         "error in module acl: insufficient access rights during LDB_MODIFY (50)",
         OUTCOME_AD_PERMISSIONS, 0},
        {ANSWER_TO_WRITE, 50, "00002098: Object CN=x has no write property access\n",
         OUTCOME_AD_PERMISSIONS, 0x2098},
        {ANSWER_TO_RESET, 50,
         "00000005: SecErr: DSID-031A11B9, problem 4003 (INSUFF_ACCESS_RIGHTS), data 0\n",
         OUTCOME_AD_PERMISSIONS, 5},
        {ANSWER_TO_WRITE, 50, "00002098: SecErr: DSID-0315130F, problem 4003\n",
         OUTCOME_AD_PERMISSIONS, 0x2098},

        /* Not there, or elsewhere. */
        {ANSWER_TO_RESET, 32, "00002030: No such Base DN: CN=nobody,DC=corp,DC=example",
         OUTCOME_AD_USER_NOT_FOUND, 0x2030},
        {ANSWER_TO_RESET, 32, "Base-DN '<GUID=01>' not found", OUTCOME_AD_USER_NOT_FOUND, 0},
        {ANSWER_TO_RESET, 32,
         "0000208D: NameErr: DSID-0310028D, problem 2001 (NO_OBJECT), data 0, best match of:\n",
         OUTCOME_AD_USER_NOT_FOUND, 0x208d},
        {ANSWER_TO_RESET, 10, "Referral:\nldap://dc1.corp.example/CN=alice",
         OUTCOME_AD_CONFIGURATION, 0},
        {ANSWER_TO_RESET, 10,
         "0000202B: RefErr: DSID-031007EF, data 0, 1 access points\n\tref 1: 'child'\n",
         OUTCOME_AD_CONFIGURATION, 0x202b},
        {ANSWER_TO_RESET, 53, "00002035: modify forbidden on global catalog port at source4",
         OUTCOME_AD_CONFIGURATION, 0x2035},

        /* Controls. */
        {ANSWER_TO_RESET, 12, "", OUTCOME_POLICY_HINTS_UNAVAILABLE, 0},
        {ANSWER_TO_RESET, 12,
         "00000057: LdapErr: DSID-0C090A2E, comment: Error processing control, data 0\n",
         OUTCOME_POLICY_HINTS_UNAVAILABLE, 0x57},

        /* What the agent would have to be wrong to get. */
        {ANSWER_TO_RESET, 53,
         "00002035: setup_io: it's not allowed to set the NT hash password directly'",
         OUTCOME_AD_UNKNOWN_ERROR, 0x2035},
        {ANSWER_TO_RESET, 53,
         "0000001F: SvcErr: DSID-031A1254, problem 5003 (WILL_NOT_PERFORM), data 0\n",
         OUTCOME_AD_UNKNOWN_ERROR, 0x1f},
        {ANSWER_TO_RESET, 53,
         "0000001F: SvcErr: DSID-031A126C, problem 5003 (WILL_NOT_PERFORM), data 0\nPassword "
         "modification over LDAP must be over an encrypted connection",
         OUTCOME_AD_CONFIGURATION, 0x1f},
        {ANSWER_TO_RESET, 21, "Element unicodePwd has empty attribute in ldb message",
         OUTCOME_AD_UNKNOWN_ERROR, 0},
        {ANSWER_TO_WRITE, 80,
         "00000057: setup_last_set_field: pwdLastSet must be 0 or -1 only! setup_last_set_field",
         OUTCOME_AD_UNKNOWN_ERROR, 0x57},
        {ANSWER_TO_RESET, 34, "", OUTCOME_AD_UNKNOWN_ERROR, 0},

        /* The session. */
        {ANSWER_TO_SEARCH, 1, "00002020: Operation unavailable without authentication",
         OUTCOME_AD_CONFIGURATION, 0x2020},
        {ANSWER_TO_SEARCH, 1,
         "000004DC: LdapErr: DSID-0C090A5C, comment: a successful bind must be completed",
         OUTCOME_AD_CONFIGURATION, 0x4dc},
        {ANSWER_TO_SEARCH, 8, "00002028: LdapErr: DSID-0C090202, comment: turn on integrity",
         OUTCOME_AD_CONFIGURATION, 0x2028},
        {ANSWER_TO_RESET, 51, "", OUTCOME_AD_NOT_REACHABLE, 0},
        {ANSWER_TO_RESET, 52, "", OUTCOME_AD_NOT_REACHABLE, 0},

        /* Texts that only look like codes. */
        {ANSWER_TO_RESET, 53, "0000052D", OUTCOME_AD_UNKNOWN_ERROR, 0},
        {ANSWER_TO_RESET, 53, "52D: short", OUTCOME_AD_UNKNOWN_ERROR, 0},
        {ANSWER_TO_RESET, 53, " 0000052D: late", OUTCOME_AD_UNKNOWN_ERROR, 0},
    };

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(answers); i++) {
        uint32_t ad_error = 1;
        outcome o = answer_classify(answers[i].kind, answers[i].result, answers[i].text, &ad_error);

        if (o != answers[i].outcome || ad_error != answers[i].ad_error)
            fail_msg("%d %s: outcome %d, error %x", answers[i].result, answers[i].text, o,
                     ad_error);
    }
}

static void sambas_texts_name_the_rule(void **state) {
    static const struct {
        const char *text, *rule;
        unsigned long long required;
    } texts[] = {
        {"0000052D: Unwilling to perform - check_password_restrictions: the password is too short. "
         "It should be equal to or longer than 15 characters!",
         "minimumPasswordLength", 15},
        {"0000052D: Constraint violation - check_password_restrictions: the password does not meet "
         "the complexity criteria!",
         "passwordComplexity", 0},
        {"0000052D: … the password was already used (in history)!", "passwordHistory", 0},
        {"0000052D: … the password was already used (previous password)!", "passwordHistory", 0},
        {"0000052D: … password is too young to change!", "minimumPasswordAge", 0},
        {"0000052D: SvcErr: DSID-031A126C, problem 5003 (WILL_NOT_PERFORM), data 0\n", NULL, 0},
        {"", NULL, 0},
    };

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
        unsigned long long required = 1;
        const char *rule = answer_policy_rule(texts[i].text, &required);

        if (texts[i].rule)
            assert_string_equal(rule, texts[i].rule);
        else
            assert_null(rule);
        assert_int_equal(required, texts[i].required);
    }
}

#define ACCEPT_ERROR "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data "

static void refused_binds_are_told_apart(void **state) {
    static const struct {
        int result;
        const char *text;
        uint32_t data;
        bool is_wrong_password;
    } binds[] = {
        {49, ACCEPT_ERROR "525, v1db1", 0x525, true},
        {49, ACCEPT_ERROR "52e, v1db1", 0x52e, true},
        {49, ACCEPT_ERROR "530, v1db1", 0x530, false},
        {49, ACCEPT_ERROR "531, v1db1", 0x531, false},
        {49, ACCEPT_ERROR "532, v1db1", 0x532, false},
        {49, ACCEPT_ERROR "533, v1db1", 0x533, false},
        {49, ACCEPT_ERROR "701, v1db1", 0x701, false},
        {49, ACCEPT_ERROR "773, v1db1", 0x773, false},
        {49, ACCEPT_ERROR "775, v1db1", 0x775, false},
        {49, ACCEPT_ERROR "51f, v1db1", 0x51f, false},
        {49, "80090346: LdapErr: DSID-0C090711, comment: AcceptSecurityContext error, data 35b",
         0x80090346, false},
        {49,
         "80090346: LdapErr: DSID-0C09056D, comment: AcceptSecurityContext error, data 80090346",
         0x80090346, false},
        {49, ACCEPT_ERROR "999, v1db1", 0, true},
        {49, "", 0, true},
        {8, "BindSimple: Transport encryption required.", 0, false},
        {34, "", 0, false},
    };

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(binds); i++) {
        const bind_refusal *refusal = answer_bind_refusal(binds[i].result, binds[i].text);

        assert_non_null(refusal);
        assert_int_equal(refusal->data, binds[i].data);
        assert_int_equal(refusal->is_wrong_password, binds[i].is_wrong_password);
    }

    assert_null(answer_bind_refusal(51, ""));
    assert_null(answer_bind_refusal(1, "00002020: Operation unavailable"));
}

static void a_described_answer_is_one_clean_line(void **state) {
    char endless[4096];
    _cleanup_free_ char *windows = answer_describe(53, "0000052D: SvcErr: DSID-1,\tdata 0\n\r\n");
    _cleanup_free_ char *empty = answer_describe(12, "");
    _cleanup_free_ char *cut = NULL;

    (void) state;

    assert_string_equal(windows, "LDAP result 53 (Server is unwilling to perform): 0000052D: "
                                 "SvcErr: DSID-1, data 0");
    assert_string_equal(empty, "LDAP result 12 (Critical extension is unavailable)");

    memset(endless, 'x', sizeof(endless) - 1);
    endless[sizeof(endless) - 1] = '\0';
    cut = answer_describe(1, endless);
    assert_true(strlen(cut) < 512);
}

/* ---- The policy's reasons -------------------------------------------------------------------- */

static void complexity_counts_three_of_five_classes(void **state) {
    static const struct {
        const char *password;
        bool is_complex;
    } passwords[] = {
        {"abcdefgh", false},   {"Abcdefgh", false},      {"Abcdefg1", true},  {"abcdef1!", true},
        {"ABCDEF1 ", false},   {"1234!?#+", false},      {"äöüß1234", false}, {"Äöüß1234", true},
        {"漢字漢字ab1", true}, {"漢字漢字漢字1", false}, {"😀😀😀Ab", false},
    };

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(passwords); i++) {
        _cleanup_(secret_freep) secret *s =
            password_of(passwords[i].password, strlen(passwords[i].password));

        if (policy_is_complex(s, "x", NULL) != passwords[i].is_complex)
            fail_msg("%s", passwords[i].password);
    }
}

static void complexity_forbids_the_names(void **state) {
    static const struct {
        const char *password, *account, *name;
        bool is_complex;
    } passwords[] = {
        {"x-ALICE-1", "alice", NULL, false},
        {"x-ALIC-1X", "alice", NULL, true},
        {"My-Al-1234", "al", NULL, true},
        {"x-Hagens-1", "eh", "Erin M. Hagens", false},
        {"x-erin-1X", "eh", "Erin M. Hagens", false},
        {"X-M-123456a", "eh", "Erin M. Hagens", true},
        {"x-hag-1X", "eh", "Erin M. Hagens", true},
        {"x-Müßig-1", "jm", "Jürgen#Müßig", false},
        {"x-MÜ-1234", "jm", "Jürgen#Mü", true},
        {"Anna-1234", "as", "Smith,\tAnna", false},
    };

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(passwords); i++) {
        _cleanup_(secret_freep) secret *s =
            password_of(passwords[i].password, strlen(passwords[i].password));

        if (policy_is_complex(s, passwords[i].account, passwords[i].name) !=
            passwords[i].is_complex)
            fail_msg("%s", passwords[i].password);
    }
}

#define WINDOWS "0000052D: SvcErr: DSID-031A126C, problem 5003 (WILL_NOT_PERFORM), data 0\n"

static void reasons_are_what_is_named_and_what_is_broken(void **state) {
    static const password_policy day = {
        .min_length = 8, .history_length = 24, .min_age = USEC_PER_DAY, .complexity = true};
    static const password_policy lax = {.min_length = 0};
    static const struct {
        const char *text;
        const password_policy *policy;
        usec_t age;
        bool history_enforced;
        const char *password;
        directory_policy_reason reasons[DIRECTORY_REASONS_MAX];
    } cases[] = {
        {WINDOWS, &day, 2 * USEC_PER_DAY, true, "aB1", {{"minimumPasswordLength", 8}}},
        {WINDOWS, &day, 2 * USEC_PER_DAY, true, "abcdefgh", {{"passwordComplexity", 0}}},
        {WINDOWS, &day, USEC_PER_HOUR, true, "Good-4711", {{"minimumPasswordAge", 86400}}},
        {WINDOWS,
         &day,
         USEC_PER_HOUR,
         true,
         "a",
         {{"minimumPasswordLength", 8}, {"passwordComplexity", 0}, {"minimumPasswordAge", 86400}}},
        /* Without hints neither age nor history counts. */
        {WINDOWS, &day, USEC_PER_HOUR, false, "Good-4711", {{"passwordFilter", 0}}},
        {WINDOWS,
         &day,
         2 * USEC_PER_DAY,
         true,
         "Good-4711",
         {{"passwordHistory", 24}, {"passwordFilter", 0}}},
        {WINDOWS, &lax, 0, true, "x", {{"passwordFilter", 0}}},
        {WINDOWS, NULL, 0, true, "x", {{NULL, 0}}},
        /* What Samba names comes first, and brings its figure or gets it from the policy. */
        {"0000052D: the password is too short. It should be equal to or longer than 15 characters!",
         &day,
         2 * USEC_PER_DAY,
         true,
         "Good-4711",
         {{"minimumPasswordLength", 15}}},
        {"0000052D: the password was already used (in history)!",
         &day,
         2 * USEC_PER_DAY,
         true,
         "Good-4711",
         {{"passwordHistory", 24}}},
        {"0000052D: password is too young to change!",
         &day,
         USEC_PER_HOUR,
         true,
         "abcdefgh",
         {{"minimumPasswordAge", 86400}, {"passwordComplexity", 0}}},
        {"0000052D: password is too young to change!",
         NULL,
         0,
         true,
         "x",
         {{"minimumPasswordAge", 0}}},
    };
    usec_t now = 1700000000 * USEC_PER_SEC;

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_(secret_freep) secret *s =
            password_of(cases[i].password, strlen(cases[i].password));
        policy_subject subject = {.sam_account_name = "ada",
                                  .password_last_set = now - cases[i].age,
                                  .now = now,
                                  .history_enforced = cases[i].history_enforced};
        directory_policy_reason reasons[DIRECTORY_REASONS_MAX];
        size_t n = policy_reasons(cases[i].text, cases[i].policy, &subject, s, reasons),
               expected = 0;

        while (cases[i].reasons[expected].rule)
            expected++;
        assert_int_equal(n, expected);
        for (size_t j = 0; j < n; j++) {
            assert_string_equal(reasons[j].rule, cases[i].reasons[j].rule);
            assert_int_equal(reasons[j].required, cases[i].reasons[j].required);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_guid_keeps_its_bytes_in_the_directorys_order),
        cmocka_unit_test(text_that_is_no_guid_is_refused),
        cmocka_unit_test(a_sid_is_text_and_bytes),
        cmocka_unit_test(text_that_is_no_sid_is_refused),
        cmocka_unit_test(bytes_that_are_no_sid_are_refused),
        cmocka_unit_test(identifiers_have_their_forms),
        cmocka_unit_test(an_endless_name_is_refused),
        cmocka_unit_test(filters_find_user_accounts_only_and_are_escaped),
        cmocka_unit_test(passwords_that_unicodepwd_cannot_take_are_refused),
        cmocka_unit_test(the_longest_password_has_256_units),
        cmocka_unit_test(a_password_is_sent_in_quotes_and_utf16),
        cmocka_unit_test(answers_are_told_apart),
        cmocka_unit_test(sambas_texts_name_the_rule),
        cmocka_unit_test(refused_binds_are_told_apart),
        cmocka_unit_test(a_described_answer_is_one_clean_line),
        cmocka_unit_test(complexity_counts_three_of_five_classes),
        cmocka_unit_test(complexity_forbids_the_names),
        cmocka_unit_test(reasons_are_what_is_named_and_what_is_broken),
    };

    return cmocka_run_group_tests_name("directory", tests, NULL, NULL);
}
