/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/security_descriptor.h"

#include <errno.h>
#include <string.h>

/* MS-DTYP 2.4.6: revision, padding, control, and four offsets. */
#define HEADER_SIZE 20
#define OFFSET_DACL 16
#define CONTROL_DACL_PRESENT 0x0004u
#define CONTROL_DACL_PROTECTED 0x1000u
#define CONTROL_SELF_RELATIVE 0x8000u

/* MS-DTYP 2.4.5: revision, padding, size, number of entries, padding. */
#define LIST_HEADER_SIZE 8

/* MS-DTYP 2.4.4.1: type, flags, size. */
#define ENTRY_HEADER_SIZE 4
#define ENTRY_INHERIT_ONLY 0x08u

/* MS-DTYP 2.4.4.3 */
#define OBJECT_TYPE_PRESENT 0x1u
#define INHERITED_OBJECT_TYPE_PRESENT 0x2u

#define SID_HEADER_SIZE 8

typedef enum entry_type {
    ENTRY_ALLOWED = 0,
    ENTRY_DENIED = 1,
    ENTRY_ALLOWED_OBJECT = 5,
    ENTRY_DENIED_OBJECT = 6,
} entry_type;

/* Bytes not read yet. */
typedef struct span {
    const uint8_t *at;
    size_t left;
} span;

typedef struct access_entry {
    uint8_t type, flags;
    uint32_t mask;
    const uint8_t *object_type; /* NULL: it has none */
    security_id trustee;
} access_entry;

/* ---- Reading --------------------------------------------------------------------------------- */

static uint16_t read_16(const uint8_t *p) {
    return (uint16_t) (p[0] | p[1] << 8);
}

static uint32_t read_32(const uint8_t *p) {
    return (uint32_t) read_16(p) | (uint32_t) read_16(p + 2) << 16;
}

/* Cuts `size` bytes off; NULL where there are fewer. */
static const uint8_t *take(span *s, size_t size) {
    const uint8_t *p = s->at;

    if (size > s->left)
        return NULL;

    s->at += size;
    s->left -= size;
    return p;
}

static int take_32(span *s, uint32_t *ret) {
    const uint8_t *p = take(s, 4);

    if (!p)
        return -EBADMSG;

    *ret = read_32(p);
    return 0;
}

static int take_sid(span *s, security_id *ret) {
    const uint8_t *p = s->at;
    char text[SID_TEXT_MAX];
    size_t size;

    if (s->left < SID_HEADER_SIZE)
        return -EBADMSG;

    size = SID_HEADER_SIZE + (size_t) p[1] * 4;
    if (size > sizeof(ret->bytes) || !take(s, size) || sid_to_text(p, size, text) < 0)
        return -EBADMSG;

    memcpy(ret->bytes, p, size);
    ret->size = size;
    return 0;
}

static bool has_object_types(uint8_t type) {
    return type == ENTRY_ALLOWED_OBJECT || type == ENTRY_DENIED_OBJECT;
}

static bool is_known(uint8_t type) {
    return type == ENTRY_ALLOWED || type == ENTRY_DENIED || has_object_types(type);
}

/* What follows the header. */
static int read_body(span body, access_entry *e) {
    uint32_t present = 0;

    if (take_32(&body, &e->mask) < 0)
        return -EBADMSG;
    if (has_object_types(e->type) && take_32(&body, &present) < 0)
        return -EBADMSG;

    if (present & OBJECT_TYPE_PRESENT) {
        e->object_type = take(&body, GUID_SIZE);
        if (!e->object_type)
            return -EBADMSG;
    }

    /* It says who inherits the entry, and nothing about the object that has it. */
    if (present & INHERITED_OBJECT_TYPE_PRESENT && !take(&body, GUID_SIZE))
        return -EBADMSG;

    return take_sid(&body, &e->trustee);
}

static int take_entry(span *list, access_entry *ret) {
    access_entry e = {0};
    const uint8_t *header = list->at;
    size_t size;

    if (list->left < ENTRY_HEADER_SIZE)
        return -EBADMSG;

    size = read_16(header + 2);
    if (size < ENTRY_HEADER_SIZE || !take(list, size))
        return -EBADMSG;

    e.type = header[0];
    e.flags = header[1];
    if (is_known(e.type) &&
        read_body((span){header + ENTRY_HEADER_SIZE, size - ENTRY_HEADER_SIZE}, &e) < 0)
        return -EBADMSG;

    *ret = e;
    return 0;
}

/* Reads every entry once, so that nothing can be wrong with them later. */
static int parse_list(span list, security_descriptor *ret) {
    const uint8_t *header = take(&list, LIST_HEADER_SIZE);
    size_t size, n;
    span entries;

    if (!header)
        return -EBADMSG;

    size = read_16(header + 2);
    n = read_16(header + 4);
    if (size < LIST_HEADER_SIZE || size - LIST_HEADER_SIZE > list.left)
        return -EBADMSG;

    entries = (span){list.at, size - LIST_HEADER_SIZE};
    for (size_t i = 0; i < n; i++) {
        access_entry e;

        if (take_entry(&entries, &e) < 0)
            return -EBADMSG;
    }

    ret->entries = list.at;
    ret->n_entries = n;
    ret->entries_size = size - LIST_HEADER_SIZE;
    return 0;
}

int security_descriptor_parse(const void *data, size_t size, security_descriptor *ret) {
    const uint8_t *bytes = data;
    security_descriptor sd = {0};
    uint32_t control, dacl;

    assert(data || size == 0);
    assert(ret);

    if (size < HEADER_SIZE || bytes[0] != 1)
        return -EBADMSG;

    control = read_16(bytes + 2);
    dacl = read_32(bytes + OFFSET_DACL);
    if (!(control & CONTROL_SELF_RELATIVE))
        return -EBADMSG;

    sd.is_protected = control & CONTROL_DACL_PROTECTED;
    if (control & CONTROL_DACL_PRESENT && dacl != 0) {
        if (dacl < HEADER_SIZE || dacl > size)
            return -EBADMSG;
        if (parse_list((span){bytes + dacl, size - dacl}, &sd) < 0)
            return -EBADMSG;
    }

    *ret = sd;
    return 0;
}

/* ---- Judging --------------------------------------------------------------------------------- */

static bool is_one_of(const security_id *wanted, const security_id *token, size_t n_token) {
    for (size_t i = 0; i < n_token; i++)
        if (token[i].size == wanted->size &&
            memcmp(token[i].bytes, wanted->bytes, wanted->size) == 0)
            return true;
    return false;
}

static bool is_principal_self(const security_id *s) {
    static const uint8_t principal_self[] = {1, 1, 0, 0, 0, 0, 0, 5, 10, 0, 0, 0}; /* S-1-5-10 */

    return s->size == sizeof(principal_self) &&
           memcmp(s->bytes, principal_self, sizeof(principal_self)) == 0;
}

static bool names_wish(const access_entry *e, const access_wish *wish) {
    if (!e->object_type)
        return true;

    for (size_t i = 0; i < wish->n_types; i++)
        if (memcmp(e->object_type, wish->types[i], GUID_SIZE) == 0)
            return true;
    return false;
}

access_verdict security_descriptor_check(const security_descriptor *sd, const access_wish *wish,
                                         const security_id *token, size_t n_token,
                                         const security_id *self, security_id *ret_denied) {
    span entries;

    assert(sd);
    assert(wish);
    assert(wish->n_types <= ACCESS_TYPES_MAX);
    assert(token || n_token == 0);
    assert(ret_denied);

    if (!sd->entries)
        return ACCESS_GRANTED;

    entries = (span){sd->entries, sd->entries_size};
    for (size_t i = 0; i < sd->n_entries; i++) {
        access_entry e;
        const security_id *who;

        if (take_entry(&entries, &e) < 0)
            break;
        if (!is_known(e.type) || e.flags & ENTRY_INHERIT_ONLY || !(e.mask & wish->mask) ||
            !names_wish(&e, wish))
            continue;

        who = self && is_principal_self(&e.trustee) ? self : &e.trustee;
        if (!is_one_of(who, token, n_token))
            continue;

        if (e.type == ENTRY_ALLOWED || e.type == ENTRY_ALLOWED_OBJECT)
            return ACCESS_GRANTED;
        *ret_denied = e.trustee;
        return ACCESS_DENIED;
    }
    return ACCESS_NOT_GRANTED;
}
