/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/answer.h"

#include <ctype.h>
#include <ldap.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/text.h"

/* Windows error codes, as they lead the text (MS-ERREF 2.2 and 2.3). */
enum {
    ERROR_ACCESS_DENIED = 0x00000005,
    ERROR_GEN_FAILURE = 0x0000001f,
    ERROR_INVALID_PASSWORD = 0x00000056,
    ERROR_NOT_AUTHENTICATED = 0x000004dc,
    ERROR_PASSWORD_RESTRICTION = 0x0000052d,
    ERROR_ACCOUNT_LOCKED_OUT = 0x00000775,
    ERROR_DS_OPERATIONS_ERROR = 0x00002020,
    ERROR_DS_STRONG_AUTH_REQUIRED = 0x00002028,
    ERROR_DS_NO_SUCH_OBJECT = 0x00002030,
    ERROR_DS_UNWILLING_TO_PERFORM = 0x00002035,
    ERROR_DS_INSUFF_ACCESS_RIGHTS = 0x00002098,
    ERROR_DS_OBJ_NOT_FOUND = 0x0000208d,
    ERROR_DS_REFERRAL = 0x0000202b,
};

/* SECURITY_STATUS, MS-ERREF 2.1 */
#define SEC_E_BAD_BINDINGS 0x80090346

#define CHANNEL_BINDING "the controller asks for channel binding"

static int hex_value(char c) {
    return isdigit((unsigned char) c) ? c - '0' : tolower((unsigned char) c) - 'a' + 10;
}

/* Eight hexadecimal digits and a colon, or 0. */
static uint32_t leading_error(const char *text) {
    uint32_t error = 0;

    for (size_t i = 0; i < 8; i++) {
        if (!isxdigit((unsigned char) text[i]))
            return 0;
        error = error << 4 | (uint32_t) hex_value(text[i]);
    }
    return text[8] == ':' ? error : 0;
}

static outcome classify_error(uint32_t error, const char *text) {
    switch (error) {
    case ERROR_PASSWORD_RESTRICTION:
        return OUTCOME_AD_PASSWORD_POLICY;

    case ERROR_INVALID_PASSWORD:
        return OUTCOME_AD_INCORRECT_PASSWORD;

    case ERROR_ACCOUNT_LOCKED_OUT:
        return OUTCOME_AD_ACCOUNT_LOCKED_OUT;

    case ERROR_ACCESS_DENIED:
    case ERROR_DS_INSUFF_ACCESS_RIGHTS:
        return OUTCOME_AD_PERMISSIONS;

    case ERROR_DS_NO_SUCH_OBJECT:
    case ERROR_DS_OBJ_NOT_FOUND:
        return OUTCOME_AD_USER_NOT_FOUND;

    case ERROR_DS_REFERRAL:
    case ERROR_NOT_AUTHENTICATED:
    case ERROR_DS_STRONG_AUTH_REQUIRED:
        return OUTCOME_AD_CONFIGURATION;

    case ERROR_DS_OPERATIONS_ERROR:
        return strstr(text, "without authentication") ? OUTCOME_AD_CONFIGURATION : OUTCOME_INVALID;

    /* Both mean much else as well. */
    case ERROR_DS_UNWILLING_TO_PERFORM:
        return strstr(text, "global catalog") ? OUTCOME_AD_CONFIGURATION : OUTCOME_INVALID;
    case ERROR_GEN_FAILURE:
        return strstr(text, "encrypted connection") ? OUTCOME_AD_CONFIGURATION : OUTCOME_INVALID;

    default:
        return OUTCOME_INVALID;
    }
}

static outcome classify_result(answer_kind kind, int result) {
    switch (result) {
    case LDAP_NO_SUCH_OBJECT:
        return OUTCOME_AD_USER_NOT_FOUND;

    case LDAP_INSUFFICIENT_ACCESS:
        return OUTCOME_AD_PERMISSIONS;

    case LDAP_UNAVAILABLE_CRITICAL_EXTENSION:
        return OUTCOME_POLICY_HINTS_UNAVAILABLE;

    /* Samba refuses "User cannot change password" so, without a Windows code. */
    case LDAP_CONSTRAINT_VIOLATION:
        return kind == ANSWER_TO_CHANGE ? OUTCOME_AD_PASSWORD_POLICY : OUTCOME_AD_UNKNOWN_ERROR;

    case LDAP_REFERRAL:
    case LDAP_AUTH_METHOD_NOT_SUPPORTED:
    case LDAP_STRONG_AUTH_REQUIRED:
    case LDAP_CONFIDENTIALITY_REQUIRED:
    case LDAP_INAPPROPRIATE_AUTH:
    case LDAP_INVALID_CREDENTIALS:
        return OUTCOME_AD_CONFIGURATION;

    case LDAP_BUSY:
    case LDAP_UNAVAILABLE:
        return OUTCOME_AD_NOT_REACHABLE;

    /* A controller that has more time will find it. */
    case LDAP_TIMELIMIT_EXCEEDED:
    case LDAP_ADMINLIMIT_EXCEEDED:
        return kind == ANSWER_TO_SEARCH ? OUTCOME_AD_NOT_REACHABLE : OUTCOME_AD_UNKNOWN_ERROR;

    default:
        return OUTCOME_AD_UNKNOWN_ERROR;
    }
}

outcome answer_classify(answer_kind kind, int result, const char *text, uint32_t *ret_ad_error) {
    uint32_t error;
    outcome o;

    assert(text);
    assert(ret_ad_error);

    error = leading_error(text);
    *ret_ad_error = error;
    if (result == LDAP_SUCCESS)
        return OUTCOME_INVALID;

    o = classify_error(error, text);
    if (o == OUTCOME_INVALID)
        o = classify_result(kind, result);

    /* A change needs no right but Change Password, which everyone has on every account that has not
     * "User cannot change password". */
    return o == OUTCOME_AD_PERMISSIONS && kind == ANSWER_TO_CHANGE ? OUTCOME_AD_PASSWORD_POLICY : o;
}

const char *answer_policy_rule(const char *text, unsigned long long *ret_required) {
    /* Samba's texts, source4/dsdb/samdb/ldb_modules/password_hash.c. */
    static const struct {
        const char *words;
        const char *rule;
    } rules[] = {
        {"too short", "minimumPasswordLength"},
        {"complexity criteria", "passwordComplexity"},
        {"already used", "passwordHistory"},
        {"too young", "minimumPasswordAge"},
        {"miscellaneous restriction", "passwordFilter"},
    };
    const char *figure;

    assert(text);
    assert(ret_required);

    *ret_required = 0;
    figure = strstr(text, "or longer than ");
    if (figure)
        (void) sscanf(figure, "or longer than %10llu", ret_required);

    for (size_t i = 0; i < ELEMENTSOF(rules); i++)
        if (strstr(text, rules[i].words))
            return rules[i].rule;
    return NULL;
}

/* The figure behind "data " in the text of a refused bind. */
static uint32_t bind_data(const char *text) {
    const char *at = strstr(text, "data ");
    uint32_t data = 0;

    if (!at)
        return 0;

    at += strlen("data ");
    for (size_t i = 0; i < 8 && isxdigit((unsigned char) at[i]); i++)
        data = data << 4 | (uint32_t) hex_value(at[i]);
    return data;
}

const bind_refusal *answer_bind_refusal(int result, const char *text) {
    static const bind_refusal by_data[] = {
        {.data = 0x525, .reason = "the account does not exist", .is_wrong_password = true},
        {.data = 0x52e,
         .reason = "wrong password, or the account does not exist",
         .is_wrong_password = true},
        {.data = 0x530, .reason = "the account may not sign in at this hour"},
        {.data = 0x531, .reason = "the account may not sign in from this computer"},
        {.data = 0x532, .reason = "the account's password has expired"},
        {.data = 0x533, .reason = "the account is disabled"},
        {.data = 0x701, .reason = "the account has expired"},
        {.data = 0x773, .reason = "the account must change its password first"},
        {.data = 0x775, .reason = "the account is locked out"},
        {.data = 0x51f,
         .reason = "the controller cannot check the account; a read-only controller that does not "
                   "hold its password answers so",
         .is_controllers = true},
        {.data = 0x35b, .reason = CHANNEL_BINDING, .is_controllers = true},
        {.data = SEC_E_BAD_BINDINGS, .reason = CHANNEL_BINDING, .is_controllers = true},
    };
    static const bind_refusal channel_binding = {
        .data = SEC_E_BAD_BINDINGS, .reason = CHANNEL_BINDING, .is_controllers = true};
    static const bind_refusal refused = {.reason = "the controller refuses the account",
                                         .is_wrong_password = true};
    static const bind_refusal wrong_way = {
        .reason = "the controller does not take a simple bind from this account",
        .is_controllers = true};
    static const bind_refusal bad_name = {.reason = "BindDn= is no name that the controller knows"};
    uint32_t data;

    assert(text);

    switch (result) {
    case LDAP_INVALID_CREDENTIALS:
        /* Windows gives different data with it. */
        if (leading_error(text) == SEC_E_BAD_BINDINGS)
            return &channel_binding;

        data = bind_data(text);
        for (size_t i = 0; i < ELEMENTSOF(by_data); i++)
            if (by_data[i].data == data)
                return &by_data[i];
        return &refused;

    case LDAP_INAPPROPRIATE_AUTH:
    case LDAP_AUTH_METHOD_NOT_SUPPORTED:
    case LDAP_STRONG_AUTH_REQUIRED:
    case LDAP_CONFIDENTIALITY_REQUIRED:
    case LDAP_UNWILLING_TO_PERFORM:
        return &wrong_way;

    case LDAP_NO_SUCH_OBJECT:
    case LDAP_INVALID_DN_SYNTAX:
        return &bad_name;

    default:
        return NULL;
    }
}

password_verdict answer_password_verdict(int result, const char *text) {
    assert(text);

    if (result == LDAP_SUCCESS)
        return PASSWORD_RIGHT;
    if (result != LDAP_INVALID_CREDENTIALS)
        return PASSWORD_UNTOLD;

    switch (bind_data(text)) {
    case 0x52e:
        return PASSWORD_WRONG;

    case 0x530:
    case 0x531:
    case 0x532:
    case 0x533:
    case 0x701:
    case 0x773:
        return PASSWORD_RIGHT;

    case 0x775:
        return PASSWORD_PERHAPS;

    default:
        return PASSWORD_UNTOLD;
    }
}

char *answer_describe(int result, const char *text) {
    char *sentence;

    assert(text);

    sentence =
        *text ? text_format("LDAP result %d (%s): %.400s", result, ldap_err2string(result), text)
              : text_format("LDAP result %d (%s)", result, ldap_err2string(result));
    if (!sentence)
        return NULL;

    for (char *p = sentence; *p; p++)
        if (iscntrl((unsigned char) *p))
            *p = ' ';
    for (size_t n = strlen(sentence); n > 0 && sentence[n - 1] == ' '; n--)
        sentence[n - 1] = '\0';
    return sentence;
}
