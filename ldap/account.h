/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* An account as an entry of the directory. Nothing here logs. */

#include "ldap/directory.h"
#include "ldap/entry.h"
#include "ldap/survey.h"

struct directory_account {
    directory_account_info info; /* points to what follows */
    char *dn, *user_principal_name, *sam_account_name, *controller;
    char guid[GUID_TEXT_MAX], sid[SID_TEXT_MAX];

    char *display_name;         /* may be NULL */
    char *policy_dn;            /* of the fine-grained policy in force; NULL: the domain's */
    bool password_not_required; /* any password will do, MS-SAMR 3.1.1.7.2 */
};

/* What account_new() needs of an entry, NULL-terminated. */
extern const char *const account_attributes[];

/* Returns 0; -ENOMEM; or -EBADMSG where the entry lacks what every account has. */
int account_new(entry e, const char *controller, directory_account **ret);

/* Whether the account's state, in these attributes of it, is locked out at the moment. */
bool account_is_locked_out(entry e);

/* Judges the account by the places that the configuration names: whether it is privileged, and in
 * scope.
 *
 * groups   an entry with its tokenGroups; NULL where no place is a group
 *
 * Returns 0, or -ENODATA where the agent's account may not see the groups. */
int account_judge(directory_account *a, const survey_result *known, const entry *groups);
