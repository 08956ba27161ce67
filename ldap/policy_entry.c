/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/policy_entry.h"

#include <string.h>

#define DOMAIN_PASSWORD_COMPLEX 0x1 /* MS-SAMR 2.2.3.11 */

static unsigned long long count(entry e, const char *attribute) {
    int64_t n = entry_integer(e, attribute, 0);

    return n > 0 ? (unsigned long long) n : 0;
}

static bool is_true(entry e, const char *attribute) {
    _cleanup_free_ char *text = entry_text(e, attribute);

    return text && strcmp(text, "TRUE") == 0;
}

static password_policy read_fine_grained(entry e) {
    return (password_policy){
        .min_length = count(e, "msDS-MinimumPasswordLength"),
        .history_length = count(e, "msDS-PasswordHistoryLength"),
        .min_age = entry_span(e, "msDS-MinimumPasswordAge"),
        .complexity = is_true(e, "msDS-PasswordComplexityEnabled"),
        .lockout_threshold = count(e, "msDS-LockoutThreshold"),
    };
}

static password_policy read_domain(entry e) {
    return (password_policy){
        .min_length = count(e, "minPwdLength"),
        .history_length = count(e, "pwdHistoryLength"),
        .min_age = entry_span(e, "minPwdAge"),
        .complexity = entry_integer(e, "pwdProperties", 0) & DOMAIN_PASSWORD_COMPLEX,
        .lockout_threshold = count(e, "lockoutThreshold"),
    };
}

int policy_entry_search(connection *c, const directory_account *account, const survey_result *known,
                        connection_answer_fn fn, void *userdata, connection_request **ret) {
    static const char *const attributes[] = {"minPwdLength",
                                             "pwdHistoryLength",
                                             "minPwdAge",
                                             "pwdProperties",
                                             "lockoutThreshold",
                                             "msDS-MinimumPasswordLength",
                                             "msDS-PasswordHistoryLength",
                                             "msDS-MinimumPasswordAge",
                                             "msDS-PasswordComplexityEnabled",
                                             "msDS-LockoutThreshold",
                                             NULL};

    return connection_search(c, account->policy_dn ? account->policy_dn : known->naming_context,
                             LDAP_SCOPE_BASE, "(objectClass=*)", attributes, fn, userdata, ret);
}

bool policy_entry_read(const connection_answer *answer, const directory_account *account,
                       password_policy *ret) {
    const char *sign = account->policy_dn ? "msDS-MinimumPasswordLength" : "minPwdLength";
    entry e;

    if (answer->result != LDAP_SUCCESS || answer->n_entries != 1)
        return false;

    e = (entry){answer->ld, answer->entries[0]};
    if (!entry_has(e, sign))
        return false;

    *ret = account->policy_dn ? read_fine_grained(e) : read_domain(e);
    return true;
}
