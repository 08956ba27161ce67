/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration: what is right is read, and what is wrong is told with file, line and cure. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/config.h"
#include "tests/unit/keytab.h"

#define SEVEN_NAMES "a b c d e f g "
#define TWENTY_ONE_NAMES SEVEN_NAMES SEVEN_NAMES SEVEN_NAMES
#define SIXTY_THREE_NAMES TWENTY_ONE_NAMES TWENTY_ONE_NAMES TWENTY_ONE_NAMES

#define OTHER "99999999-86f1-41af-91ab-2d7cd011db47"
#define TENANT "72f988bf-86f1-41af-91ab-2d7cd011db47"

static char folder[] = "/tmp/test-config-XXXXXX";

static const char good[] = "[Agent]\n"
                           "Id=agent-1\n"
                           "TenantId=72f988bf-86f1-41af-91ab-2d7cd011db47\n"
                           "StateDirectory=/var/lib/elsewhere\n"
                           "\n"
                           "[Relay \"primary\"]\n"
                           "# The namespace of the tenant.\n"
                           "ConnectionString=Endpoint=sb://contoso.servicebus.windows.net/;\n"
                           " SharedAccessKeyName=listen;EntityPath=writeback\n"
                           "\n"
                           "[Directory \"corp.example\"]\n"
                           "Controllers=dc1.corp.example dc2.corp.example:1636\n"
                           "BindDn=svc@corp.example\n"
                           "PolicyHints=prefer\n"
                           "PrivilegedGroup=CN=Tier 0,DC=corp,DC=example\n"
                           "PrivilegedGroup=CN=Tier 1,DC=corp,DC=example\n"
                           "\n"
                           "[Issuer \"entra\"]\n"
                           "Url=https://login.microsoftonline.com/" TENANT "/v2.0\n"
                           "Audience=api://writeback\n"
                           "\n"
                           "[Authorization]\n"
                           "AllowedClients=00000000-0000-0000-0000-000000000001\n"
                           "AccountRate=5/h\n"
                           "\n"
                           "[Report]\n"
                           "Url=https://health.example/report\n"
                           "Interval=2 min\n";

static void write_file(const char *name, const char *content) {
    _cleanup_free_ char *path = NULL;
    FILE *f;

    assert_true(asprintf(&path, "%s/%s", folder, name) > 0);
    f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(content, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static int set_up(void **state) {
    _cleanup_free_ char *drop_ins = NULL, *keytab = NULL, *make_pair = NULL;

    (void) state;

    if (!mkdtemp(folder) || asprintf(&drop_ins, "%s/d.conf.d", folder) < 0 ||
        asprintf(&keytab, "%s/keytab", folder) < 0)
        return -1;
    (void) mkdir(drop_ins, 0700);
    write_file("relay-key", "c2VjcmV0\n");
    write_file("bind-password", "Passw0rd!\n");
    write_file("empty", "\n");
    write_file("graph-secret", "it~is/secret\n");
    if (asprintf(&make_pair,
                 "openssl req -x509 -newkey rsa:2048 -nodes -days 90 -subj /CN=app "
                 "-keyout %s/graph-key -out %s/app.pem 2>/dev/null",
                 folder, folder) < 0 ||
        system(make_pair) != 0)
        return -1;
    /* Its last byte is the version: a newline, which is not to be cut off here. */
    keytab_add(keytab, "svc-writeback@CORP.EXAMPLE", '\n');
    return setenv("CREDENTIALS_DIRECTORY", folder, 1);
}

static int tear_down(void **state) {
    _cleanup_free_ char *command = NULL;

    (void) state;
    return asprintf(&command, "rm -rf %s", folder) < 0 || system(command) != 0;
}

static int load(const char *name, const char *content, config **ret, char **ret_why) {
    _cleanup_free_ char *path = NULL;

    write_file(name, content);
    assert_true(asprintf(&path, "%s/%s", folder, name) > 0);
    return config_load(path, ret, ret_why);
}

static void everything_written_down_is_read(void **state) {
    _cleanup_(config_freep) config *c = NULL;
    _cleanup_free_ char *why = NULL;

    (void) state;

    assert_int_equal(load("a.conf", good, &c, &why), 0);
    assert_string_equal(c->agent_id, "agent-1");
    assert_string_equal(c->state_directory, "/var/lib/elsewhere");
    assert_int_equal(c->n_relays, 1);
    assert_string_equal(c->relays[0].name, "primary");
    assert_string_equal(c->relays[0].path, "writeback");
    assert_string_equal(secret_data(c->relays[0].key), "c2VjcmV0");
    assert_int_equal(c->n_directories, 1);
    assert_string_equal(c->directories[0].domain, "corp.example");
    assert_string_equal(c->directories[0].controllers[1], "dc2.corp.example:1636");
    assert_null(c->directories[0].controllers[2]);
    assert_string_equal(secret_data(c->directories[0].bind_password), "Passw0rd!");
    assert_int_equal(c->directories[0].policy_hints, POLICY_HINTS_PREFER);
    assert_string_equal(c->directories[0].privileged_groups[1], "CN=Tier 1,DC=corp,DC=example");
    assert_string_equal(c->issuers[0].audiences[0], "api://writeback");
    assert_string_equal(c->issuers[0].url_v1, "https://sts.windows.net/" TENANT "/");
    assert_string_equal(c->issuers[0].tenant, TENANT);
    assert_string_equal(c->issuer_rules[0].allowed_clients[0],
                        "00000000-0000-0000-0000-000000000001");
    assert_int_equal(c->issuer_rules[0].allowed_roles, ROLES_ALL);
    assert_string_equal(c->health_listen, "127.0.0.1:8404");
    assert_int_equal(c->log_user_identity, IDENTITY_UPN);
    assert_int_equal(c->request_rate.count, 3000);
    assert_int_equal(c->request_rate.period, USEC_PER_MINUTE);
    assert_int_equal(c->account_rate.count, 5);
    assert_int_equal(c->account_rate.period, USEC_PER_HOUR);
    assert_string_equal(c->report.url, "https://health.example/report");
    assert_int_equal(c->report.interval, 2 * USEC_PER_MINUTE);
}

/* `good` with one text replaced by another. Returns malloc(3)ed. */
static char *with(const char *from, const char *to) {
    const char *place = strstr(good, from);
    char *text;

    assert_non_null(place);
    assert_true(asprintf(&text, "%.*s%s%s", (int) (place - good), good, to, place + strlen(from)) >
                0);
    return text;
}

#define CLIENT "ClientId=" OTHER "\n"
/* A section of its own behind the last line. */
#define GRAPH_IS_WRONG(lines, expected)                                                            \
    { "Interval=2 min\n", "Interval=2 min\n\n[Graph]\n" lines "\n", expected }

static void what_is_wrong_is_told_with_line_and_cure(void **state) {
    static const struct {
        const char *from, *to;
        const char *expected; /* behind "FOLDER/b.conf:" */
    } wrong[] = {
        {"Id=agent-1\n", "", "1: [Agent] has no Id=; expected is the agent's name"},
        {"Id=agent-1", "Id=", "1: [Agent] has no Id="},
        {"Id=", "Idd=", "1: [Agent] has no Id="},
        {"TenantId=", "Tenant=", "3: [Agent] has no setting Tenant=; see writebackd.conf(5)"},
        {"72f988bf", "72f988bg",
         "3: TenantId=72f988bg-86f1-41af-91ab-2d7cd011db47 is no tenant id"},
        {"=/var/lib", "=var/lib",
         "4: StateDirectory=var/lib/elsewhere: expected is an absolute path"},
        {"StateDirectory=/var/lib/elsewhere", "LogUserIdentity=name",
         "4: LogUserIdentity=name: expected is upn, sid or hash"},
        {"[Agent]", "Agent", "1: this is neither a section ([Agent]) nor a setting (Key=value)"},
        {"[Agent]", "[Agent \"x\"]", "1: [Agent] takes no name"},
        {"[Agent]\n", "", "1: a setting stands before the first section; begin with [Agent]"},
        {"[Agent]", "[Agnet]", "1: a section [Agent] is missing"},
        {"[Relay \"primary\"]", "[Relay \"primary]", "6: [Relay \"primary] is no section header"},
        {"[Authorization]", "[Authorisation]",
         "22: [Authorisation] is unknown; expected are Agent"},
        {"EntityPath=writeback", "SharedAccessKey=c2Vj;EntityPath=writeback",
         "8: ConnectionString= holds the key itself"},
        {"Endpoint=sb://", "Endpoint=http://", "8: ConnectionString=: "},
        {"PolicyHints=prefer", "PolicyHints=yes",
         "14: PolicyHints=yes: expected is require, prefer or off"},
        {"Controllers=dc1", "Controllers=ldaps://dc1",
         "12: Controllers=ldaps://dc1.corp.example: "},
        {"Controllers=dc1.corp.example", "Controllers=localhost", "12: Controllers=localhost: "},
        {"Controllers=dc1.corp.example", "Controllers=dc1:66000", "12: Controllers=dc1:66000: exp"},
        {"Controllers=dc1.corp.example", "Controllers=dc1:0", "12: Controllers=dc1:0: expected is"},
        {"Controllers=dc1.corp.example", "Controllers=dc1:ldap", "12: Controllers=dc1:ldap: expec"},
        {"Controllers=dc1.corp.example", "Controllers=[::1", "12: Controllers=[::1: expected is"},
        {"Controllers=dc1.corp.example", "Controllers=[::1]636", "12: Controllers=[::1]636: expe"},
        {"Controllers=dc1.corp.example", "Controllers=:636", "12: Controllers=:636: expected is"},
        {"Controllers=dc1.corp.example dc2", "Controllers=dc1,dc2",
         "12: Controllers=dc1,dc2.corp."},
        {"Controllers=dc1.corp.example", "Controllers=" SIXTY_THREE_NAMES " c",
         "12: Controllers=: more than 64 controllers"},
        {"Controllers=dc1.corp.example dc2.corp.example:1636", "Discover=no",
         "11: [Directory \"corp.example\"] has no Controllers=, and Discover=no"},
        {"PolicyHints=", "Discover=maybe\nPolicyHints=",
         "14: Discover=maybe: expected is yes or no"},
        {"PolicyHints=", "Site=Berlin,CN=x\nPolicyHints=",
         "14: Site=Berlin,CN=x is no name of a site"},
        {"PolicyHints=", "Prefer=dc1\nPolicyHints=", "14: Prefer=dc1: expected is pdc"},
        {"BindDn=", "AllowedTargets=Staff\nBindDn=",
         "13: AllowedTargets=Staff: expected is the name of one unit or group"},
        {"BindDn=", "DeniedTargets=OU=A,DC=x OU=B;DC=y\nBindDn=", "13: DeniedTargets=OU=A"},
        {"Url=https:", "Url=http:",
         "19: Url=http://login.microsoftonline.com/" TENANT "/v2.0: expected is an https"},
        {TENANT "/v2.0", "common/v2.0",
         "19: Url=https://login.microsoftonline.com/common/v2.0: of Microsoft Entra expected is"},
        {"Audience=", "TenantId=" OTHER "\nAudience=",
         "19: Url=https://login.microsoftonline.com/" TENANT
         "/v2.0: TenantId= names another tenant"},
        {"Audience=api", "#Audience=api", "18: [Issuer \"entra\"] has no Audience="},
        {"Audience=", "JwksFile=/nowhere\nAudience=",
         "20: JwksFile=/nowhere: No such file or directory"},
        {"Audience=", "JwksFile=/nowhere\nMetadataUrl=https://x\nAudience=",
         "20: JwksFile=/nowhere: with keys from a file none are fetched"},
        {"[Authorization]",
         "[Issuer \"b\"]\nUrl=https://login.microsoftonline.com/" TENANT
         "/v2.0\nAudience=b\n[Authorization]",
         "23: Url=https://login.microsoftonline.com/" TENANT
         "/v2.0: [Issuer \"entra\"] has it already"},
        {"BindDn=", "BindPasswordCredential=nowhere\nBindDn=",
         "13: BindPasswordCredential=nowhere: the credential "},
        {"BindDn=", "BindPasswordCredential=empty\nBindDn=",
         "13: BindPasswordCredential=empty: the credential "},
        {"BindDn=svc@corp.example", "BindDn=a@b\nBindDn=c@d",
         "14: BindDn= stands here again; it was set in line 13"},
        {"BindDn=svc@corp.example", "BindMethod=gssapi",
         "13: BindMethod=gssapi: expected is simple or kerberos"},
        {"BindDn=", "Keytab=keytab\nBindDn=", "13: Keytab= contradicts a simple bind"},
        {"BindDn=", "BindMethod=kerberos\nBindDn=", "14: BindDn= contradicts BindMethod=kerberos"},
        {"BindDn=svc@corp.example",
         "Principal=svc-writeback\nBindMethod=kerberos\nBindPasswordCredential=bind-password",
         "15: BindPasswordCredential= contradicts BindMethod=kerberos"},
        {"BindDn=svc@corp.example", "BindMethod=kerberos",
         "11: [Directory \"corp.example\"] has no Principal="},
        {"BindDn=svc@corp.example", "BindMethod=kerberos\nPrincipal=svc-writeback\nKeytab=nowhere",
         "15: Keytab=nowhere: the keytab "},
        {"BindDn=svc@corp.example",
         "BindMethod=kerberos\nPrincipal=svc-writeback\nKeytab=bind-password",
         "15: Keytab=bind-password: the file "},
        {"BindDn=svc@corp.example", "BindMethod=kerberos\nPrincipal=svc@OTHER.EXAMPLE",
         "11: Keytab=keytab: the keytab "},
        {"Interval=2 min", "Interval=2 fortnights",
         "28: Interval=2 fortnights: expected is a time between 10s and 1d, such as 5min"},
        {"Interval=2 min", "Interval=1s", "28: Interval=1s: expected is a time between"},
        {"Url=https://health", "Url=http://health", "27: Url=http://health.example/report: expec"},
        {"https://health", "https://user:hunter2@health",
         "27: Url=https://(masked)@health.example/report: expected is an https:// address"},
        {"https://health.example/report", "http://health.example/report?code=hunter2&x=hunter2#y",
         "27: Url=http://health.example/report?code=(masked)&x=(masked)#(masked): expected"},
        {"https://health.example/report", "user:hunter2@health.example/report",
         "27: Url=(masked)@health.example/report: expected"},
        {"https://health.example/report", "https://health.example/report?code=\n hunter2@x",
         "27: Url=https://(masked): expected"},
        {"Interval=2 min", "Proxy=http://user:hunter2/x@proxy.example:3128",
         "28: Proxy=http://(masked)@proxy.example:3128: expected is the address of a proxy"},
        {"Interval=2 min", "Proxy=ldap://user:hunter2@proxy.example",
         "28: Proxy=ldap://(masked)@proxy.example: expected is the address of a proxy"},
        {"Audience=", "Proxy=http://user:hunter2@proxy.example:x\nAudience=",
         "20: Proxy=http://(masked)@proxy.example:x: expected is the address of a proxy"},
        {"Audience=", "MetadataUrl=https://user:hunter2@id.example/\nAudience=",
         "20: MetadataUrl=https://(masked)@id.example/: expected is an https:// address"},
        {"https://login.microsoftonline.com/" TENANT "/v2.0", "https://id.example/?key=hunter2",
         "19: Url=https://id.example/?key=(masked): expected is an address without a ?"},
        {"dc1.corp.example", "ldaps://user:hunter2@dc1.corp.example",
         "12: Controllers=ldaps://(masked)@dc1.corp.example: expected is the name"},
        {"[Authorization]", "[Keys]\nLifetime=180\n[Authorization]",
         "23: Lifetime=180: expected is a span of time such as 180d"},
        {"[Authorization]", "[Keys]\nRollAfter=0d\n[Authorization]",
         "23: RollAfter=0d: expected is a span of time"},
        {"[Authorization]", "[Keys]\nGrace=31d\n[Authorization]",
         "22: [Keys]: RollAfter= and Grace= together are longer than Lifetime="},
        {"[Authorization]", "[Keys]\nRenew=never\n[Authorization]",
         "23: Renew=never: expected is yes or no"},
        {"[Authorization]", "[Keys]\nSealCredential=nowhere\n[Authorization]",
         "23: SealCredential=nowhere: the credential "},
        {"BindDn=svc@corp.example", "BindDn=svc@corp.example\nBindPasswordCredential=Hunter2",
         "14: BindPasswordCredential= names no credential that can be read (No such file or "
         "directory); what stands there is not shown, since it may be the secret itself; expected"},
        {"BindDn=svc@corp.example", "BindDn=svc@corp.example\nBindPasswordCredential=/hunter2/x+y=",
         "14: BindPasswordCredential= names no credential that can be read"},
        {"[Authorization]", "[Keys]\nSealCredential=bind-password\n[Authorization]",
         "22: SealCredential=: the credential does not hold 32 bytes in base64"},
        {"Interval=2 min", "Interval=25h", "28: Interval=25h: expected is a time between 10s and "},
        GRAPH_IS_WRONG("Interval=5min", "30: [Graph] has no ClientId="),
        GRAPH_IS_WRONG("ClientId=app",
                       "31: ClientId=: what stands there is no application id, and is not shown"),
        GRAPH_IS_WRONG(CLIENT, "30: [Graph] has no ClientCertificate="),
        GRAPH_IS_WRONG(CLIENT "ClientCertificate=/nowhere",
                       "32: ClientCertificate=/nowhere: cannot be read: No such file"),
        GRAPH_IS_WRONG(CLIENT "ClientKeyCredential=bind-password\nClientCertificate=/dev/null",
                       "33: ClientCertificate=/dev/null: it is no certificate in PEM"),
        GRAPH_IS_WRONG(CLIENT "ClientKeyCredential=nowhere\nClientCertificate=/dev/null",
                       "32: ClientKeyCredential=nowhere: the credential "),
        GRAPH_IS_WRONG(CLIENT "ClientSecretCredential=graph-secret\nAlgorithm=RS256",
                       "33: Algorithm= contradicts ClientSecretCredential="),
        GRAPH_IS_WRONG(CLIENT "ClientCertificate=/dev/null\nAlgorithm=ES256",
                       "33: Algorithm=ES256: expected is PS256 or RS256"),
        GRAPH_IS_WRONG("Cloud=mars", "31: Cloud=mars: expected is public, usgov, china or custom"),
        GRAPH_IS_WRONG("GraphUrl=https://graph.example", "31: GraphUrl= contradicts a cloud whose"),
        GRAPH_IS_WRONG("Cloud=custom", "30: [Graph] has no TokenUrl="),
        GRAPH_IS_WRONG("Cloud=custom\nTokenUrl=https://t.example\nGraphUrl=http://g.example",
                       "33: GraphUrl=http://g.example: expected is an https:// address"),
        GRAPH_IS_WRONG("Cloud=custom\nTokenUrl=https://t.example\nGraphUrl=https://g.example\n"
                       "TenantId=" OTHER,
                       "34: TenantId= contradicts Cloud=custom"),
        GRAPH_IS_WRONG("TenantId=contoso.onmicrosoft.com", "30: [Graph]: TenantId=contoso."),
        GRAPH_IS_WRONG(CLIENT "ClientSecretCredential=graph-secret\nInterval=2h",
                       "33: Interval=2h: expected is a time between 10s and 1h"),
        {"=0000", "=x000",
         "23: AllowedClients=: x0000000-0000-0000-0000-000000000001 is no application id"},
        {"https://login.microsoftonline.com/" TENANT "/v2.0", "https://id.example",
         "18: [Issuer \"entra\"] has no AllowedClients=; expected are the clients whose tokens "
         "count, as https://id.example calls them"},
        {"AccountRate=5/h", "AllowedRoles=PasswordAdministrator Reader",
         "24: AllowedRoles=: Reader is no role that may count; expected are some of Global"},
        {"AccountRate=5/h", "AllowedRoles=none UserAdministrator", "24: AllowedRoles=: none is no"},
        {"Audience=", "AllowedRoles=admin\nAudience=", "20: AllowedRoles=: admin is no role"},
        {"Audience=", "AllowedClients=my-portal\nAudience=",
         "20: AllowedClients=: my-portal is no application id; expected are GUIDs"},
        {"AccountRate=5/h", "AccountRate=5", "24: AccountRate=5: expected is a number per time"},
    };

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
        _cleanup_free_ char *text = with(wrong[i].from, wrong[i].to);
        _cleanup_free_ char *why = NULL, *expected = NULL;
        config *c = NULL;

        assert_true(asprintf(&expected, "%s/b.conf:%s", folder, wrong[i].expected) > 0);
        if (load("b.conf", text, &c, &why) == 0)
            fail_msg("it was taken: %s", wrong[i].to);
        if (!why || strncmp(why, expected, strlen(expected)) != 0)
            fail_msg("expected: %s\ngot:      %s", expected, why ? why : "(nothing)");
        if (strcasestr(why, "hunter2"))
            fail_msg("it quotes a password: %s", why);
    }
}

static void proxies_are_taken_as_libcurl_takes_them(void **state) {
    static const char *const proxies[] = {
        "http://proxy.corp.example:3128",
        "proxy.corp.example:3128",
        "http://user:p%40ss@[::1]:8080",
        "https://proxy.corp.example",
        "socks5h://127.0.0.1",
    };

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(proxies); i++) {
        _cleanup_free_ char *line = NULL, *text = NULL, *why = NULL;
        _cleanup_(config_freep) config *c = NULL;

        assert_true(asprintf(&line, "Proxy=%s", proxies[i]) > 0);
        text = with("Interval=2 min", line);
        if (load("proxy.conf", text, &c, &why) < 0)
            fail_msg("%s", why);
        assert_string_equal(c->report.proxy, proxies[i]);
    }
}

/* What one issuer's tokens may say is not what another's may. */
static void issuers_have_rules_of_their_own(void **state) {
    _cleanup_free_ char *text = with(
        "AccountRate=5/h\n", "AllowedRoles=HelpdeskAdministrator Password.Reset.All\n"
                             "[Issuer \"second\"]\n"
                             "Url=https://login.microsoftonline.us/" OTHER "/v2.0\n"
                             "Audience=api://writeback\n"
                             "AllowedClients=00000000-0000-0000-0000-000000000002\n"
                             "AllowedRoles=helpdeskadministrator GlobalAdministrator\n"
                             "[Issuer \"own\"]\n"
                             "Url=https://id.example\n"
                             "Audience=api://writeback\n"
                             "AllowedClients=help-desk:1 00000000-0000-0000-0000-000000000003\n"
                             "[Issuer \"people\"]\n"
                             "AllowedClients=help-desk:1\n"
                             "Url=https://people.example\n"
                             "Audience=api://writeback\n"
                             "AllowedRoles=none\n"
                             "[Issuer \"cloud\"]\n"
                             "Url=https://login.other.example/v2.0\n"
                             "TenantId=" TENANT "\n"
                             "Audience=api://writeback\n");
    const role_set both = ROLE_HELPDESK_ADMINISTRATOR | ROLE_RESET_ALL;
    _cleanup_(config_freep) config *c = NULL;
    _cleanup_free_ char *why = NULL;
    const issuer_rules *rules;

    (void) state;

    if (load("rules.conf", text, &c, &why) < 0)
        fail_msg("%s", why);
    rules = c->issuer_rules;

    /* What stands in [Authorization] is for Entra alone, beside the section's own. */
    assert_string_equal(rules[0].allowed_clients[0], "00000000-0000-0000-0000-000000000001");
    assert_null(rules[0].allowed_clients[1]);
    assert_string_equal(rules[1].allowed_clients[0], "00000000-0000-0000-0000-000000000002");
    assert_string_equal(rules[1].allowed_clients[1], "00000000-0000-0000-0000-000000000001");
    assert_null(rules[1].allowed_clients[2]);
    assert_string_equal(rules[2].allowed_clients[0], "help-desk:1");
    assert_string_equal(rules[2].allowed_clients[1], "00000000-0000-0000-0000-000000000003");
    assert_null(rules[2].allowed_clients[2]);
    assert_string_equal(rules[3].allowed_clients[0], "help-desk:1");
    assert_string_equal(rules[4].allowed_clients[0], "00000000-0000-0000-0000-000000000001");

    /* Each list narrows, and none widens. */
    assert_int_equal(rules[0].allowed_roles, both);
    assert_int_equal(rules[1].allowed_roles, ROLE_HELPDESK_ADMINISTRATOR);
    assert_int_equal(rules[2].allowed_roles, both);
    assert_int_equal(rules[3].allowed_roles, 0);

    assert_true(issuer_config_is_entra(&c->issuers[1]));
    assert_false(issuer_config_is_entra(&c->issuers[2]));
    assert_true(issuer_config_is_entra(&c->issuers[4]));
}

static void an_account_with_a_keytab_is_read(void **state) {
    _cleanup_free_ char *text =
        with("BindDn=svc@corp.example", "BindMethod=kerberos\nPrincipal=svc-writeback");
    _cleanup_(config_freep) config *c = NULL;
    _cleanup_free_ char *why = NULL, *keytab = NULL;

    (void) state;

    assert_true(asprintf(&keytab, "%s/keytab", folder) > 0);
    assert_int_equal(load("k.conf", text, &c, &why), 0);
    assert_int_equal(c->directories[0].bind_method, BIND_KERBEROS);
    assert_string_equal(c->directories[0].bind_dn, "svc-writeback@CORP.EXAMPLE");
    assert_string_equal(c->directories[0].keytab, keytab);
    assert_null(c->directories[0].bind_password);
}

static void controllers_are_taken_as_people_write_them(void **state) {
    static const char *const good_names[] = {
        "dc1", "dc1.corp.example:636", "10.0.0.1:1636", "fd00::1", "[fd00::1]", "[fd00::1]:65535"};
    _cleanup_free_ char *why = NULL;

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(good_names); i++) {
        _cleanup_free_ char *text = with("dc1.corp.example dc2.corp.example:1636", good_names[i]);
        _cleanup_(config_freep) config *c = NULL;

        if (load("h.conf", text, &c, &why) < 0)
            fail_msg("%s", why);
        assert_string_equal(c->directories[0].controllers[0], good_names[i]);
    }
}

static void dns_is_asked_where_no_controller_is_named_or_it_is_wished(void **state) {
    _cleanup_free_ char *none = with("Controllers=dc1.corp.example dc2.corp.example:1636\n", "");
    _cleanup_free_ char *both = with("BindDn=", "Discover=yes\nSite=Berlin-2\nPrefer=pdc\nBindDn=");
    _cleanup_(config_freep) config *named = NULL, *asked = NULL, *beside = NULL;
    _cleanup_free_ char *why = NULL;

    (void) state;

    assert_int_equal(load("e.conf", good, &named, &why), 0);
    assert_false(named->directories[0].discovers);
    assert_false(named->directories[0].prefers_pdc);

    assert_int_equal(load("e.conf", none, &asked, &why), 0);
    assert_true(asked->directories[0].discovers);
    assert_null(asked->directories[0].controllers);
    assert_null(asked->directories[0].site);

    assert_int_equal(load("e.conf", both, &beside, &why), 0);
    assert_true(beside->directories[0].discovers);
    assert_true(beside->directories[0].prefers_pdc);
    assert_string_equal(beside->directories[0].site, "Berlin-2");
    assert_string_equal(beside->directories[0].controllers[0], "dc1.corp.example");
}

static void each_domain_has_its_own_account_base_and_controllers(void **state) {
    _cleanup_free_ char *two = with("[Issuer \"entra\"]", "[Directory \"child.corp.example\"]\n"
                                                          "BindDn=svc@child.corp.example\n"
                                                          "BaseDn=OU=People,DC=child\n"
                                                          "CaDirectory=/etc/writeback/ca\n"
                                                          "\n"
                                                          "[Issuer \"entra\"]");
    _cleanup_(config_freep) config *c = NULL;
    _cleanup_free_ char *why = NULL;

    (void) state;

    assert_int_equal(load("f.conf", two, &c, &why), 0);
    assert_int_equal(c->n_directories, 2);
    assert_string_equal(c->directories[0].bind_dn, "svc@corp.example");
    assert_false(c->directories[0].discovers);
    assert_null(c->directories[0].base_dn);
    assert_string_equal(c->directories[1].domain, "child.corp.example");
    assert_string_equal(c->directories[1].bind_dn, "svc@child.corp.example");
    assert_string_equal(c->directories[1].base_dn, "OU=People,DC=child");
    assert_string_equal(c->directories[1].ca_directory, "/etc/writeback/ca");
    assert_true(c->directories[1].discovers);
}

static void keys_have_a_life_and_a_seal_where_one_is_given(void **state) {
    _cleanup_(config_freep) config *plain = NULL, *sealed = NULL;
    _cleanup_free_ char *text = with("[Authorization]", "[Keys]\nLifetime=52w\nRollAfter=36h\n"
                                                        "Grace=90min\nRenew=no\n"
                                                        "[Authorization]");
    _cleanup_free_ char *why = NULL;

    (void) state;

    assert_int_equal(load("e.conf", good, &plain, &why), 0);
    assert_int_equal(plain->keys_lifetime, 180 * USEC_PER_DAY);
    assert_int_equal(plain->keys_roll_after, 150 * USEC_PER_DAY);
    assert_int_equal(plain->keys_grace, 30 * USEC_PER_DAY);
    assert_false(plain->keys_renewed_elsewhere);
    assert_null(plain->keys_seal);

    write_file("state-key", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n");
    assert_int_equal(load("e.conf", text, &sealed, &why), 0);
    assert_int_equal(sealed->keys_lifetime, 364 * USEC_PER_DAY);
    assert_int_equal(sealed->keys_roll_after, 36 * USEC_PER_HOUR);
    assert_int_equal(sealed->keys_grace, 90 * USEC_PER_MINUTE);
    assert_true(sealed->keys_renewed_elsewhere);
    assert_string_equal(secret_data(sealed->keys_seal), "0123456789abcdef0123456789abcdef");
}

static void load_graph(const char *lines, config **ret) {
    _cleanup_free_ char *section = NULL, *text = NULL, *why = NULL;

    assert_true(asprintf(&section, "\n[Graph]\n" CLIENT "%s\n[Report]", lines) > 0);
    text = with("[Report]", section);
    if (load("g.conf", text, ret, &why) < 0)
        fail_msg("%s", why);
}

static void graph_is_asked_in_its_cloud_by_certificate_or_secret(void **state) {
    _cleanup_(config_freep) config *none = NULL, *certificate = NULL, *secret_based = NULL,
                                   *china = NULL, *custom = NULL;
    _cleanup_free_ char *lines = NULL, *why = NULL;

    (void) state;

    assert_int_equal(load("g.conf", good, &none, &why), 0);
    assert_null(none->graph.url);

    assert_true(asprintf(&lines, "ClientCertificate=%s/app.pem", folder) > 0);
    load_graph(lines, &certificate);
    assert_string_equal(certificate->graph.url, "https://graph.microsoft.com");
    assert_string_equal(certificate->graph.token_url,
                        "https://login.microsoftonline.com/" TENANT "/oauth2/v2.0/token");
    assert_string_equal(certificate->graph.client_id, OTHER);
    assert_string_equal(certificate->graph.algorithm, "PS256");
    assert_int_equal(strlen(certificate->graph.thumbprint), 43);
    assert_true(certificate->graph.not_after > now_realtime() + 89 * USEC_PER_DAY);
    assert_null(certificate->graph.client_secret);
    assert_int_equal(certificate->graph.interval, 15 * USEC_PER_MINUTE);

    load_graph("Cloud=usgov\nTenantId=" OTHER "\nClientSecretCredential=graph-secret\n"
               "Interval=1h",
               &secret_based);
    assert_string_equal(secret_based->graph.url, "https://graph.microsoft.us");
    assert_string_equal(secret_based->graph.token_url,
                        "https://login.microsoftonline.us/" OTHER "/oauth2/v2.0/token");
    assert_string_equal(secret_data(secret_based->graph.client_secret), "it~is/secret");
    assert_null(secret_based->graph.key);
    assert_int_equal(secret_based->graph.interval, USEC_PER_HOUR);

    load_graph("Cloud=china\nClientSecretCredential=graph-secret", &china);
    assert_string_equal(china->graph.url, "https://microsoftgraph.chinacloudapi.cn");
    assert_string_equal(china->graph.token_url,
                        "https://login.partner.microsoftonline.cn/" TENANT "/oauth2/v2.0/token");

    load_graph("Cloud=custom\nTokenUrl=https://login.example/token\n"
               "GraphUrl=https://graph.example/\nClientSecretCredential=graph-secret",
               &custom);
    assert_string_equal(custom->graph.url, "https://graph.example");
    assert_string_equal(custom->graph.token_url, "https://login.example/token");
}

static void a_line_too_long_is_refused_not_cut(void **state) {
    _cleanup_free_ char *text = NULL, *why = NULL;
    config *c = NULL;

    (void) state;

    assert_true(asprintf(&text, "[Agent]\nId=%0200d\n", 7) > 0);
    assert_int_equal(load("c.conf", text, &c, &why), -EINVAL);
    assert_non_null(strstr(why, "c.conf:2: the line has 203 characters, at most 198 are allowed"));
}

static void a_drop_in_replaces_and_is_named_in_errors(void **state) {
    _cleanup_(config_freep) config *c = NULL;
    _cleanup_free_ char *why = NULL;
    config *none = NULL;

    (void) state;

    write_file("d.conf.d/10-id.conf", "[Agent]\nId=agent-2\n");
    write_file("d.conf.d/ignored.txt", "nonsense\n");
    assert_int_equal(load("d.conf", good, &c, &why), 0);
    assert_string_equal(c->agent_id, "agent-2");

    write_file("d.conf.d/20-wrong.conf", "[Health]\n\nPort=1\n");
    assert_int_equal(load("d.conf", good, &none, &why), -EINVAL);
    assert_non_null(strstr(why, "d.conf.d/20-wrong.conf:3: [Health] has no setting Port="));
}

static void a_missing_file_is_named(void **state) {
    _cleanup_free_ char *why = NULL;
    config *c = NULL;

    (void) state;

    assert_int_equal(config_load("/nowhere/writebackd.conf", &c, &why), -ENOENT);
    assert_string_equal(why, "/nowhere/writebackd.conf: cannot be read: No such file or directory");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_written_down_is_read),
        cmocka_unit_test(proxies_are_taken_as_libcurl_takes_them),
        cmocka_unit_test(issuers_have_rules_of_their_own),
        cmocka_unit_test(an_account_with_a_keytab_is_read),
        cmocka_unit_test(what_is_wrong_is_told_with_line_and_cure),
        cmocka_unit_test(controllers_are_taken_as_people_write_them),
        cmocka_unit_test(dns_is_asked_where_no_controller_is_named_or_it_is_wished),
        cmocka_unit_test(each_domain_has_its_own_account_base_and_controllers),
        cmocka_unit_test(keys_have_a_life_and_a_seal_where_one_is_given),
        cmocka_unit_test(graph_is_asked_in_its_cloud_by_certificate_or_secret),
        cmocka_unit_test(a_line_too_long_is_refused_not_cut),
        cmocka_unit_test(a_drop_in_replaces_and_is_named_in_errors),
        cmocka_unit_test(a_missing_file_is_named),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
