/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/json.h"

#include <errno.h>
#include <string.h>

#include "agent/base/secret.h"

/* jansson's own limit is 2048 levels; look before it builds anything. */
static bool is_too_deep(const char *text, size_t size) {
    bool in_string = false;
    size_t depth = 0;

    for (size_t i = 0; i < size; i++) {
        char c = text[i];

        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > JSON_DEPTH_MAX)
                return true;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return false;
}

static const char *describe(enum json_error_code code) {
    switch (code) {
    case json_error_invalid_utf8:
        return "not UTF-8";
    case json_error_premature_end_of_input:
        return "it ends in the middle";
    case json_error_end_of_input_expected:
        return "something follows behind its end";
    case json_error_duplicate_key:
        return "a member stands there twice";
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return "a text holds a NUL character";
    case json_error_numeric_overflow:
        return "a number is too large";
    case json_error_stack_overflow:
        return "nested too deeply";
    default:
        return "not JSON";
    }
}

static int parse(const char *text, size_t size, size_t limit, size_t flags, json_t **ret,
                 const char **ret_why) {
    json_error_t error;
    json_t *j;
    int r = 0;

    assert(text || size == 0);
    assert(ret);
    assert(ret_why);

    if (size > limit) {
        *ret_why = "too large";
        return -E2BIG;
    }
    if (is_too_deep(text, size)) {
        *ret_why = "nested too deeply";
        return -ELOOP;
    }

    j = json_loadb(size > 0 ? text : "", size, JSON_REJECT_DUPLICATES | flags, &error);
    if (!j) {
        r = json_error_code(&error) == json_error_out_of_memory ? -ENOMEM : -EINVAL;
        *ret_why = describe(json_error_code(&error));
    }

    /* jansson quotes the place of the error in its text: that may be a part of a secret. */
    explicit_bzero(&error, sizeof(error));

    if (j)
        *ret = j;
    return r;
}

/* Without JSON_ALLOW_NUL jansson refuses NULs, so that every string is whole as a C string. */
int json_parse(const char *text, size_t size, size_t limit, json_t **ret, const char **ret_why) {
    return parse(text, size, limit, 0, ret, ret_why);
}

int json_parse_with_nuls(const char *text, size_t size, size_t limit, json_t **ret,
                         const char **ret_why) {
    return parse(text, size, limit, JSON_ALLOW_NUL, ret, ret_why);
}

const char *json_text(const json_t *j) {
    const char *text = json_string_value(j);

    return text && strlen(text) == json_string_length(j) ? text : NULL;
}

const char *json_get_string(const json_t *object, const char *name) {
    return json_text(json_object_get(object, name));
}

json_t *json_lines(const char *text) {
    _cleanup_(json_freep) json_t *lines = json_array();

    assert(text);

    while (lines && *text) {
        size_t length = strcspn(text, "\n");

        if (json_array_append_new(lines, json_stringn(text, length)) < 0)
            return NULL;
        text += length + (text[length] == '\n');
    }
    return TAKE_PTR(lines);
}

char *json_to_text(const json_t *j) {
    char *dumped = json_dumps(j, JSON_COMPACT);
    char *text;

    if (!dumped)
        return NULL;

    text = strdup(dumped);
    secret_mfree(dumped);
    return text;
}
