/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/rights.h"

#include <errno.h>
#include <string.h>

#include "agent/base/text.h"
#include "ldap/account.h"
#include "ldap/filter.h"
#include "ldap/security_descriptor.h"

/* MS-ADTS 3.1.1.3.4.1.11: SEQUENCE { INTEGER 4 }, the access list and no more, which is what
 * whoever may read permissions gets. */
#define SD_FLAGS_OID "1.2.840.113556.1.4.801"
#define SD_FLAGS_VALUE "\x30\x03\x02\x01\x04"

/* A list has at most 64 KiB, and there are two. */
#define DESCRIPTOR_MAX ((size_t) 256 * 1024)

/* schemaIDGUIDs of the classes that people are of, MS-ADSC. */
#define CLASS_USER "bf967aba-0de6-11d0-a285-00aa003049e2"
#define CLASS_INET_ORG_PERSON "4828cc14-1437-45bc-9b07-ad6f015e5f28"

/* Stand in commands for what could not be found out. */
#define UNKNOWN_AGENT "AGENT"
#define UNKNOWN_SID "SID"
#define UNKNOWN_DN "DISTINGUISHED-NAME"

/* GUIDs of rights (MS-ADTS 5.1.3.2.1), attributes and property sets (MS-ADA1 to 3; 3.1.1.2.3.3). */
static const struct {
    const char *name;
    uint32_t mask;
    const char *guid;
    const char *property_set;
    const char *dsacls, *sddl;
} known_rights[DIRECTORY_RIGHTS_MAX] = {
    [RIGHT_RESET_PASSWORD] = {"Reset Password", ACCESS_CONTROL,
                              "00299570-246d-11d0-a768-00aa006e0529", NULL, "CA;Reset Password",
                              "CR"},
    [RIGHT_WRITE_LOCKOUT_TIME] = {"Write lockoutTime", ACCESS_WRITE_PROPERTY,
                                  "28630ebf-41d5-11d1-a9c1-0000f80367c1", NULL, "WP;lockoutTime",
                                  "WP"},
    [RIGHT_WRITE_PWD_LAST_SET] = {"Write pwdLastSet", ACCESS_WRITE_PROPERTY,
                                  "bf967a0a-0de6-11d0-a285-00aa003049e2",
                                  "4c164200-20c0-11d0-a768-00aa006e0529" /* account restrictions */,
                                  "WP;pwdLastSet", "WP"},
    [RIGHT_UNEXPIRE_PASSWORD] = {"Unexpire Password", ACCESS_CONTROL,
                                 "ccc2dc7d-a6ad-4a7a-8846-c04e3cc53501", NULL,
                                 "CA;Unexpire Password", "CR"},
};

struct rights_look {
    const controller *controller;
    const directory_config *config;
    const directory_account *account;
    connection_request *request;
    rights_done_fn done;
    void *userdata;

    directory_rights *found;
    bool is_inet_org_person;
    char agent_sid[SID_TEXT_MAX];
};

const char *directory_right_name(directory_right r) {
    assert(r < DIRECTORY_RIGHTS_MAX);
    return known_rights[r].name;
}

static const char *naming_context(const rights_look *l) {
    return controller_survey(l->controller)->naming_context;
}

static bool is_of_domain(directory_right right) {
    return right == RIGHT_UNEXPIRE_PASSWORD;
}

static bool was_looked_at(const directory_rights *rights, directory_right right) {
    return rights->has_account || is_of_domain(right);
}

static bool is_missing(const directory_rights *rights, directory_right right) {
    return was_looked_at(rights, right) && !rights->right[right].held;
}

static bool is_any_missing(const directory_rights *rights, bool of_domain) {
    for (directory_right r = 0; r < DIRECTORY_RIGHTS_MAX; r++)
        if (is_missing(rights, r) && is_of_domain(r) == of_domain)
            return true;
    return false;
}

/* ---- What to do about it --------------------------------------------------------------------- */

/* Whether it stays text between double quotes, of PowerShell and of cmd.exe: whoever may name an
 * account or a unit types nothing on a domain controller. PowerShell takes U+201C to U+201E for
 * double quotes, too (about_Quoting_Rules). */
static bool can_be_quoted(const char *name) {
    for (const char *p = name; *p; p++)
        if ((unsigned char) *p < 0x20 || *p == 0x7f || strchr("\"$`%", *p) ||
            (strncmp(p, "\xe2\x80", 2) == 0 && p[2] >= '\x9c' && p[2] <= '\x9e'))
            return false;
    return true;
}

/* A DN in a command; where it cannot be, the reader puts it in. */
static const char *typed_dn(const char *dn) {
    return can_be_quoted(dn) ? dn : UNKNOWN_DN;
}

static const char *typed_agent(const rights_look *l) {
    return can_be_quoted(l->found->agent) ? l->found->agent : UNKNOWN_AGENT;
}

/* "OU=Staff,DC=corp,DC=example" of an account in it. */
static const char *parent_of(const char *dn) {
    for (const char *p = dn; *p; p++) {
        if (*p == '\\' && p[1])
            p++;
        else if (*p == ',')
            return p + 1;
    }
    return dn;
}

/* The command, and the entry, that grant the right. */
static void describe_grant(rights_look *l, directory_right right) {
    directory_rights *f = l->found;
    const char *class = l->is_inet_org_person ? CLASS_INET_ORG_PERSON : CLASS_USER;
    const char *class_name = l->is_inet_org_person ? "inetOrgPerson" : "user";
    const char *sid = *l->agent_sid ? l->agent_sid : UNKNOWN_SID;

    if (is_of_domain(right)) {
        f->right[right].dsacls =
            text_format("dsacls \"%s\" /G \"%s:%s\"", typed_dn(naming_context(l)), typed_agent(l),
                        known_rights[right].dsacls);
        f->right[right].ace =
            text_format("(OA;;%s;%s;;%s)", known_rights[right].sddl, known_rights[right].guid, sid);
        return;
    }

    f->right[right].dsacls =
        text_format("dsacls \"%s\" /I:S /G \"%s:%s;%s\"", typed_dn(parent_of(l->account->dn)),
                    typed_agent(l), known_rights[right].dsacls, class_name);
    f->right[right].ace = text_format("(OA;CIIO;%s;%s;%s;%s)", known_rights[right].sddl,
                                      known_rights[right].guid, class, sid);
}

static void add_step(directory_rights *f, char *step) {
    _cleanup_free_ char *text = step;

    if (text)
        text_append(&f->steps, "\n", text);
}

static void add_step_for_right(rights_look *l, directory_right right) {
    directory_rights *f = l->found;
    const char *name = known_rights[right].name;

    if (f->right[right].denied_to)
        return add_step(
            f, text_format("An entry denies %s to %s: take that entry out, or the agent's "
                           "account out of the group; it is listed by dsacls \"%s\"",
                           name, f->right[right].denied_to,
                           typed_dn(is_of_domain(right) ? naming_context(l) : l->account->dn)));
    if (f->right[right].dsacls && f->right[right].ace)
        add_step(f, text_format("Grant %s, on a domain controller: %s (as an entry in SDDL: %s)",
                                name, f->right[right].dsacls, f->right[right].ace));
}

/* Why the unit's permissions, however good, do not reach the account. */
static void add_step_for_inheritance(rights_look *l) {
    const char *dn = l->account->dn;

    if (l->found->is_admin_protected) {
        add_step(l->found,
                 text_format("%s is protected by AdminSDHolder, which takes delegated rights away "
                             "every hour. That is by design: reset such accounts in the directory "
                             "itself",
                             dn));
        add_step(l->found,
                 text_format("Is it an administrator no longer? Clear its adminCount and let it "
                             "inherit permissions again: dsacls \"%s\" /P:N",
                             typed_dn(dn)));
    } else if (!l->found->is_inheriting)
        add_step(l->found,
                 text_format("The account inherits no permissions. Let it, on a domain controller: "
                             "dsacls \"%s\" /P:N",
                             typed_dn(dn)));
}

static void add_steps(rights_look *l) {
    directory_rights *f = l->found;
    size_t n_granted = 0;

    if (is_any_missing(f, /* of_domain= */ false))
        add_step_for_inheritance(l);

    for (directory_right r = 0; r < DIRECTORY_RIGHTS_MAX; r++)
        if (is_missing(f, r) && (is_of_domain(r) || !f->is_admin_protected)) {
            add_step_for_right(l, r);
            n_granted++;
        }

    if (n_granted > 0)
        add_step(f, strdup("A right given by way of a group counts after the agent has signed in "
                           "again: systemctl restart writebackd"));
}

/* "Reset Password, Write lockoutTime" */
static char *list_missing(const directory_rights *f, bool of_domain) {
    char *list = NULL;

    for (directory_right r = 0; r < DIRECTORY_RIGHTS_MAX; r++)
        if (is_missing(f, r) && is_of_domain(r) == of_domain)
            text_append(&list, ", ", known_rights[r].name);
    return list;
}

static void describe_missing(rights_look *l) {
    directory_rights *f = l->found;
    _cleanup_free_ char *on_account = list_missing(f, /* of_domain= */ false);
    _cleanup_free_ char *on_domain = list_missing(f, /* of_domain= */ true);
    _cleanup_free_ char *first = NULL, *second = NULL, *both = NULL;

    if (on_account)
        first = text_format("%s on %s%s", on_account, l->account->dn,
                            f->is_admin_protected
                                ? ", which AdminSDHolder protects (adminCount=1, nothing inherited)"
                            : f->is_inheriting ? ""
                                               : ", which inherits no permissions");
    if (on_domain)
        second = text_format("%s on %s", on_domain, naming_context(l));
    if (first)
        text_append(&both, "", first);
    if (second)
        text_append(&both, "; and ", second);
    f->missing = text_format("%s lacks %s", f->agent, both ? both : "a right");
}

static void finish(rights_look *l) {
    l->done(TAKE_PTR(l->found), OUTCOME_INVALID, NULL, l->userdata);
}

static void give_up(rights_look *l, outcome o, const char *problem) {
    l->done(NULL, o, problem, l->userdata);
}

static void give_up_for_memory(rights_look *l) {
    give_up(l, OUTCOME_UNKNOWN_ERROR, "was not asked: memory is short");
}

static void give_up_for_connection(rights_look *l) {
    give_up(l, OUTCOME_AD_NOT_REACHABLE, "takes no more requests");
}

static void explain(rights_look *l) {
    if (!l->found->agent)
        l->found->agent = strdup(UNKNOWN_AGENT);
    if (!l->found->agent)
        return give_up_for_memory(l);

    for (directory_right r = 0; r < DIRECTORY_RIGHTS_MAX; r++)
        if (is_missing(l->found, r) && !l->found->right[r].denied_to)
            describe_grant(l, r);
    describe_missing(l);
    add_steps(l);
    finish(l);
}

/* ---- Who the agent is ------------------------------------------------------------------------ */

static bool is_in_token(const survey_result *known, const security_id *sid) {
    for (size_t i = 0; i < known->n_token; i++)
        if (known->token[i].size == sid->size &&
            memcmp(known->token[i].bytes, sid->bytes, sid->size) == 0)
            return true;
    return false;
}

static void on_agent(const connection_answer *answer, void *userdata) {
    rights_look *l = userdata;
    const survey_result *known;

    l->request = NULL;
    if (answer->result == -1)
        return give_up(l, OUTCOME_AD_NOT_REACHABLE, answer->text);

    known = controller_survey(l->controller);
    for (size_t i = 0; i < answer->n_entries && !l->found->agent; i++) {
        entry e = {answer->ld, answer->entries[i]};
        _cleanup_free_ char *name = entry_text(e, "sAMAccountName");
        security_id sid;
        ssize_t size = entry_bytes(e, "objectSid", sid.bytes, sizeof(sid.bytes));

        if (!name || size < 0)
            continue;
        sid.size = (size_t) size;
        if (!is_in_token(known, &sid) || sid_to_text(sid.bytes, sid.size, l->agent_sid) < 0)
            continue;

        l->found->agent = entry_text(e, "msDS-PrincipalName");
        if (!l->found->agent)
            l->found->agent = text_format("%s@%s", name, l->config->domain);
    }
    explain(l);
}

/* "svc" of "svc@corp.example" and of "CORP\svc"; a DN stays whole. malloc(3)ed, or NULL. */
static char *local_part(const char *name) {
    const char *slash = strchr(name, '\\');

    if (strchr(name, '='))
        return strdup(name);
    return slash ? strdup(slash + 1) : strndup(name, strcspn(name, "@"));
}

/* The agent's account is known by the name that it signs in with, which has three forms. */
static void look_at_agent(rights_look *l) {
    static const char *const attributes[] = {"sAMAccountName", "objectSid", "msDS-PrincipalName",
                                             NULL};
    _cleanup_free_ char *local = NULL, *name = NULL, *sam = NULL, *filter = NULL;
    connection *c = controller_connection(l->controller);

    if (!c)
        return give_up_for_connection(l);
    if (!l->config->bind_dn)
        return explain(l);

    local = local_part(l->config->bind_dn);
    name = filter_escape(l->config->bind_dn);
    sam = local ? filter_escape(local) : NULL;
    if (name && sam)
        filter = text_format("(|(distinguishedName=%s)(userPrincipalName=%s)(sAMAccountName=%s))",
                             name, name, sam);
    if (!filter)
        return give_up_for_memory(l);

    if (connection_search(c, naming_context(l), LDAP_SCOPE_SUBTREE, filter, attributes, on_agent, l,
                          &l->request) < 0)
        give_up_for_connection(l);
}

/* ---- What it may do -------------------------------------------------------------------------- */

static void add_type(access_wish *wish, const char *guid) {
    int r = guid_from_text(guid, wish->types[wish->n_types++]);

    assert(r == 0);
    (void) r;
}

static void judge(rights_look *l, directory_right right, const security_descriptor *sd,
                  const security_id *self) {
    const survey_result *known = controller_survey(l->controller);
    access_wish wish = {.mask = known_rights[right].mask};
    char text[SID_TEXT_MAX];
    security_id denied;
    access_verdict v;

    add_type(&wish, known_rights[right].guid);
    if (known_rights[right].property_set)
        add_type(&wish, known_rights[right].property_set);
    if (wish.mask == ACCESS_WRITE_PROPERTY)
        add_type(&wish, l->is_inet_org_person ? CLASS_INET_ORG_PERSON : CLASS_USER);

    v = security_descriptor_check(sd, &wish, known->token, known->n_token, self, &denied);
    l->found->right[right].held = v == ACCESS_GRANTED;
    if (v == ACCESS_DENIED && sid_to_text(denied.bytes, denied.size, text) == 0)
        l->found->right[right].denied_to = strdup(text);
}

/* Takes the access list out of an answer; its bytes are the caller's to free. */
static int read_descriptor(const connection_answer *answer, uint8_t **ret_bytes,
                           security_descriptor *ret) {
    _cleanup_free_ uint8_t *bytes = NULL;
    size_t size;
    int r;

    if (answer->result != LDAP_SUCCESS || answer->n_entries != 1)
        return -ENODATA;

    r = entry_copy((entry){answer->ld, answer->entries[0]}, "nTSecurityDescriptor", DESCRIPTOR_MAX,
                   &bytes, &size);
    if (r >= 0)
        r = security_descriptor_parse(bytes, size, ret);
    if (r < 0)
        return r;

    *ret_bytes = TAKE_PTR(bytes);
    return 0;
}

static void give_up_for_descriptor(rights_look *l, int error, const char *dn) {
    _cleanup_free_ char *problem =
        text_format(error == -EBADMSG ? "sent permissions of %s (nTSecurityDescriptor) that cannot "
                                        "be read"
                                      : "does not let the agent's account read the permissions of "
                                        "%s (nTSecurityDescriptor)",
                    dn);

    if (error == -ENOMEM || !problem)
        return give_up_for_memory(l);
    give_up(l, OUTCOME_AD_PERMISSIONS, problem);
}

static int look_at_permissions(rights_look *l, const char *dn, connection_answer_fn fn) {
    static const char *const attributes[] = {"nTSecurityDescriptor", "objectClass", NULL};
    const LDAPControl sd_flags = {
        .ldctl_oid = (char[]){SD_FLAGS_OID},
        .ldctl_value = {.bv_len = sizeof(SD_FLAGS_VALUE) - 1, .bv_val = (char[]){SD_FLAGS_VALUE}}};
    connection *c = controller_connection(l->controller);

    return c ? connection_look(c, dn, attributes, &sd_flags, fn, l, &l->request) : -ENOTCONN;
}

/* Takes the access list out of an answer. Returns false where there is none to judge, and then the
 * look has ended. */
static bool take_permissions(rights_look *l, const connection_answer *answer, const char *dn,
                             uint8_t **ret_bytes, security_descriptor *ret) {
    int r;

    l->request = NULL;
    if (answer->result == -1) {
        give_up(l, OUTCOME_AD_NOT_REACHABLE, answer->text);
        return false;
    }
    if (controller_survey(l->controller)->n_token == 0) {
        give_up(l, OUTCOME_AD_PERMISSIONS,
                "does not tell which groups the agent is in (tokenGroups)");
        return false;
    }

    r = read_descriptor(answer, ret_bytes, ret);
    if (r < 0)
        give_up_for_descriptor(l, r, dn);
    return r >= 0;
}

static void on_domain(const connection_answer *answer, void *userdata) {
    rights_look *l = userdata;
    _cleanup_free_ uint8_t *bytes = NULL;
    security_descriptor sd;

    if (!take_permissions(l, answer, "the domain", &bytes, &sd))
        return;

    judge(l, RIGHT_UNEXPIRE_PASSWORD, &sd, NULL);
    if (is_any_missing(l->found, /* of_domain= */ true) ||
        is_any_missing(l->found, /* of_domain= */ false))
        look_at_agent(l);
    else
        finish(l);
}

static void on_account(const connection_answer *answer, void *userdata) {
    rights_look *l = userdata;
    _cleanup_free_ uint8_t *bytes = NULL;
    security_descriptor sd;
    security_id self;
    int r;

    if (!take_permissions(l, answer, l->account->dn, &bytes, &sd))
        return;

    r = sid_from_text(l->account->sid, self.bytes, &self.size);
    assert(r == 0);
    (void) r;
    l->is_inet_org_person = entry_has_value((entry){answer->ld, answer->entries[0]}, "objectClass",
                                            "inetOrgPerson", strlen("inetOrgPerson"));
    l->found->has_account = true;
    l->found->is_inheriting = !sd.is_protected;
    l->found->is_admin_protected = sd.is_protected && l->account->info.is_protected;
    judge(l, RIGHT_RESET_PASSWORD, &sd, &self);
    judge(l, RIGHT_WRITE_LOCKOUT_TIME, &sd, &self);
    judge(l, RIGHT_WRITE_PWD_LAST_SET, &sd, &self);

    if (look_at_permissions(l, naming_context(l), on_domain) < 0)
        give_up_for_connection(l);
}

int rights_look_new(const controller *c, const directory_config *config,
                    const directory_account *account, rights_done_fn done, void *userdata,
                    rights_look **ret) {
    _cleanup_(rights_look_freep) rights_look *l = NULL;
    int r;

    assert(c);
    assert(config);
    assert(done);
    assert(ret);

    l = calloc(1, sizeof(rights_look));
    if (!l)
        return -ENOMEM;

    *l = (rights_look){
        .controller = c, .config = config, .account = account, .done = done, .userdata = userdata};
    l->found = calloc(1, sizeof(directory_rights));
    if (!l->found)
        return -ENOMEM;

    r = account ? look_at_permissions(l, account->dn, on_account)
                : look_at_permissions(l, naming_context(l), on_domain);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(l);
    return 0;
}

rights_look *rights_look_free(rights_look *l) {
    if (!l)
        return NULL;

    connection_request_free(l->request);
    rights_free(l->found);
    free(l);
    return NULL;
}

directory_rights *rights_free(directory_rights *r) {
    if (!r)
        return NULL;

    for (size_t i = 0; i < DIRECTORY_RIGHTS_MAX; i++) {
        free(r->right[i].denied_to);
        free(r->right[i].dsacls);
        free(r->right[i].ace);
    }
    free(r->agent);
    free(r->missing);
    free(r->steps);
    free(r);
    return NULL;
}

/* ---- The call -------------------------------------------------------------------------------- */

typedef struct rights_call {
    directory_call call;
    const directory_account *account;
    rights_look *look;
} rights_call;

static void on_looked(directory_rights *rights, outcome o, const char *problem, void *userdata) {
    rights_call *r = userdata;

    if (o == OUTCOME_AD_NOT_REACHABLE)
        return call_try_next(&r->call, problem);
    if (o != OUTCOME_INVALID)
        return call_fail(&r->call, o,
                         text_format("%s %s", controller_name(r->call.controller), problem));

    call_take_rights(&r->call, rights);
    call_expect(&r->call, OUTCOME_INVALID, NULL);
    call_end(&r->call);
}

static int begin(directory_call *call) {
    rights_call *r = (rights_call *) call;

    call_expect(call, OUTCOME_AD_NOT_REACHABLE,
                text_format("%s did not answer in time", controller_name(call->controller)));
    r->look = rights_look_free(r->look);
    return rights_look_new(call->controller, call->directory->domain.config, r->account, on_looked,
                           r, &r->look);
}

static void done(directory_call *call) {
    rights_look_free(((rights_call *) call)->look);
}

int directory_check_rights(directory *d, const directory_account *account, usec_t deadline,
                           directory_done_fn fn, void *userdata, directory_call **ret) {
    static const call_class class = {.size = sizeof(rights_call), .begin = begin, .done = done};
    directory_call *call;
    int r;

    assert(d);
    assert(ret);

    r = call_new(d, &class, deadline, fn, userdata, &call);
    if (r < 0)
        return r;

    ((rights_call *) call)->account = account;
    call->preferred = account ? account->controller : NULL;
    *ret = call;
    return 0;
}
