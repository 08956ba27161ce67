/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/filter.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/encoding.h"
#include "agent/base/text.h"
#include "ldap/identity.h"

/* SAM_NORMAL_USER_ACCOUNT; indexed, and the one test that leaves machines and trusts out. */
#define USER_ACCOUNTS "(sAMAccountType=805306368)"

/* rangeUpper of the attributes in the directory's schema. */
#define USER_PRINCIPAL_NAME_MAX 1024
#define SAM_ACCOUNT_NAME_MAX 256

static int check_text(const char *text, size_t max, const char **ret_why) {
    size_t length = strlen(text);

    if (length == 0)
        *ret_why = "it is empty";
    else if (length > max)
        *ret_why = "it is too long";
    else if (!utf8_is_valid(text, length))
        *ret_why = "it is no valid UTF-8";
    else
        return 0;
    return -EINVAL;
}

static bool has_control_character(const char *text) {
    for (; *text; text++)
        if ((unsigned char) *text < 0x20 || *text == 0x7f)
            return true;
    return false;
}

static int check_user_principal_name(const char *text, const char **ret_why) {
    const char *at = strrchr(text, '@');

    if (check_text(text, USER_PRINCIPAL_NAME_MAX, ret_why) < 0)
        return -EINVAL;

    if (!at || at == text || at[1] == '\0')
        *ret_why = "a userPrincipalName has the form name@domain";
    else if (has_control_character(text))
        *ret_why = "it holds a control character";
    else
        return 0;
    return -EINVAL;
}

static int check_sam_account_name(const char *text, const char **ret_why) {
    if (check_text(text, SAM_ACCOUNT_NAME_MAX, ret_why) < 0)
        return -EINVAL;

    /* MS-SAMR 3.1.1.8.4 */
    if (strpbrk(text, "\"/\\[]:|<>+=;?,*") || has_control_character(text)) {
        *ret_why = "it holds a character that no sAMAccountName has";
        return -EINVAL;
    }
    return 0;
}

static int decode_immutable_id(const char *text, uint8_t ret[static GUID_SIZE]) {
    size_t size;

    if (base64_decode(text, strlen(text), ret, GUID_SIZE, &size) < 0 || size != GUID_SIZE)
        return -EINVAL;
    return 0;
}

int directory_identifier_check(const directory_identifier *id, const char **ret_why) {
    uint8_t bytes[SID_SIZE_MAX];
    size_t size;

    assert(id);
    assert(id->value);
    assert(ret_why);

    switch (id->type) {
    case IDENTIFIER_IMMUTABLE_ID:
        if (decode_immutable_id(id->value, bytes) >= 0)
            return 0;
        *ret_why = "an immutable id is the base64 of 16 bytes";
        return -EINVAL;

    case IDENTIFIER_OBJECT_GUID:
        if (guid_from_text(id->value, bytes) >= 0)
            return 0;
        *ret_why = "an object GUID has the form 01234567-89ab-cdef-0123-456789abcdef";
        return -EINVAL;

    case IDENTIFIER_SID:
        if (sid_from_text(id->value, bytes, &size) >= 0)
            return 0;
        *ret_why = "a security identifier has the form S-1-5-21-1-2-3-1000";
        return -EINVAL;

    case IDENTIFIER_USER_PRINCIPAL_NAME:
        return check_user_principal_name(id->value, ret_why);

    case IDENTIFIER_SAM_ACCOUNT_NAME:
        return check_sam_account_name(id->value, ret_why);
    }

    *ret_why = "it is of no type that is known";
    return -EINVAL;
}

char *filter_escape_bytes(const void *data, size_t size) {
    const uint8_t *b = data;
    char *text, *p;

    p = text = malloc(size * 3 + 1);
    if (!text)
        return NULL;

    for (size_t i = 0; i < size; i++)
        p += sprintf(p, "\\%02x", b[i]);
    *p = '\0';
    return text;
}

char *filter_escape(const char *text) {
    char *escaped, *p;

    p = escaped = malloc(strlen(text) * 3 + 1);
    if (!escaped)
        return NULL;

    for (; *text; text++)
        if (strchr("()*\\", *text))
            p += sprintf(p, "\\%02x", (unsigned char) *text);
        else
            *p++ = *text;
    *p = '\0';
    return escaped;
}

static char *filter_equal(const char *attribute, char *escaped) {
    _cleanup_free_ char *value = escaped;

    return value ? text_format("(&" USER_ACCOUNTS "(%s=%s))", attribute, value) : NULL;
}

char *filter_for_account(const directory_identifier *id, filter_anchor anchor) {
    uint8_t bytes[SID_SIZE_MAX];
    size_t size = GUID_SIZE;
    int r = 0;

    assert(id);

    switch (id->type) {
    case IDENTIFIER_IMMUTABLE_ID:
        r = decode_immutable_id(id->value, bytes);
        break;
    case IDENTIFIER_OBJECT_GUID:
        r = guid_from_text(id->value, bytes);
        break;
    case IDENTIFIER_SID:
        r = sid_from_text(id->value, bytes, &size);
        break;
    case IDENTIFIER_USER_PRINCIPAL_NAME:
        return filter_equal("userPrincipalName", filter_escape(id->value));
    case IDENTIFIER_SAM_ACCOUNT_NAME:
        return filter_equal("sAMAccountName", filter_escape(id->value));
    }
    assert(r >= 0);
    if (r < 0)
        return NULL;

    if (id->type == IDENTIFIER_SID)
        return filter_equal("objectSid", filter_escape_bytes(bytes, size));
    if (id->type == IDENTIFIER_IMMUTABLE_ID && anchor == ANCHOR_CONSISTENCY_GUID)
        return filter_equal("mS-DS-ConsistencyGuid", filter_escape_bytes(bytes, size));
    return filter_equal("objectGUID", filter_escape_bytes(bytes, size));
}
