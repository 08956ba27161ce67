/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/account.h"

#include <errno.h>
#include <string.h>

#include "ldap/dn.h"

/* userAccountControl, and the computed one, MS-ADTS 2.2.16 */
#define UF_ACCOUNTDISABLE 0x2
#define UF_LOCKOUT 0x10
#define UF_PASSWD_NOTREQD 0x20
#define UF_DONT_EXPIRE_PASSWD 0x10000

const char *const account_attributes[] = {
    "objectGUID",
    "objectSid",
    "userPrincipalName",
    "sAMAccountName",
    "displayName",
    "userAccountControl",
    "msDS-User-Account-Control-Computed",
    "adminCount",
    "pwdLastSet",
    "mS-DS-ConsistencyGuid",
    "msDS-ResultantPSO",
    NULL,
};

bool account_is_locked_out(entry e) {
    return entry_integer(e, "msDS-User-Account-Control-Computed", 0) & UF_LOCKOUT;
}

static int read_identity(directory_account *a, entry e) {
    uint8_t bytes[SID_SIZE_MAX];
    ssize_t size;

    if (entry_bytes(e, "objectGUID", bytes, sizeof(bytes)) != GUID_SIZE)
        return -EBADMSG;
    guid_to_text(bytes, a->guid);

    size = entry_bytes(e, "objectSid", bytes, sizeof(bytes));
    if (size < 0 || sid_to_text(bytes, (size_t) size, a->sid) < 0)
        return -EBADMSG;

    a->dn = entry_dn(e);
    a->sam_account_name = entry_text(e, "sAMAccountName");
    return a->dn && a->sam_account_name ? 0 : -EBADMSG;
}

int account_new(entry e, const char *controller, directory_account **ret) {
    _cleanup_(directory_account_freep) directory_account *a = NULL;
    int64_t control;
    int r;

    assert(controller);
    assert(ret);

    a = calloc(1, sizeof(directory_account));
    if (!a)
        return -ENOMEM;

    r = read_identity(a, e);
    if (r < 0)
        return r;

    a->user_principal_name = entry_text(e, "userPrincipalName");
    a->display_name = entry_text(e, "displayName");
    a->policy_dn = entry_text(e, "msDS-ResultantPSO");
    a->controller = strdup(controller);
    if (!a->controller)
        return -ENOMEM;

    control = entry_integer(e, "userAccountControl", -1);
    if (control < 0)
        return -EBADMSG;

    a->password_not_required = control & UF_PASSWD_NOTREQD;
    a->info = (directory_account_info){
        .dn = a->dn,
        .guid = a->guid,
        .sid = a->sid,
        .user_principal_name = a->user_principal_name,
        .sam_account_name = a->sam_account_name,
        .controller = a->controller,
        .enabled = !(control & UF_ACCOUNTDISABLE),
        .locked_out = account_is_locked_out(e),
        .must_change =
            entry_integer(e, "pwdLastSet", -1) == 0 && !(control & UF_DONT_EXPIRE_PASSWD),
        .is_protected = entry_integer(e, "adminCount", 0) > 0,
        .password_last_set = entry_date(e, "pwdLastSet"),
    };
    a->info.is_privileged = a->info.is_protected;

    *ret = TAKE_PTR(a);
    return 0;
}

static bool is_in(const directory_account *a, const place *p, const entry *groups) {
    if (p->sid.size > 0)
        return entry_has_value(*groups, "tokenGroups", p->sid.bytes, p->sid.size);

    return dn_is_below(a->dn, p->dn);
}

int account_judge(directory_account *a, const survey_result *known, const entry *groups) {
    bool found[PLACE_USE_MAX_] = {false}, wanted[PLACE_USE_MAX_] = {false};

    assert(a);
    assert(known);
    assert(groups || !known->has_groups);

    /* Every account is at least in its primary group. */
    if (groups && !entry_has(*groups, "tokenGroups"))
        return -ENODATA;

    for (size_t i = 0; i < known->n_places; i++) {
        const place *p = &known->places[i];

        wanted[p->use] = true;
        found[p->use] |= is_in(a, p, groups);
    }

    a->info.is_privileged |= found[PLACE_PRIVILEGED];
    if (found[PLACE_DENIED])
        a->info.scope = SCOPE_DENIED;
    else if (wanted[PLACE_ALLOWED] && !found[PLACE_ALLOWED])
        a->info.scope = SCOPE_NOT_ALLOWED;
    return 0;
}

const directory_account_info *directory_account_get(const directory_account *a) {
    assert(a);
    return &a->info;
}

directory_account *directory_account_free(directory_account *a) {
    if (!a)
        return NULL;

    free(a->dn);
    free(a->user_principal_name);
    free(a->sam_account_name);
    free(a->controller);
    free(a->display_name);
    free(a->policy_dn);
    free(a);
    return NULL;
}
