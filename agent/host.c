/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/host.h"

#include <errno.h>
#include <string.h>
#include <systemd/sd-id128.h>

#include "agent/base/file.h"

/* Random; stands for this program and nothing else. */
#define APPLICATION SD_ID128_MAKE(8b, 1f, 52, 0d, 6e, 3c, 4a, 97, b1, 64, 9d, e8, 27, 5a, f0, 13)

int host_id(char ret[static HOST_ID_MAX]) {
    sd_id128_t id;
    int r = sd_id128_get_machine_app_specific(APPLICATION, &id);

    if (r < 0)
        return r;

    (void) sd_id128_to_string(id, ret);
    return 0;
}

int host_claim(const char *path, const char *id) {
    _cleanup_(secret_freep) secret *found = NULL;
    size_t length;
    int r;

    assert(path);
    assert(id);

    length = strlen(id);
    r = file_read(path, HOST_ID_MAX, &found);
    if (r == -ENOENT)
        return file_write_atomically(path, id, length);
    if (r == -EFBIG)
        return -EXDEV;
    if (r < 0)
        return r;

    return secret_size(found) == length && memcmp(secret_data(found), id, length) == 0 ? 0 : -EXDEV;
}
