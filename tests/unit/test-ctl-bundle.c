/* SPDX-License-Identifier: Apache-2.0 */
/* writebackctl bundle: what is in it, what must not be, and who may read it. Runs in the build
 * folder. */

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

#include "agent/base/json.h"
#include "tests/unit/command.h"
#include "tests/unit/run_ctl.h"

#define JOURNAL_REMOTE "/lib/systemd/systemd-journal-remote"

/* Everywhere that somebody may have put a secret, by mistake too. None may be found in the bundle.
 */
static const char *const secrets[] = {
    "relay-key-in-its-file",
    "bind-password-in-its-file",
    "key-in-the-string",
    "password-in-a-comment",
    "password-behind-it",
    "password-as-a-name",
    "proxy-user",
    "proxy/pass#word",
    "password-of-no-setting",
    "password-without-one",
    "key-on-the-next-line",
    "password-in-an-indented-comment",
    "function-key",
    "gateway-key",
    "signature-of-it",
    "in-the-fragment",
    "issuer-user",
    "issuer-pass",
    "meta-data-key",
    "controller-pass",
    "password-of-last-week",
    "hun\"ter",
    "ter\\two",
    "old-password-in-a-drop-in",
};

static const char configuration[] =
    "# the account's password is password-in-a-comment\n"
    "[Agent]\n"
    "  ; password-in-an-indented-comment\n"
    "Old=relay-key-in\n"
    "Id=agent-test ; password-behind-it\n"
    "TenantId=72f988bf-86f1-41af-91ab-2d7cd011db47\n"
    "[Relay \"primary\"]\n"
    "ConnectionString=Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=listen;"
    "SharedAccessKey = key-in-the-string;EntityPath=writeback\n"
    "  SharedAccessKey=key-on-the-next-line\n"
    "SharedAccessKeyCredential=%s/relay-key\n"
    "Proxy=http://proxy-user:proxy/pass#word@proxy.corp.example:3128\n"
    "[Directory \"corp.example\"]\n"
    "Controllers=dc1.corp.example\n"
    "  ldaps://user:controller-pass@dc2.corp.example\n"
    "BindDn=svc-writeback@corp.example\n"
    "BindPasswordCredential=password-as-a-name\n"
    "BindPassword=password-of-no-setting\n"
    "[Issuer \"entra\"]\n"
    "Url: https://issuer-user:issuer-pass@login.example/\n"
    "MetadataUrl=https://login.example/x?meta\n"
    "\n"
    "  -data-key\n"
    "[Graph]\n"
    "ClientSecretCredential=%s/graph-secret\n"
    "[Report]\n"
    "Url=https://health.example/report?code=function-key%%2Fpart%%3D%%3D&subscription-key=gateway-key\n"
    "  &sig=signature-of-it&=&x=&y#in-the-fragment\n";

static int setup(void **state) {
    _cleanup_free_ char *config = format(configuration, scratch(), scratch());

    *state = NULL;
    scratch_write("writebackd.conf", config);
    scratch_write("graph-secret", "hun\"ter\\two\n");
    scratch_write("relay-key", "relay-key-in-its-file\n");
    scratch_write("bind-password", "bind-password-in-its-file\n");
    free(command("mkdir -p writebackd.conf.d journal"));
    scratch_write("writebackd.conf.d/10-old.conf",
                  "[Directory \"corp.example\"]\n"
                  "BindPasswordCredential=old-password-in-a-drop-in\n"
                  "Keytab=abc\n"
                  "PolicyHints=prefer\n");
    /* The agent never logs one; where it did all the same, it would not leave. */
    scratch_write("export",
                  "__REALTIME_TIMESTAMP=1795687200000000\n__MONOTONIC_TIMESTAMP=1\n"
                  "_BOOT_ID=0123456789abcdef0123456789abcdef\n_SYSTEMD_UNIT=writebackd.service\n"
                  "WRITEBACK_EVENT=33004\nWRITEBACK_EVENT_NAME=ADPermissionsError\nPRIORITY=3\n"
                  "MESSAGE=refused, quoting hun\"ter\\two\nWRITEBACK_REQUEST_ID=request-1\n"
                  "WRITEBACK_TRACKING_ID=tracking-1\n"
                  "WRITEBACK_REASON=quotes relay-key-in-its-file somehow\n"
                  "WRITEBACK_ADDRESS=https://issuer-user:issuer-pass@login.example, issuer-pass\n"
                  "WRITEBACK_OTHER=function-key/part== and meta-data-key\n"
                  "WRITEBACK_OLD=Url=https://u:password-of-last-week@login.example/\n\n");
    free(command(JOURNAL_REMOTE " --output=journal/agent.journal export 2>&1"));
    return 0;
}

static int teardown(void **state) {
    (void) state;

    scratch_remove();
    return 0;
}

/* Where no agent answers. */
static void bundle(ctl_run *r, const char *more) {
    _cleanup_free_ char *arguments =
        format("bundle --health=%s/none --config=%s/writebackd.conf --since=2026-11-25 "
               "--directory=%s/journal %s 2>&1",
               scratch(), scratch(), scratch(), more);

    run_ctl(r, arguments);
}

static void bundle_to(ctl_run *r, const char *more, const char *name) {
    _cleanup_free_ char *arguments = format("%s %s/%s", more, scratch(), name);

    bundle(r, arguments);
}

static json_t *bundle_json(void) {
    json_t *document = NULL;
    const char *why;
    ctl_run r;

    bundle(&r, "--json");
    assert_int_equal(r.status, 0);
    if (json_parse(r.text, strlen(r.text), sizeof(r.text), &document, &why) < 0)
        fail_msg("%s: %s", why, r.text);
    return document;
}

static const char *content_of(const json_t *document, const char *name) {
    json_t *member;
    size_t i;

    json_array_foreach(json_object_get(document, "members"), i, member) {
        if (strcmp(json_get_string(member, "name"), name) == 0)
            return json_get_string(member, "content");
    }
    fail_msg("%s is not in it", name);
    return NULL;
}

static void assert_contains(const char *text, const char *what) {
    if (!strstr(text, what))
        fail_msg("\"%s\" is not in:\n%s", what, text);
}

/* ---- What is in it --------------------------------------------------------------------------- */

static void assert_nothing_secret_in(const char *name) {
    _cleanup_free_ char *arguments = format("--yes %s/%s", scratch(), name), *all = NULL;
    ctl_run r;

    bundle(&r, arguments);
    assert_int_equal(r.status, 0);
    all = command("tar -xzOf %s", name);
    for (size_t i = 0; i < ELEMENTSOF(secrets); i++) {
        if (strstr(all, secrets[i]))
            fail_msg("%s is in it:\n%s", secrets[i], all);
        /* Nor on the screen. */
        assert_null(strstr(r.text, secrets[i]));
    }
    /* So that there was something to be found. */
    assert_contains(all, "WRITEBACK_ADDRESS=https://(masked)@login.example, (masked)\n");
    assert_contains(all, "WRITEBACK_OLD=Url=https://(masked)@login.example/\n");
    assert_contains(all, "WRITEBACK_OTHER=(masked) and (masked)\n");
    assert_contains(all, "quotes (masked) somehow");
    assert_contains(all, "SharedAccessKey =(masked);EntityPath=writeback");
}

static void nothing_secret_is_in_the_file(void **state) {
    (void) state;

    assert_nothing_secret_in("secrets.tar.gz");

    /* What cannot even be read as a configuration is masked as well. */
    scratch_write("writebackd.conf.d/20-broken.conf", "[Agent]\npassword-without-one\n");
    assert_nothing_secret_in("broken.tar.gz");
    free(command("rm writebackd.conf.d/20-broken.conf"));
}

/* `check` quotes a wrong value in its complaint; so what was quoted may be a secret that stands
 * where its credential's name should. */
static void complaint_of_a_wrong_line_tells_no_secret(void **state) {
    static const char wrong[] =
        "[Agent]\nId=a\n"
        "[Directory \"corp.example\"]\nBindDn=u@corp.example\n"
        "BindPasswordCredential=password-as-a-name\n"
        "[Relay]\nConnectionString=Endpoint=sb://h.example/;SharedAccessKeyName=l;EntityPath=p\n"
        "SharedAccessKeyCredential=%s/relay-key\n"
        "[Issuer]\nUrl=https://login.example/\nAudience=a\n";
    _cleanup_free_ char *config = format(wrong, scratch()), *all = NULL;
    ctl_run r;

    (void) state;

    scratch_write("wrong.conf", config);
    all = format("bundle --health=%s/none --config=%s/wrong.conf --directory=%s/journal --json",
                 scratch(), scratch(), scratch());
    run_ctl(&r, all);
    assert_int_equal(r.status, 0);
    assert_says(&r, "BindPasswordCredential=(masked): the credential");
    assert_null(strstr(r.text, "password-as-a-name"));
}

/* In JSON a quotation mark has a backslash before it. */
static void a_secret_that_json_escapes_is_found(void **state) {
    _cleanup_(json_freep) json_t *document = bundle_json();

    (void) state;

    assert_contains(content_of(document, "failures.json"), "\"refused, quoting (masked)\"");
}

static void configuration_is_told_without_what_is_not_known(void **state) {
    static const char expected[] =
        "#\n"
        "[Agent]\n"
        "#\n"
        "# (masked: no setting of writebackd.conf)\n"
        "Id=agent-test\n"
        "TenantId=72f988bf-86f1-41af-91ab-2d7cd011db47\n"
        "[Relay \"primary\"]\n"
        "ConnectionString=Endpoint=sb://contoso.servicebus.windows.net/;"
        "SharedAccessKeyName=listen;SharedAccessKey =(masked);EntityPath=writeback\n"
        "    (masked)\n"
        "SharedAccessKeyCredential=%s/relay-key\n"
        "Proxy=http://(masked)\n"
        "[Directory \"corp.example\"]\n"
        "Controllers=dc1.corp.example\n"
        "    ldaps://(masked)@dc2.corp.example\n"
        "BindDn=svc-writeback@corp.example\n"
        "BindPasswordCredential=(masked)\n"
        "# (masked: no setting of writebackd.conf)\n"
        "[Issuer \"entra\"]\n"
        "Url=https://(masked)@login.example/\n"
        "MetadataUrl=https://login.example/x?(masked)\n"
        "\n"
        "    (masked)\n"
        "[Graph]\n"
        "ClientSecretCredential=%s/graph-secret\n"
        "[Report]\n"
        "Url=https://health.example/report?code=(masked)&subscription-key=(masked)&sig=(masked)&"
        "(masked)&(masked)&(masked)#(masked)\n"
        "    (masked)\n";
    _cleanup_(json_freep) json_t *document = bundle_json();
    _cleanup_free_ char *text = format(expected, scratch(), scratch());

    (void) state;

    assert_string_equal(content_of(document, "config/writebackd.conf"), text);
    assert_string_equal(content_of(document, "config/writebackd.conf.d/10-old.conf"),
                        "[Directory \"corp.example\"]\nBindPasswordCredential=(masked)\n"
                        "Keytab=(masked)\n"
                        "PolicyHints=prefer\n");
}

static void description_asks_what_support_asks_and_knows_what_it_can(void **state) {
    static const char *const parts[] = {
        "support code",
        "time zone",
        "screenshot",
        "licence",
        "federated",
        "agent-test",
        "72f988bf-86f1-41af-91ab-2d7cd011db47",
        "corp.example",
        "1 × 33004 ADPermissionsError",
        "request id request-1, tracking id tracking-1",
    };
    _cleanup_(json_freep) json_t *document = bundle_json();

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(parts); i++)
        assert_contains(content_of(document, "description.txt"), parts[i]);
    assert_contains(content_of(document, "events.txt"), "WRITEBACK_TRACKING_ID=tracking-1");
    assert_contains(content_of(document, "check.json"), "\"exitStatus\": 78");
    assert_contains(content_of(document, "status.json"), "does not answer");
    assert_contains(content_of(document, "failures.json"), "\"count\": 1");
    assert_contains(content_of(document, "versions.txt"), "libcurl");
}

/* ---- The file -------------------------------------------------------------------------------- */

static void file_is_its_owners_and_never_one_that_is_there(void **state) {
    _cleanup_free_ char *path = scratch_path("mine.tar.gz"), *other = scratch_path("link.tar.gz");
    _cleanup_free_ char *target = scratch_path("target");
    struct stat st;
    ctl_run r;

    (void) state;

    bundle_to(&r, "--yes", "mine.tar.gz");
    assert_int_equal(r.status, 0);
    assert_return_code(stat(path, &st), errno);
    assert_int_equal(st.st_mode & 07777, 0600);

    bundle_to(&r, "--yes", "mine.tar.gz");
    assert_int_equal(r.status, 1);
    assert_says(&r, "is there already");

    assert_return_code(symlink(target, other), errno);
    bundle_to(&r, "--yes", "link.tar.gz");
    assert_int_equal(r.status, 1);
    assert_int_equal(access(target, F_OK), -1);
}

static void it_is_shown_and_not_written_where_nobody_agreed(void **state) {
    _cleanup_free_ char *path = scratch_path("shown.tar.gz");
    ctl_run r;

    (void) state;

    bundle_to(&r, "</dev/null", "shown.tar.gz");
    assert_int_equal(r.status, 1);
    assert_says_in_order(&r, "would hold", "config/writebackd.conf", "==== description.txt ====");
    assert_says(&r, "with --yes it is");
    assert_int_equal(access(path, F_OK), -1);
}

/* script(1) gives it a terminal. */
static void on_a_terminal_it_asks_first(void **state) {
    static const struct {
        const char *answers;
        int status;
        const char *shown;
    } cases[] = {
        {"n", 1, "Write it?"},
        {"s\\nn", 1, "==== versions.txt ===="},
        {"y", 0, "Written: "},
    };
    _cleanup_free_ char *path = scratch_path("asked.tar.gz");
    ctl_run r;

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_free_ char *line =
            format("printf '%s\\n' | script --quiet --return --echo never --command "
                   "'./writebackctl bundle --health=%s/none --config=%s/writebackd.conf "
                   "--directory=%s/journal %s' /dev/null",
                   cases[i].answers, scratch(), scratch(), scratch(), path);

        run_shell(&r, line);
        assert_int_equal(r.status, cases[i].status);
        assert_says(&r, cases[i].shown);
        assert_int_equal(access(path, F_OK), cases[i].status == 0 ? 0 : -1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_secret_is_in_the_file),
        cmocka_unit_test(complaint_of_a_wrong_line_tells_no_secret),
        cmocka_unit_test(a_secret_that_json_escapes_is_found),
        cmocka_unit_test(configuration_is_told_without_what_is_not_known),
        cmocka_unit_test(description_asks_what_support_asks_and_knows_what_it_can),
        cmocka_unit_test(file_is_its_owners_and_never_one_that_is_there),
        cmocka_unit_test(it_is_shown_and_not_written_where_nobody_agreed),
        cmocka_unit_test(on_a_terminal_it_asks_first),
    };

    return cmocka_run_group_tests_name("writebackctl bundle", tests, setup, teardown);
}
