/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ctl/journal.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <systemd/sd-id128.h>
#include <systemd/sd-journal.h>

#include "agent/base/text.h"
#include "agent/ctl/say.h"

/* The longest value that the agent writes is far below this. */
#define FIELD_MAX ((size_t) 64 * 1024)

struct journal {
    sd_journal *files;
};

/* ---- Opening --------------------------------------------------------------------------------- */

static bool is_journal_file(const char *name) {
    size_t n = strlen(name);

    return n > strlen(".journal") && strcmp(name + n - strlen(".journal"), ".journal") == 0;
}

/* libsystemd passes over files that it may not open, and then there is just nothing to be found.
 * Users have a journal of their own beside, so only those of the system count. */
static bool is_hidden_from_us(const char *folder) {
    _cleanup_free_ char *path = NULL;
    bool hidden = false;
    struct dirent *entry;
    DIR *d = opendir(folder);

    if (!d)
        return errno == EACCES;

    while (!hidden && (entry = readdir(d))) {
        if (!is_journal_file(entry->d_name) || strncmp(entry->d_name, "user-", 5) == 0)
            continue;
        free(TAKE_PTR(path));
        path = text_format("%s/%s", folder, entry->d_name);
        hidden = path && access(path, R_OK) < 0 && errno == EACCES;
    }
    (void) closedir(d);
    return hidden;
}

static bool is_hidden(const char *directory) {
    static const char *const roots[] = {"/run/log/journal", "/var/log/journal"};
    char machine[SD_ID128_STRING_MAX];
    sd_id128_t id;

    if (directory)
        return is_hidden_from_us(directory);
    if (sd_id128_get_machine(&id) < 0)
        return false;

    (void) sd_id128_to_string(id, machine);
    for (size_t i = 0; i < ELEMENTSOF(roots); i++) {
        _cleanup_free_ char *folder = text_format("%s/%s", roots[i], machine);

        if (folder && is_hidden_from_us(folder))
            return true;
    }
    return false;
}

static int explain_hidden(const char *directory, char **ret_why) {
    *ret_why =
        text_format("the journal%s%s may not be read. Run it as root, or have your user join the "
                    "group that may:\nusermod --append --groups systemd-journal USER, and sign "
                    "in anew",
                    directory ? " in " : "", directory ? directory : "");
    return -EACCES;
}

int journal_open(const char *directory, journal **ret, char **ret_why) {
    _cleanup_(journal_freep) journal *j = calloc(1, sizeof(journal));
    int r;

    assert(ret);
    assert(ret_why);

    if (!j)
        return -ENOMEM;
    if (is_hidden(directory))
        return explain_hidden(directory, ret_why);

    r = directory ? sd_journal_open_directory(&j->files, directory, 0)
                  : sd_journal_open(&j->files, SD_JOURNAL_LOCAL_ONLY | SD_JOURNAL_SYSTEM);
    if (r < 0) {
        *ret_why = text_format("the journal%s%s cannot be opened: %s", directory ? " in " : "",
                               directory ? directory : "", strerror(-r));
        return r;
    }
    if (!directory && sd_journal_has_runtime_files(j->files) <= 0 &&
        sd_journal_has_persistent_files(j->files) <= 0) {
        *ret_why =
            text_format("this host has no journal; does systemd-journald run? systemctl status "
                        "systemd-journald");
        return -ENOENT;
    }
    (void) sd_journal_set_data_threshold(j->files, FIELD_MAX);
    *ret = TAKE_PTR(j);
    return 0;
}

journal *journal_free(journal *j) {
    if (!j)
        return NULL;

    sd_journal_close(j->files);
    free(j);
    return NULL;
}

/* ---- Finding --------------------------------------------------------------------------------- */

static int match(journal *j, const char *name, const char *value) {
    _cleanup_free_ char *text = text_format("%s=%s", name, value);

    return text ? sd_journal_add_match(j->files, text, 0) : -ENOMEM;
}

/* Values of one field are alternatives; so are the two sides of the disjunction. */
static int match_ids(journal *j, const json_t *ids) {
    static const char *const fields[] = {"WRITEBACK_REQUEST_ID", "WRITEBACK_TRACKING_ID"};
    int r = 0;

    for (size_t i = 0; i < ELEMENTSOF(fields) && r >= 0; i++) {
        for (size_t k = 0; k < json_array_size(ids) && r >= 0; k++)
            r = match(j, fields[i], json_string_value(json_array_get(ids, k)));
        if (r >= 0 && i == 0)
            r = sd_journal_add_disjunction(j->files);
    }
    return r;
}

int journal_look_for(journal *j, usec_t since, const json_t *ids) {
    int r;

    sd_journal_flush_matches(j->files);
    r = match(j, "_SYSTEMD_UNIT", JOURNAL_UNIT);
    if (r >= 0 && ids) {
        r = sd_journal_add_conjunction(j->files);
        if (r >= 0)
            r = match_ids(j, ids);
    }
    if (r < 0)
        return r;
    return since > 0 ? sd_journal_seek_realtime_usec(j->files, since)
                     : sd_journal_seek_head(j->files);
}

int journal_find_tracking_ids(journal *j, const char *guid, json_t *ids) {
    static const char prefix[] = "WRITEBACK_TRACKING_ID=";
    const size_t n = strlen(prefix);
    const void *data;
    size_t size;
    int r;

    r = sd_journal_query_unique(j->files, "WRITEBACK_TRACKING_ID");
    if (r < 0)
        return r;

    SD_JOURNAL_FOREACH_UNIQUE(j->files, data, size)
    if (size >= n + strlen(guid) && memcmp((const char *) data + n, guid, strlen(guid)) == 0)
        (void) json_array_append_new(ids, json_stringn((const char *) data + n, size - n));
    return 0;
}

usec_t journal_oldest(journal *j) {
    uint64_t from = 0;

    return sd_journal_get_cutoff_realtime_usec(j->files, &from, NULL) > 0 ? from : 0;
}

/* ---- Reading --------------------------------------------------------------------------------- */

static bool is_wanted(const char *data, size_t n) {
    static const char *const names[] = {"MESSAGE",   "MESSAGE_ID", "PRIORITY",
                                        "TRACE_ID",  "SPAN_ID",    "_PID",
                                        "_HOSTNAME", "_BOOT_ID",   "_SYSTEMD_INVOCATION_ID"};

    if (n > strlen("WRITEBACK_") && memcmp(data, "WRITEBACK_", strlen("WRITEBACK_")) == 0)
        return true;
    for (size_t i = 0; i < ELEMENTSOF(names); i++)
        if (n == strlen(names[i]) && memcmp(data, names[i], n) == 0)
            return true;
    return false;
}

/* What is no UTF-8 is left out: the agent writes none. Of a name that stands twice the first
 * counts. */
static void add_field(json_t *entry, const char *data, size_t size) {
    const char *equals = memchr(data, '=', size);
    _cleanup_free_ char *name = NULL;
    size_t n = equals ? (size_t) (equals - data) : 0;

    if (!equals || !is_wanted(data, n))
        return;
    name = strndup(data, n);
    if (name && !json_object_get(entry, name))
        (void) json_object_set_new(entry, name, json_stringn(equals + 1, size - n - 1));
}

int journal_next(journal *j, json_t **ret, usec_t *ret_time) {
    _cleanup_(json_freep) json_t *entry = NULL;
    const void *data;
    size_t size;
    int r;

    r = sd_journal_next(j->files);
    if (r <= 0)
        return r;

    entry = json_object();
    if (!entry)
        return -ENOMEM;
    r = sd_journal_get_realtime_usec(j->files, ret_time);
    if (r < 0)
        return r;
    SD_JOURNAL_FOREACH_DATA(j->files, data, size)
    add_field(entry, data, size);

    *ret = TAKE_PTR(entry);
    return 1;
}
