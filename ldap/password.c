/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/password.h"

#include <errno.h>
#include <string.h>

#include "agent/base/encoding.h"
#include "ldap/directory.h"

int directory_password_check(const secret *password, const char **ret_why) {
    _cleanup_(secret_freep) secret *utf16 = NULL;
    size_t units;
    int r;

    assert(password);
    assert(ret_why);

    if (memchr(secret_data(password), '\0', secret_size(password))) {
        *ret_why = "the password holds a NUL character";
        return -EINVAL;
    }

    r = utf8_to_utf16le(secret_data(password), secret_size(password), &utf16, &units);
    if (r == -EINVAL)
        *ret_why = "the password is no valid UTF-8";
    if (r < 0)
        return r;

    if (units == 0)
        *ret_why = "the password is empty";
    else if (units > PASSWORD_UNITS_MAX)
        *ret_why = "the password is longer than 256 UTF-16 units";
    else
        return 0;
    return -EINVAL;
}

int password_encode(const secret *password, secret **ret) {
    _cleanup_(secret_freep) secret *quoted = NULL;
    const char *why;
    size_t size;
    int r;

    assert(ret);

    r = directory_password_check(password, &why);
    if (r < 0)
        return r;

    size = secret_size(password);
    r = secret_new_empty(size + 2, &quoted);
    if (r < 0)
        return r;

    secret_buffer(quoted)[0] = '"';
    memcpy(secret_buffer(quoted) + 1, secret_data(password), size);
    secret_buffer(quoted)[size + 1] = '"';

    return utf8_to_utf16le(secret_data(quoted), secret_size(quoted), ret, NULL);
}
