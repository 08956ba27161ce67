/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ctl/config_files.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/base/text.h"
#include "agent/config.h"
#include "agent/ctl/say.h"

static int is_drop_in(const struct dirent *entry) {
    size_t n = strlen(entry->d_name), suffix = strlen(".conf");

    return n > suffix && strcmp(entry->d_name + n - suffix, ".conf") == 0;
}

void config_files_done(config_files *files) {
    for (size_t i = 0; i < files->n; i++)
        free(files->paths[i]);
}

int config_files_find(const char *path, config_files *ret) {
    _cleanup_free_ char *folder = text_format("%s.d", path ? path : CONFIG_PATH);
    struct dirent **entries = NULL;
    int n;

    ret->paths[ret->n++] = strdup(path ? path : CONFIG_PATH);
    if (!folder || !ret->paths[0]) {
        ret->n = 0;
        return -ENOMEM;
    }

    n = scandir(folder, &entries, is_drop_in, alphasort);
    for (int i = 0; i < n; i++) {
        if (ret->n < CONFIG_FILES_MAX &&
            (ret->paths[ret->n] = text_format("%s/%s", folder, entries[i]->d_name)))
            ret->n++;
        free(entries[i]);
    }
    free(entries);
    return 0;
}

usec_t config_files_changed(const config_files *files) {
    usec_t last = 0;

    for (size_t i = 0; i < files->n; i++) {
        struct stat st;
        usec_t changed;

        if (stat(files->paths[i], &st) < 0)
            continue;
        changed = (usec_t) st.st_mtim.tv_sec * USEC_PER_SEC + (usec_t) st.st_mtim.tv_nsec / 1000;
        if (changed > last)
            last = changed;
    }
    return last;
}
