/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ctl/ctl.h"

#include <errno.h>
#include <glob.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/macro.h"

/* inih's handler: 1 to go on, 0 for an error. Everything but one key is writebackd's to judge. */
static int on_setting(void *userdata, const char *section, const char *name, const char *value) {
    char **listen = userdata;
    char *copy;

    if (strcmp(section, "Health") != 0 || strcmp(name, "Listen") != 0)
        return 1;

    copy = strdup(value);
    if (!copy)
        return 0;
    free(*listen);
    *listen = copy;
    return 1;
}

/* inih's reader, like fgets(3). Debian's inih takes 199 characters a line and calls longer ones an
 * error; a connection string or a list of controllers is longer. Listen= never is (a Unix socket's
 * path has 107 at most), so longer lines count as empty here. */
static char *read_line(char *buffer, int size, void *stream) {
    _cleanup_free_ char *line = NULL;
    size_t capacity = 0;
    ssize_t n = getline(&line, &capacity, stream);

    if (n < 0)
        return NULL;

    memcpy(buffer, n < size ? line : "\n", n < size ? (size_t) n + 1 : 2);
    return buffer;
}

static int fail(int error, char **ret_why, const char *path, const char *what) {
    if (asprintf(ret_why, "%s: %s", path, what) < 0)
        *ret_why = NULL;
    return error;
}

static int read_one(const char *path, char **listen, char **ret_why) {
    FILE *f = fopen(path, "re");
    int line;

    if (!f)
        return fail(-errno, ret_why, path, strerror(errno));

    line = ini_parse_stream(read_line, f, on_setting, listen);
    (void) fclose(f);
    if (line != 0)
        return fail(-EINVAL, ret_why, path,
                    "it cannot be read; writebackd --check-config names the line");
    return 0;
}

static int read_drop_ins(const char *path, char **listen, char **ret_why) {
    _cleanup_free_ char *pattern = NULL;
    glob_t found = {0};
    int r = 0;

    if (asprintf(&pattern, "%s.d/*.conf", path) < 0) {
        pattern = NULL;
        return -ENOMEM;
    }
    if (glob(pattern, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc && r == 0; i++)
            r = read_one(found.gl_pathv[i], listen, ret_why);
    globfree(&found);
    return r;
}

int ctl_read_listen(const char *path, char **ret, char **ret_why) {
    _cleanup_free_ char *listen = strdup(CTL_DEFAULT_HEALTH);
    bool may_be_missing = !path;
    int r;

    assert(ret && ret_why);

    *ret_why = NULL;
    if (!listen)
        return -ENOMEM;
    if (!path)
        path = CONFIG_FILE;

    r = read_one(path, &listen, ret_why);
    if (r == -ENOENT && may_be_missing) {
        free(*ret_why);
        *ret_why = NULL;
        r = 0;
    }
    if (r == 0)
        r = read_drop_ins(path, &listen, ret_why);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(listen);
    return 0;
}
