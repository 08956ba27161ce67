/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/survey.h"

#include <errno.h>
#include <string.h>

#include "agent/base/text.h"
#include "ldap/answer.h"
#include "ldap/entry.h"
#include "ldap/site.h"

/* MS-ADTS 3.1.1.3.4.1.27 and 3.1.1.3.4.3.6 */
#define POLICY_HINTS_OID "1.2.840.113556.1.4.2239"
#define POLICY_HINTS_DEPRECATED_OID "1.2.840.113556.1.4.2066"
#define CAPABILITY_READ_ONLY "1.2.840.113556.1.4.1920"

#define READ_ONLY "is a read-only domain controller, which takes no changes"

struct survey {
    connection *connection;
    connection_request *request;
    survey_questions questions;
    char *service, *configuration; /* DNs */
    survey_done_fn done;
    void *userdata;
    survey_result result;
};

static void finish(survey *s, outcome o, char *problem) {
    _cleanup_free_ char *text = problem;

    s->done(o, text ? text : "cannot be used: memory is short", s->userdata);
}

static void refuse(survey *s, outcome o, const char *problem) {
    s->done(o, problem, s->userdata);
}

/* What an answer that is none of success means here. */
static void refuse_answer(survey *s, const char *what, const connection_answer *answer) {
    _cleanup_free_ char *said = answer_describe(answer->result, answer->text);

    finish(s, OUTCOME_AD_CONFIGURATION,
           text_format("does not answer as a domain controller, asked for %s: %s", what,
                       said ? said : "?"));
}

/* ---- Places that the configuration names ----------------------------------------------------- */

static const char *const settings[] = {
    [PLACE_PRIVILEGED] = "PrivilegedGroup",
    [PLACE_ALLOWED] = "AllowedTargets",
    [PLACE_DENIED] = "DeniedTargets",
};

/* The index-th of all the lists, one behind the other, and what it is for; NULL behind the last. */
static const char *name_of(const survey *s, size_t index, place_use *ret_use) {
    for (place_use use = 0; use < PLACE_USE_MAX_; use++)
        for (char *const *name = s->questions.places[use]; name && *name; name++)
            if (index-- == 0) {
                *ret_use = use;
                return *name;
            }

    return NULL;
}

static void ask_for_place(survey *s);

/* Returns what is wrong with it; NULL: nothing. The group's kind matters, since tokenGroups names
 * security groups alone: members of another kind would pass unnoticed. */
static const char *read_place(place *p, entry e) {
    bool is_group = entry_has_value(e, "objectClass", "group", strlen("group"));
    ssize_t size;

    p->dn = entry_dn(e);
    if (!p->dn)
        return "cannot be used: memory is short for";
    if (!is_group)
        return p->use == PLACE_PRIVILEGED ? "does not know the group" : NULL;
    if (entry_integer(e, "groupType", -1) >= 0)
        return "knows only as a distribution group, not as a security group,";

    size = entry_bytes(e, "objectSid", p->sid.bytes, sizeof(p->sid.bytes));
    if (size < 0)
        return "does not tell the objectSid of";
    p->sid.size = (size_t) size;
    return NULL;
}

static void on_place(const connection_answer *answer, void *userdata) {
    survey *s = userdata;
    place *p = &s->result.places[s->result.n_places];
    const char *name = name_of(s, s->result.n_places, &p->use);
    const char *problem = p->use == PLACE_PRIVILEGED ? "does not know the group" : "does not know";

    s->request = NULL;
    if (answer->result == -1)
        return;

    s->result.n_places++;
    if (answer->result == LDAP_SUCCESS && answer->n_entries == 1)
        problem = read_place(p, (entry){answer->ld, answer->entries[0]});
    if (problem)
        return finish(s, OUTCOME_AD_CONFIGURATION,
                      text_format("%s %s=%s", problem, settings[p->use], name));

    s->result.has_groups |= p->sid.size > 0;
    ask_for_place(s);
}

static void ask_for_place(survey *s) {
    static const char *const attributes[] = {"objectClass", "objectSid", "groupType", NULL};
    place_use use;
    const char *name = name_of(s, s->result.n_places, &use);

    if (!name)
        return refuse(s, OUTCOME_INVALID, "");

    if (connection_search(s->connection, name, LDAP_SCOPE_BASE, "(objectClass=*)", attributes,
                          on_place, s, &s->request) < 0)
        refuse(s, OUTCOME_AD_NOT_REACHABLE, "takes no more requests");
}

/* ---- This host's site ------------------------------------------------------------------------ */

/* A site that nobody knows is no reason to refuse a controller. */
static void on_subnets(const connection_answer *answer, void *userdata) {
    survey *s = userdata;
    entry subnets[CONNECTION_ENTRIES_MAX];

    s->request = NULL;
    if (answer->result == -1)
        return;

    for (size_t i = 0; i < answer->n_entries; i++)
        subnets[i] = (entry){answer->ld, answer->entries[i]};
    s->result.site = site_of_subnets(subnets, answer->n_entries);
    ask_for_place(s);
}

static void ask_for_site(survey *s) {
    static const char *const attributes[] = {"cn", "siteObject", NULL};
    struct sockaddr_storage address;
    _cleanup_free_ char *filter = NULL, *base = NULL;

    if (!s->questions.wants_site || !s->configuration ||
        connection_local_address(s->connection, &address) < 0)
        return ask_for_place(s);

    filter = site_subnet_filter((const struct sockaddr *) &address);
    base = text_format("CN=Subnets,CN=Sites,%s", s->configuration);
    if (!filter || !base)
        return ask_for_place(s);

    if (connection_search(s->connection, base, LDAP_SCOPE_ONELEVEL, filter, attributes, on_subnets,
                          s, &s->request) < 0)
        refuse(s, OUTCOME_AD_NOT_REACHABLE, "takes no more requests");
}

/* ---- The PDC emulator ------------------------------------------------------------------------ */

static void on_role_owner(const connection_answer *answer, void *userdata) {
    survey *s = userdata;
    _cleanup_free_ char *owner = NULL;

    s->request = NULL;
    if (answer->result == -1)
        return;

    if (answer->n_entries == 1)
        owner = entry_text((entry){answer->ld, answer->entries[0]}, "fSMORoleOwner");
    s->result.is_pdc = owner && strcasecmp(owner, s->service) == 0;
    ask_for_site(s);
}

static void ask_for_role_owner(survey *s) {
    static const char *const attributes[] = {"fSMORoleOwner", NULL};

    if (!s->questions.wants_pdc)
        return ask_for_site(s);

    if (connection_search(s->connection, s->result.naming_context, LDAP_SCOPE_BASE,
                          "(objectClass=*)", attributes, on_role_owner, s, &s->request) < 0)
        refuse(s, OUTCOME_AD_NOT_REACHABLE, "takes no more requests");
}

/* ---- Read-only or not ------------------------------------------------------------------------ */

static void refuse_read_only(survey *s) {
    s->result.is_read_only = true;
    refuse(s, OUTCOME_AD_CONFIGURATION, READ_ONLY);
}

static void on_service(const connection_answer *answer, void *userdata) {
    survey *s = userdata;
    _cleanup_free_ char *read_only = NULL, *category = NULL;

    s->request = NULL;
    if (answer->result == -1)
        return;

    /* Where the agent's account may not look, the controller counts as writable; a write would be
     * answered with a referral. */
    if (answer->n_entries == 1) {
        entry e = {answer->ld, answer->entries[0]};

        read_only = entry_text(e, "msDS-isRODC");
        category = entry_text(e, "objectCategory");
    }
    if ((read_only && strcmp(read_only, "TRUE") == 0) ||
        (category && strncasecmp(category, "CN=NTDS-DSA-RO,", 15) == 0))
        return refuse_read_only(s);

    ask_for_role_owner(s);
}

static void ask_for_service(survey *s) {
    static const char *const attributes[] = {"msDS-isRODC", "objectCategory", NULL};

    if (connection_search(s->connection, s->service, LDAP_SCOPE_BASE, "(objectClass=*)", attributes,
                          on_service, s, &s->request) < 0)
        refuse(s, OUTCOME_AD_NOT_REACHABLE, "takes no more requests");
}

/* ---- The root of it -------------------------------------------------------------------------- */

static bool has(entry e, const char *attribute, const char *value) {
    return entry_has_value(e, attribute, value, strlen(value));
}

static void on_root(const connection_answer *answer, void *userdata) {
    survey *s = userdata;
    entry e;

    s->request = NULL;
    if (answer->result == -1)
        return;
    if (answer->result != LDAP_SUCCESS || answer->n_entries != 1)
        return refuse_answer(s, "its root", answer);

    e = (entry){answer->ld, answer->entries[0]};
    s->result.clock = clock_read(entry_time(e, "currentTime"));
    s->result.naming_context = entry_text(e, "defaultNamingContext");
    s->result.host = entry_text(e, "dnsHostName");
    s->service = entry_text(e, "dsServiceName");
    s->configuration = entry_text(e, "configurationNamingContext");
    if (!s->result.naming_context || !s->service)
        return refuse(s, OUTCOME_AD_CONFIGURATION, "is no Active Directory domain controller");

    /* Without it the agent can do all but tell its rights. */
    (void) entry_sids(e, "tokenGroups", &s->result.token, &s->result.n_token);

    if (has(e, "isSynchronized", "FALSE"))
        return refuse(s, OUTCOME_AD_NOT_REACHABLE, "has not finished its first replication");
    if (has(e, "supportedCapabilities", CAPABILITY_READ_ONLY))
        return refuse_read_only(s);

    if (has(e, "supportedControl", POLICY_HINTS_OID))
        s->result.policy_hints = POLICY_HINTS_OID;
    else if (has(e, "supportedControl", POLICY_HINTS_DEPRECATED_OID))
        s->result.policy_hints = POLICY_HINTS_DEPRECATED_OID;

    ask_for_service(s);
}

int survey_new(connection *c, const survey_questions *questions, survey_done_fn done,
               void *userdata, survey **ret) {
    static const char *const attributes[] = {"defaultNamingContext", "configurationNamingContext",
                                             "dnsHostName",          "dsServiceName",
                                             "isSynchronized",       "supportedCapabilities",
                                             "supportedControl",     "tokenGroups",
                                             "currentTime",          NULL};
    _cleanup_(survey_freep) survey *s = NULL;
    place_use use;
    size_t n = 0;
    int r;

    assert(c);
    assert(questions);
    assert(done);
    assert(ret);

    s = calloc(1, sizeof(survey));
    if (!s)
        return -ENOMEM;

    s->connection = c;
    s->questions = *questions;
    s->done = done;
    s->userdata = userdata;

    while (name_of(s, n, &use))
        n++;
    s->result.places = calloc(n + 1, sizeof(place));
    if (!s->result.places)
        return -ENOMEM;

    r = connection_search(c, "", LDAP_SCOPE_BASE, "(objectClass=*)", attributes, on_root, s,
                          &s->request);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(s);
    return 0;
}

survey *survey_free(survey *s) {
    if (!s)
        return NULL;

    connection_request_free(s->request);
    free(s->service);
    free(s->configuration);
    free(s->result.naming_context);
    free(s->result.host);
    free(s->result.site);
    for (size_t i = 0; i < s->result.n_places; i++)
        free(s->result.places[i].dn);
    free(s->result.places);
    free(s->result.token);
    free(s);
    return NULL;
}

const survey_result *survey_get(const survey *s) {
    assert(s);
    return &s->result;
}
