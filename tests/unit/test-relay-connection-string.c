/* SPDX-License-Identifier: Apache-2.0 */
/* Connection strings: what is taken, and in which words the rest is refused. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "relay/relay.h"

#define ENDPOINT "Endpoint=sb://contoso.servicebus.windows.net/;"
#define NAME "SharedAccessKeyName=listen-rule;"
#define KEY "SharedAccessKey=2ZbB2tGGa4ZzYJQH2p1mFqjS3q0c5+6k1m8l3r0v9Jk=;"

static void the_portals_text_is_taken_whole(void **state) {
    relay_config c;
    char *why = NULL;

    (void) state;

    assert_int_equal(relay_config_parse(ENDPOINT NAME KEY "EntityPath=hyco", &c, &why), 0);
    assert_null(why);
    assert_string_equal(c.host, "contoso.servicebus.windows.net");
    assert_int_equal(c.port, 443);
    assert_string_equal(c.path, "hyco");
    assert_string_equal(c.key_name, "listen-rule");
    assert_string_equal(secret_data(c.key), "2ZbB2tGGa4ZzYJQH2p1mFqjS3q0c5+6k1m8l3r0v9Jk=");
    assert_int_equal(c.keepalive_interval, 30 * USEC_PER_SEC);
    assert_int_equal(c.token_lifetime, USEC_PER_HOUR);
    assert_null(c.name);
    assert_null(c.ca_file);
    assert_null(c.proxy);

    relay_config_done(&c);
    assert_null(c.host);
    assert_null(c.key);
}

static void case_order_spaces_and_a_port_do_not_matter(void **state) {
    relay_config c;
    char *why = NULL;

    (void) state;

    assert_int_equal(relay_config_parse(" entitypath = /a/b-1/ ;;OPERATIONTIMEOUT=00:01:00;"
                                        "sharedaccesskeyname=r;endpoint=SB://Host.Example:9444",
                                        &c, &why),
                     0);
    assert_string_equal(c.host, "host.example");
    assert_int_equal(c.port, 9444);
    assert_string_equal(c.path, "a/b-1");
    /* It may come from a credential later. */
    assert_null(c.key);
    relay_config_done(&c);
}

static void what_is_wrong_is_said_in_words(void **state) {
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "Endpoint is missing"},
        {NAME KEY "EntityPath=x", "Endpoint is missing"},
        {"Endpoint=https://x/;" NAME "EntityPath=x", "Endpoint must be sb://HOST/"},
        {"Endpoint=sb:///;" NAME "EntityPath=x",
         "Endpoint must be sb://HOST/ with the name of a host"},
        {"Endpoint=sb://a@b/;" NAME "EntityPath=x",
         "Endpoint must be sb://HOST/ with the name of a host"},
        {"Endpoint=sb://h/x;" NAME "EntityPath=x",
         "Endpoint must be sb://HOST/ with the name of a host"},
        {"Endpoint=sb://h:0/;" NAME "EntityPath=x",
         "the port of Endpoint must be a number from 1 to 65535"},
        {"Endpoint=sb://h:65536/;" NAME "EntityPath=x",
         "the port of Endpoint must be a number from 1 to 65535"},
        {"Endpoint=sb://h:/;" NAME "EntityPath=x",
         "the port of Endpoint must be a number from 1 to 65535"},
        {ENDPOINT "EntityPath=x", "SharedAccessKeyName is missing"},
        {ENDPOINT NAME "SharedAccessKey=;EntityPath=x", "SharedAccessKey is empty"},
        {ENDPOINT NAME KEY, "EntityPath is missing"},
        {ENDPOINT NAME KEY "EntityPath=//", "EntityPath is empty"},
        {ENDPOINT NAME KEY "EntityPath=a b",
         "EntityPath may hold letters, digits and . - _ / only, and begins and ends with a letter "
         "or digit"},
        {ENDPOINT NAME KEY "EntityPath=../x",
         "EntityPath may hold letters, digits and . - _ / only, and begins and ends with a letter "
         "or digit"},
        {ENDPOINT NAME NAME "EntityPath=x", "SharedAccessKeyName stands there twice"},
        {ENDPOINT "nonsense", "part 2 has no '='; expected NAME=VALUE;NAME=VALUE"},
        /* A semicolon too many before the key's last character: the "name" is the key. */
        {ENDPOINT NAME "SharedAccessKey;2ZbB2tGGa4Zz=;EntityPath=x",
         "part 3 has no '='; expected NAME=VALUE;NAME=VALUE"},
        {ENDPOINT NAME "2ZbB2tGGa4Zz=;EntityPath=x",
         "part 3 is unknown; expected Endpoint, SharedAccessKeyName, SharedAccessKey, EntityPath "
         "or OperationTimeout"},
        {ENDPOINT "SharedAccessSignature=SharedAccessSignature sr=x;EntityPath=x",
         "part 2 is unknown; expected Endpoint, SharedAccessKeyName, SharedAccessKey, EntityPath "
         "or OperationTimeout"},
    };

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        _cleanup_free_ char *why = NULL;
        relay_config c;

        assert_int_equal(relay_config_parse(cases[i].text, &c, &why), -EINVAL);
        assert_string_equal(why, cases[i].why);
    }
}

static void texts_are_bounded(void **state) {
    char text[1024];
    _cleanup_free_ char *why = NULL;
    relay_config c;

    (void) state;

    (void) snprintf(text, sizeof(text), ENDPOINT NAME "SharedAccessKey=%0257d;EntityPath=x", 1);
    assert_int_equal(relay_config_parse(text, &c, &why), -EINVAL);
    assert_string_equal(why, "SharedAccessKey is longer than 256 characters");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_portals_text_is_taken_whole),
        cmocka_unit_test(case_order_spaces_and_a_port_do_not_matter),
        cmocka_unit_test(what_is_wrong_is_said_in_words),
        cmocka_unit_test(texts_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
