/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ctl/ctl.h"

#include <errno.h>
#include <string.h>

#include "agent/config.h"
#include "agent/config_file.h"

/* Everything but this one setting is writebackd's to judge. */
static const char *find_listen(const config_file *f) {
    const char *listen = NULL;

    for (size_t i = 0; i < f->n_sections; i++) {
        const config_section *s = &f->sections[i];

        for (size_t k = 0; strcmp(s->type, "Health") == 0 && k < s->n_settings; k++)
            if (strcmp(s->settings[k].key, "Listen") == 0 && *s->settings[k].value)
                listen = s->settings[k].value;
    }
    return listen;
}

int ctl_read_listen(const char *path, char **ret, char **ret_why) {
    config_file f = {};
    const char *listen = NULL;
    int r;

    assert(ret && ret_why);

    r = config_file_read(path ? path : CONFIG_PATH, &f, ret_why);
    if (r == -ENOENT && !path) {
        free(*ret_why);
        *ret_why = NULL;
    } else if (r < 0)
        return r;

    listen = find_listen(&f);
    *ret = strdup(listen ? listen : CTL_DEFAULT_HEALTH);
    config_file_done(&f);
    return *ret ? 0 : -ENOMEM;
}
