/* SPDX-License-Identifier: Apache-2.0 */
/* Access lists made by hand for each rule of MS-ADTS 5.1.3.3, and some that a controller sent. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/base/file.h"
#include "ldap/security_descriptor.h"

#define RESET_PASSWORD "00299570-246d-11d0-a768-00aa006e0529"
#define CHANGE_PASSWORD "ab721a53-1e2f-11d0-9819-00aa0040529b"
#define UNEXPIRE_PASSWORD "ccc2dc7d-a6ad-4a7a-8846-c04e3cc53501"
#define LOCKOUT_TIME "28630ebf-41d5-11d1-a9c1-0000f80367c1"
#define PWD_LAST_SET "bf967a0a-0de6-11d0-a285-00aa003049e2"
#define ACCOUNT_RESTRICTIONS "4c164200-20c0-11d0-a768-00aa006e0529"
#define CLASS_USER "bf967aba-0de6-11d0-a285-00aa003049e2"

#define AGENT "S-1-5-21-1-2-3-1103"
#define GROUP "S-1-5-21-1-2-3-513"
#define SOMEBODY "S-1-5-21-1-2-3-1104"
#define PRINCIPAL_SELF "S-1-5-10"

#define ALLOWED 0
#define DENIED 1
#define ALLOWED_OBJECT 5
#define DENIED_OBJECT 6
#define ALLOWED_CALLBACK 9

#define INHERIT_ONLY 0x08
#define INHERITED 0x10

#define DACL_PRESENT 0x0004
#define DACL_PROTECTED 0x1000
#define SELF_RELATIVE 0x8000

/* ---- Making descriptors ---------------------------------------------------------------------- */

typedef struct bytes {
    uint8_t data[4096];
    size_t size;
} bytes;

typedef struct ace {
    uint8_t type, flags;
    uint32_t mask;
    const char *object_type, *inherited_type; /* GUIDs; NULL: none */
    const char *trustee;
} ace;

static void put(bytes *b, const void *data, size_t size) {
    assert_true(b->size + size <= sizeof(b->data));
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

static void put_number(bytes *b, uint32_t n, size_t size) {
    for (size_t i = 0; i < size; i++)
        put(b, &(uint8_t){(uint8_t) (n >> 8 * i)}, 1);
}

static void put_guid(bytes *b, const char *text) {
    uint8_t guid[GUID_SIZE];

    if (!text)
        return;
    assert_int_equal(guid_from_text(text, guid), 0);
    put(b, guid, sizeof(guid));
}

static void put_ace(bytes *b, const ace *a) {
    bytes body = {0};
    security_id sid;

    put_number(&body, a->mask, 4);
    if (a->type == ALLOWED_OBJECT || a->type == DENIED_OBJECT)
        put_number(&body, (a->object_type ? 1u : 0) | (a->inherited_type ? 2u : 0), 4);
    put_guid(&body, a->object_type);
    put_guid(&body, a->inherited_type);
    assert_int_equal(sid_from_text(a->trustee, sid.bytes, &sid.size), 0);
    put(&body, sid.bytes, sid.size);

    put(b, &a->type, 1);
    put(b, &a->flags, 1);
    put_number(b, (uint32_t) body.size + 4, 2);
    put(b, body.data, body.size);
}

static void put_header(bytes *b, uint32_t control, uint32_t dacl) {
    put(b, (uint8_t[]){1, 0}, 2);
    put_number(b, control, 2);
    put_number(b, 0, 4);
    put_number(b, 0, 4);
    put_number(b, 0, 4);
    put_number(b, dacl, 4);
}

static bytes make_with(uint32_t control, const ace *aces, size_t n) {
    bytes list = {0}, b = {0};

    for (size_t i = 0; i < n; i++)
        put_ace(&list, &aces[i]);

    put_header(&b, control, 20);
    put(&b, (uint8_t[]){4, 0}, 2);
    put_number(&b, (uint32_t) list.size + 8, 2);
    put_number(&b, (uint32_t) n, 2);
    put_number(&b, 0, 2);
    put(&b, list.data, list.size);
    return b;
}

#define make(...)                                                                                  \
    make_with(SELF_RELATIVE | DACL_PRESENT, (const ace[]){__VA_ARGS__},                            \
              ELEMENTSOF(((const ace[]){__VA_ARGS__})))

/* ---- Asking them ----------------------------------------------------------------------------- */

static security_id sid_of(const char *text) {
    security_id sid;

    assert_int_equal(sid_from_text(text, sid.bytes, &sid.size), 0);
    return sid;
}

static access_wish wish_for(uint32_t mask, const char *first, const char *second) {
    access_wish wish = {.mask = mask};

    assert_int_equal(guid_from_text(first, wish.types[wish.n_types++]), 0);
    if (second)
        assert_int_equal(guid_from_text(second, wish.types[wish.n_types++]), 0);
    return wish;
}

/* As the agent, who is in one group, on an object that is `self`. */
static access_verdict ask_about(const bytes *b, const access_wish *wish, const char *self,
                                security_id *ret_denied) {
    const security_id token[] = {sid_of(AGENT), sid_of(GROUP)}, own = sid_of(self);
    security_descriptor sd;

    assert_int_equal(security_descriptor_parse(b->data, b->size, &sd), 0);
    return security_descriptor_check(&sd, wish, token, ELEMENTSOF(token), &own, ret_denied);
}

static access_verdict ask(bytes b, access_wish wish) {
    security_id denied;

    return ask_about(&b, &wish, SOMEBODY, &denied);
}

#define RESET wish_for(ACCESS_CONTROL, RESET_PASSWORD, NULL)
#define WRITE_PWD_LAST_SET wish_for(ACCESS_WRITE_PROPERTY, PWD_LAST_SET, ACCOUNT_RESTRICTIONS)
#define WRITE_LOCKOUT_TIME wish_for(ACCESS_WRITE_PROPERTY, LOCKOUT_TIME, NULL)

/* ---- Rules ----------------------------------------------------------------------------------- */

static void a_right_is_held_by_name_or_by_all_of_them(void **state) {
    (void) state;
    assert_int_equal(ask(make({ALLOWED_OBJECT, 0, 0x100, RESET_PASSWORD, NULL, AGENT}), RESET),
                     ACCESS_GRANTED);
    assert_int_equal(ask(make({ALLOWED_OBJECT, 0, 0x100, NULL, NULL, AGENT}), RESET),
                     ACCESS_GRANTED);
    assert_int_equal(ask(make({ALLOWED, 0, 0xf01ff, NULL, NULL, GROUP}), RESET), ACCESS_GRANTED);
}

static void another_right_and_another_trustee_grant_nothing(void **state) {
    (void) state;
    assert_int_equal(ask(make({ALLOWED_OBJECT, 0, 0x100, CHANGE_PASSWORD, NULL, AGENT}), RESET),
                     ACCESS_NOT_GRANTED);
    assert_int_equal(ask(make({ALLOWED_OBJECT, 0, 0x130, RESET_PASSWORD, NULL, SOMEBODY}), RESET),
                     ACCESS_NOT_GRANTED);
    assert_int_equal(ask(make({ALLOWED_OBJECT, 0, 0x30, RESET_PASSWORD, NULL, AGENT}), RESET),
                     ACCESS_NOT_GRANTED);
    assert_int_equal(ask(make({ALLOWED, 0, 0x20094, NULL, NULL, AGENT}), RESET),
                     ACCESS_NOT_GRANTED);
}

static void what_only_heirs_get_is_passed_over(void **state) {
    (void) state;
    assert_int_equal(
        ask(make({ALLOWED_OBJECT, INHERIT_ONLY | INHERITED, 0x100, RESET_PASSWORD, NULL, AGENT}),
            RESET),
        ACCESS_NOT_GRANTED);
    assert_int_equal(ask(make({DENIED_OBJECT, INHERIT_ONLY, 0x100, RESET_PASSWORD, NULL, AGENT},
                              {ALLOWED_OBJECT, INHERITED, 0x100, RESET_PASSWORD, NULL, AGENT}),
                         RESET),
                     ACCESS_GRANTED);
}

/* Whoever has the entry has inherited it already, whatever class it was meant for. */
static void the_class_of_heirs_says_nothing_about_the_object(void **state) {
    (void) state;
    assert_int_equal(
        ask(make({ALLOWED_OBJECT, INHERITED, 0x100, RESET_PASSWORD, CLASS_USER, AGENT}), RESET),
        ACCESS_GRANTED);
    assert_int_equal(ask(make({ALLOWED_OBJECT, 0, 0x100, NULL, CLASS_USER, AGENT}), RESET),
                     ACCESS_GRANTED);
}

static void the_first_entry_that_counts_decides(void **state) {
    const ace grant = {ALLOWED_OBJECT, 0, 0x100, RESET_PASSWORD, NULL, AGENT};
    const ace deny = {DENIED_OBJECT, 0, 0x100, RESET_PASSWORD, NULL, GROUP};
    const ace deny_all = {DENIED, 0, 0x100, NULL, NULL, GROUP};

    (void) state;
    assert_int_equal(ask(make(deny, grant), RESET), ACCESS_DENIED);
    assert_int_equal(ask(make(deny_all, grant), RESET), ACCESS_DENIED);
    assert_int_equal(ask(make(grant, deny), RESET), ACCESS_GRANTED);
    assert_int_equal(
        ask(make({DENIED_OBJECT, 0, 0x100, CHANGE_PASSWORD, NULL, GROUP}, grant), RESET),
        ACCESS_GRANTED);
}

static void a_denial_names_whom_it_denies(void **state) {
    bytes b = make({DENIED_OBJECT, 0, 0x100, RESET_PASSWORD, NULL, GROUP});
    access_wish wish = RESET;
    security_id denied;
    char text[SID_TEXT_MAX];

    (void) state;
    assert_int_equal(ask_about(&b, &wish, SOMEBODY, &denied), ACCESS_DENIED);
    assert_int_equal(sid_to_text(denied.bytes, denied.size, text), 0);
    assert_string_equal(text, GROUP);
}

static void an_attribute_goes_by_itself_or_by_its_property_set(void **state) {
    (void) state;
    assert_int_equal(
        ask(make({ALLOWED_OBJECT, 0, 0x20, PWD_LAST_SET, NULL, AGENT}), WRITE_PWD_LAST_SET),
        ACCESS_GRANTED);
    assert_int_equal(
        ask(make({ALLOWED_OBJECT, 0, 0x20, ACCOUNT_RESTRICTIONS, NULL, AGENT}), WRITE_PWD_LAST_SET),
        ACCESS_GRANTED);
    assert_int_equal(
        ask(make({ALLOWED_OBJECT, 0, 0x20, ACCOUNT_RESTRICTIONS, NULL, AGENT}), WRITE_LOCKOUT_TIME),
        ACCESS_NOT_GRANTED);
    assert_int_equal(
        ask(make({ALLOWED_OBJECT, 0, 0x10, PWD_LAST_SET, NULL, AGENT}), WRITE_PWD_LAST_SET),
        ACCESS_NOT_GRANTED);
    assert_int_equal(ask(make({DENIED_OBJECT, 0, 0x20, ACCOUNT_RESTRICTIONS, NULL, AGENT},
                              {ALLOWED_OBJECT, 0, 0x20, PWD_LAST_SET, NULL, AGENT}),
                         WRITE_PWD_LAST_SET),
                     ACCESS_DENIED);
}

static void principal_self_is_the_object_itself(void **state) {
    bytes b = make({ALLOWED_OBJECT, 0, 0x100, CHANGE_PASSWORD, NULL, PRINCIPAL_SELF});
    access_wish wish = wish_for(ACCESS_CONTROL, CHANGE_PASSWORD, NULL);
    security_id denied;

    (void) state;
    assert_int_equal(ask_about(&b, &wish, AGENT, &denied), ACCESS_GRANTED);
    assert_int_equal(ask_about(&b, &wish, SOMEBODY, &denied), ACCESS_NOT_GRANTED);
}

static void entries_of_other_kinds_are_passed_over(void **state) {
    (void) state;
    assert_int_equal(ask(make({ALLOWED_CALLBACK, 0, 0x100, NULL, NULL, AGENT},
                              {ALLOWED_OBJECT, 0, 0x100, RESET_PASSWORD, NULL, AGENT}),
                         RESET),
                     ACCESS_GRANTED);
    assert_int_equal(ask(make({ALLOWED_CALLBACK, 0, 0x100, NULL, NULL, AGENT}), RESET),
                     ACCESS_NOT_GRANTED);
}

static void no_list_grants_everything_and_an_empty_one_nothing(void **state) {
    bytes none = {0}, null = {0};

    (void) state;
    put_header(&none, SELF_RELATIVE, 0);
    put_header(&null, SELF_RELATIVE | DACL_PRESENT, 0);
    assert_int_equal(ask(none, RESET), ACCESS_GRANTED);
    assert_int_equal(ask(null, RESET), ACCESS_GRANTED);
    assert_int_equal(ask(make_with(SELF_RELATIVE | DACL_PRESENT, NULL, 0), RESET),
                     ACCESS_NOT_GRANTED);
}

static void a_protected_list_is_told(void **state) {
    bytes open = make({ALLOWED, 0, 1, NULL, NULL, AGENT});
    bytes closed = make_with(SELF_RELATIVE | DACL_PRESENT | DACL_PROTECTED, NULL, 0);
    security_descriptor sd;

    (void) state;
    assert_int_equal(security_descriptor_parse(open.data, open.size, &sd), 0);
    assert_false(sd.is_protected);
    assert_int_equal(security_descriptor_parse(closed.data, closed.size, &sd), 0);
    assert_true(sd.is_protected);
}

/* ---- Bytes that lie -------------------------------------------------------------------------- */

static void assert_refused(const bytes *b, size_t size) {
    security_descriptor sd;

    /* On the heap and no longer than told, so that a sanitizer sees the first byte too many. */
    uint8_t *copy = malloc(size + 1);

    assert_non_null(copy);
    memcpy(copy, b->data, size);
    if (security_descriptor_parse(copy, size, &sd) != -EBADMSG)
        fail_msg("%zu of %zu bytes were taken", size, b->size);
    free(copy);
}

static void no_beginning_of_a_descriptor_is_one(void **state) {
    bytes b = make({ALLOWED_OBJECT, 0, 0x100, RESET_PASSWORD, CLASS_USER, AGENT},
                   {ALLOWED, 0, 0x100, NULL, NULL, GROUP});

    (void) state;
    for (size_t size = 0; size < b.size; size++)
        assert_refused(&b, size);
}

static void lying_sizes_are_refused(void **state) {
    static const struct {
        size_t at;
        uint8_t value;
    } lies[] = {
        {0, 2},      /* revision */
        {3, 0},      /* not self-relative */
        {16, 19},    /* the list within the header */
        {16, 255},   /* … and behind the end */
        {19, 0xff},  /* … by far */
        {22, 7},     /* the list's size below its header's */
        {23, 0xff},  /* … and beyond the end */
        {24, 3},     /* one entry more than there are */
        {25, 0xff},  /* … many more */
        {30, 3},     /* an entry's size below its header's */
        {30, 8},     /* … without room for its SID */
        {31, 0xff},  /* … beyond the list */
        {36, 3},     /* an object type that would take the SID's place */
        {40 + 1, 9}, /* a SID longer than its entry */
        {40, 2},     /* … of another revision */
    };

    (void) state;
    for (size_t i = 0; i < ELEMENTSOF(lies); i++) {
        bytes b = make({ALLOWED_OBJECT, 0, 0x100, NULL, NULL, AGENT},
                       {ALLOWED, 0, 0x100, NULL, NULL, GROUP});

        assert_true(lies[i].at < b.size);
        assert_int_not_equal(b.data[lies[i].at], lies[i].value);
        b.data[lies[i].at] = lies[i].value;
        assert_refused(&b, b.size);
    }
}

/* Alone in its list, so that nothing behind it gives it away. */
static void an_entry_smaller_than_its_header_is_refused(void **state) {
    (void) state;
    for (uint8_t size = 0; size < 4; size++) {
        bytes b = make({ALLOWED, 0, 0x100, NULL, NULL, AGENT});

        b.data[30] = size;
        assert_refused(&b, b.size);
    }
}

/* ---- What a controller sent ------------------------------------------------------------------ */

/* Samba's, of a domain in which svc-writeback, 1103, has the least rights that the agent needs on
 * OU=Staff, where alice and admin-protected are, and none on OU=Other, where oscar is. */
#define DOMAIN_SID "S-1-5-21-234090908-1577702896-2303152125-"

static access_verdict ask_real(const char *name, const char *who, access_wish wish,
                               bool *ret_protected) {
    const security_id token[] = {
        sid_of(who),        sid_of(DOMAIN_SID "513"), sid_of("S-1-1-0"),     sid_of("S-1-5-2"),
        sid_of("S-1-5-11"), sid_of("S-1-5-32-545"),   sid_of("S-1-5-32-554")};
    _cleanup_(secret_freep) secret *data = NULL;
    security_descriptor sd;
    security_id denied;
    access_verdict v;
    char path[512];

    (void) snprintf(path, sizeof(path), CORPUS "/%s", name);
    assert_int_equal(file_read(path, 65536, &data), 0);
    assert_int_equal(security_descriptor_parse(secret_data(data), secret_size(data), &sd), 0);
    v = security_descriptor_check(&sd, &wish, token, ELEMENTSOF(token), NULL, &denied);
    *ret_protected = sd.is_protected;
    return v;
}

static void real_lists_are_judged_as_the_controller_judged(void **state) {
    static const struct {
        const char *name, *who;
        access_verdict verdict;
        bool is_protected;
    } cases[] = {
        {"alice", DOMAIN_SID "1103", ACCESS_GRANTED, false},
        {"alice", DOMAIN_SID "1104", ACCESS_NOT_GRANTED, false},
        {"alice", DOMAIN_SID "512", ACCESS_GRANTED, false},
        {"oscar", DOMAIN_SID "1103", ACCESS_NOT_GRANTED, false},
        {"admin-protected", DOMAIN_SID "1103", ACCESS_NOT_GRANTED, true},
        {"admin-protected", DOMAIN_SID "512", ACCESS_GRANTED, true},
    };

    (void) state;
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        const access_wish wishes[] = {RESET, WRITE_LOCKOUT_TIME, WRITE_PWD_LAST_SET};

        for (size_t k = 0; k < ELEMENTSOF(wishes); k++) {
            bool is_protected;

            if (ask_real(cases[i].name, cases[i].who, wishes[k], &is_protected) != cases[i].verdict)
                fail_msg("case %zu, wish %zu", i, k);
            assert_int_equal(is_protected, cases[i].is_protected);
        }
    }
}

static void everybody_unexpires_passwords_by_default(void **state) {
    bool is_protected;

    (void) state;
    assert_int_equal(ask_real("domain", DOMAIN_SID "1104",
                              wish_for(ACCESS_CONTROL, UNEXPIRE_PASSWORD, NULL), &is_protected),
                     ACCESS_GRANTED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_right_is_held_by_name_or_by_all_of_them),
        cmocka_unit_test(another_right_and_another_trustee_grant_nothing),
        cmocka_unit_test(what_only_heirs_get_is_passed_over),
        cmocka_unit_test(the_class_of_heirs_says_nothing_about_the_object),
        cmocka_unit_test(the_first_entry_that_counts_decides),
        cmocka_unit_test(a_denial_names_whom_it_denies),
        cmocka_unit_test(an_attribute_goes_by_itself_or_by_its_property_set),
        cmocka_unit_test(principal_self_is_the_object_itself),
        cmocka_unit_test(entries_of_other_kinds_are_passed_over),
        cmocka_unit_test(no_list_grants_everything_and_an_empty_one_nothing),
        cmocka_unit_test(a_protected_list_is_told),
        cmocka_unit_test(no_beginning_of_a_descriptor_is_one),
        cmocka_unit_test(lying_sizes_are_refused),
        cmocka_unit_test(an_entry_smaller_than_its_header_is_refused),
        cmocka_unit_test(real_lists_are_judged_as_the_controller_judged),
        cmocka_unit_test(everybody_unexpires_passwords_by_default),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
