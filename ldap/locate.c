/* SPDX-License-Identifier: Apache-2.0 */

/* Finding one account: a search by its identifier; for an immutable id that no account has as its
 * mS-DS-ConsistencyGuid, a second one by objectGUID; and, where the configuration names groups, a
 * look at the account's. */

#include <errno.h>
#include <string.h>

#include "agent/base/text.h"
#include "ldap/account.h"
#include "ldap/call.h"
#include "ldap/filter.h"

typedef struct locate_call {
    directory_call call;
    directory_identifier id;
    char *value; /* id's */
    filter_anchor anchor;
    directory_account *found;
} locate_call;

static int search(locate_call *l);

static const char *base_dn(const locate_call *l) {
    const directory_config *config = l->call.directory->domain.config;

    return config->base_dn ? config->base_dn
                           : controller_survey(l->call.controller)->naming_context;
}

static void succeed(locate_call *l) {
    l->call.reply.account = TAKE_PTR(l->found);
    call_expect(&l->call, OUTCOME_INVALID, NULL);
    call_end(&l->call);
}

/* The controller has no time; another one may have. */
static void try_next(locate_call *l, const connection_answer *answer, const char *hint) {
    _cleanup_free_ char *said = answer_describe(answer->result, answer->text);
    _cleanup_free_ char *problem =
        text_format("did not carry the search out: %s%s", said ? said : "?", hint);

    call_try_next(&l->call, problem ? problem : "is busy");
}

/* ---- Privileged or not, in scope or not ------------------------------------------------------ */

static void fail_without_groups(locate_call *l) {
    call_fail(&l->call, OUTCOME_AD_CONFIGURATION,
              strdup("the agent's account may not read tokenGroups, so it cannot be told "
                     "whether the user is in a privileged group, or in one of AllowedTargets= "
                     "or DeniedTargets=; let it read that (as members of Pre-Windows 2000 "
                     "Compatible Access may), or take the groups out"));
}

static void on_groups_refused(locate_call *l, const connection_answer *answer) {
    switch (call_take_answer(&l->call, ANSWER_TO_SEARCH, answer)) {
    case OUTCOME_AD_NOT_REACHABLE:
        return try_next(l, answer, "");

    case OUTCOME_AD_PERMISSIONS:
        return fail_without_groups(l);

    /* Not found: it was deleted in this moment. */
    default:
        call_end(&l->call);
    }
}

static void on_groups(const connection_answer *answer, void *userdata) {
    locate_call *l = userdata;
    int r = -ENODATA;

    l->call.request = NULL;
    if (answer->result == -1)
        return call_try_next(&l->call, answer->text);
    if (answer->result != LDAP_SUCCESS)
        return on_groups_refused(l, answer);

    if (answer->n_entries == 1)
        r = account_judge(l->found, controller_survey(l->call.controller),
                          &(const entry){answer->ld, answer->entries[0]});
    if (r < 0)
        return fail_without_groups(l);

    succeed(l);
}

/* tokenGroups has the groups in groups, and the primary group, which member and memberOf lack. The
 * account is named by its GUID, which it keeps if it is renamed or moved in this moment. */
static void look_at_groups(locate_call *l) {
    static const char *const attributes[] = {"tokenGroups", NULL};
    _cleanup_free_ char *name = text_format("<GUID=%s>", l->found->guid);
    connection *c = call_connection(&l->call);

    if (!name || !c ||
        connection_search(c, name, LDAP_SCOPE_BASE, "(objectClass=*)", attributes, on_groups, l,
                          &l->call.request) < 0)
        call_try_next(&l->call, "takes no more requests");
}

/* ---- The account ----------------------------------------------------------------------------- */

/* An account that has an mS-DS-ConsistencyGuid is known to the cloud by that, so its objectGUID is
 * not its immutable id even if it is the one asked for. */
static bool is_known_by_other_anchor(const locate_call *l, entry e) {
    return l->id.type == IDENTIFIER_IMMUTABLE_ID && l->anchor == ANCHOR_OBJECT_GUID &&
           entry_has(e, "mS-DS-ConsistencyGuid");
}

static void on_not_found(locate_call *l) {
    if (l->id.type == IDENTIFIER_IMMUTABLE_ID && l->anchor == ANCHOR_CONSISTENCY_GUID) {
        l->anchor = ANCHOR_OBJECT_GUID;
        if (search(l) < 0)
            call_try_next(&l->call, "takes no more requests");
        return;
    }

    call_fail(&l->call, OUTCOME_AD_USER_NOT_FOUND,
              text_format("no user account below %s has this identifier", base_dn(l)));
}

static void on_found(locate_call *l, entry e) {
    const survey_result *known = controller_survey(l->call.controller);
    int r;

    if (is_known_by_other_anchor(l, e))
        return on_not_found(l);

    l->found = directory_account_free(l->found);
    r = account_new(e, controller_name(l->call.controller), &l->found);
    if (r == -EBADMSG)
        return call_fail(
            &l->call, OUTCOME_AD_PERMISSIONS,
            strdup("the agent's account may not read the user's objectGUID, objectSid, "
                   "sAMAccountName or userAccountControl"));
    if (r < 0)
        return call_fail(&l->call, OUTCOME_UNKNOWN_ERROR, strdup("memory is short"));

    if (known->has_groups) {
        look_at_groups(l);
        return;
    }
    (void) account_judge(l->found, known, NULL);
    succeed(l);
}

/* Active Directory brings no index of mS-DS-ConsistencyGuid: without one it reads all accounts. */
static const char *hint_at_index(const locate_call *l, int result) {
    bool took_too_long = result != LDAP_BUSY && result != LDAP_UNAVAILABLE;

    return took_too_long && l->id.type == IDENTIFIER_IMMUTABLE_ID &&
                   l->anchor == ANCHOR_CONSISTENCY_GUID
               ? "; mS-DS-ConsistencyGuid, by which it searched, may have no index there"
               : "";
}

static void on_refused(locate_call *l, const connection_answer *answer) {
    outcome o = call_take_answer(&l->call, ANSWER_TO_SEARCH, answer);

    if (o == OUTCOME_AD_NOT_REACHABLE)
        return try_next(l, answer, hint_at_index(l, answer->result));

    /* What does not exist is the base of the search. */
    if (o == OUTCOME_AD_USER_NOT_FOUND)
        return call_fail(&l->call, OUTCOME_AD_CONFIGURATION,
                         text_format("BaseDn=%s does not exist there", base_dn(l)));
    call_end(&l->call);
}

static void on_searched(const connection_answer *answer, void *userdata) {
    locate_call *l = userdata;

    l->call.request = NULL;
    if (answer->result == -1)
        return call_try_next(&l->call, answer->text);

    if (answer->n_entries > 1)
        return call_fail(
            &l->call, OUTCOME_AD_MULTI_MATCH,
            text_format("more than one account below %s has this identifier", base_dn(l)));
    if (answer->result != LDAP_SUCCESS)
        return on_refused(l, answer);
    if (answer->n_entries == 0)
        return on_not_found(l);

    on_found(l, (entry){answer->ld, answer->entries[0]});
}

static int search(locate_call *l) {
    _cleanup_free_ char *filter = filter_for_account(&l->id, l->anchor);

    connection *c = call_connection(&l->call);

    if (!filter)
        return -ENOMEM;
    if (!c)
        return -ENOTCONN;

    return connection_search(c, base_dn(l), LDAP_SCOPE_SUBTREE, filter, account_attributes,
                             on_searched, l, &l->call.request);
}

/* ---- The call -------------------------------------------------------------------------------- */

static int begin(directory_call *call) {
    locate_call *l = (locate_call *) call;

    l->anchor = ANCHOR_CONSISTENCY_GUID;
    call_expect(call, OUTCOME_AD_NOT_REACHABLE,
                text_format("%s did not answer in time", controller_name(call->controller)));
    return search(l);
}

static void done(directory_call *call) {
    locate_call *l = (locate_call *) call;

    directory_account_free(l->found);
    free(l->value);
}

int directory_locate(directory *d, const directory_identifier *id, usec_t deadline,
                     directory_done_fn fn, void *userdata, directory_call **ret) {
    static const call_class class = {
        .size = sizeof(locate_call), .begin = begin, .done = done, .only_reads = true};
    directory_call *call;
    locate_call *l;
    const char *why;
    int r;

    assert(d);
    assert(id);
    assert(ret);

    r = directory_identifier_check(id, &why);
    if (r < 0)
        return r;

    r = call_new(d, &class, deadline, fn, userdata, &call);
    if (r < 0)
        return r;

    l = (locate_call *) call;
    l->id.type = id->type;
    l->id.value = l->value = strdup(id->value);
    if (!l->value) {
        directory_call_free(call);
        return -ENOMEM;
    }

    *ret = call;
    return 0;
}
