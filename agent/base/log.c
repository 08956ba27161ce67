/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <syslog.h>
#include <unistd.h>

/* In the place of what is not known. */
#define UNKNOWN "unknown"

/* Our callers are told apart by event, not by their place in the source. */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "agent/base/clock.h"
#include "agent/base/fill.h"
#include "agent/base/text.h"

static log_target target = LOG_TARGET_AUTO;
static int max_level = LOG_INFO;

void log_set_target(log_target t) {
    target = t;
}

void log_set_max_level(int level) {
    max_level = level;
}

/* systemd.exec(5): $JOURNAL_STREAM names the device and inode of the stream that leads to the
 * journal. */
static bool stderr_is_journal(void) {
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long device, inode;
    struct stat st;

    return stream && sscanf(stream, "%lu:%lu", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

static bool to_journal(void) {
    if (target == LOG_TARGET_AUTO)
        target = stderr_is_journal() ? LOG_TARGET_JOURNAL : LOG_TARGET_STDERR;

    return target == LOG_TARGET_JOURNAL;
}

static const log_field *find_field(const log_field *fields, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(fields[i].name, name) == 0)
            return &fields[i];

    return NULL;
}

static bool is_quoted(const log_field *field) {
    size_t length = strlen(field->name);

    return length > strlen(FILL_QUOTED) &&
           strcmp(field->name + length - strlen(FILL_QUOTED), FILL_QUOTED) == 0;
}

/* What stands for the field in commands. */
static char *word_of(const char *name, const log_field *fields, size_t n) {
    _cleanup_free_ char *quoted_name = text_format("%s" FILL_QUOTED, name);
    const log_field *quoted = quoted_name ? find_field(fields, n, quoted_name) : NULL;
    const log_field *field = find_field(fields, n, name);

    if (quoted && quoted->value)
        return strdup(quoted->value);
    return fill_word(name, field ? field->value : NULL);
}

typedef struct values {
    const log_field *fields;
    size_t n;
} values;

static char *find_value(const char *name, bool in_command, const void *userdata) {
    const values *v = userdata;
    const log_field *field = find_field(v->fields, v->n, name);

    if (in_command)
        return word_of(name, v->fields, v->n);
    return text_escaped(field && field->value ? field->value : UNKNOWN, LOG_VALUE_MAX);
}

static char *fill(const char *text, const log_field *fields, size_t n) {
    values v = {fields, n};

    return fill_text(text, find_value, &v);
}

char *log_event_message(outcome event, const log_field *fields, size_t n) {
    return fill(outcome_get(event)->message, fields, n);
}

/* One field as "NAME=value", malloc(3)ed. */
static char *journal_field(const char *name, const char *value) {
    char *field = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&field, &size);

    if (!f)
        return NULL;

    fprintf(f, "%s=", name);
    text_put_escaped(f, value, LOG_VALUE_MAX);
    if (fclose(f) != 0) {
        free(field);
        return NULL;
    }
    return field;
}

static bool is_used(const outcome_info *info, const char *name) {
    return fill_has_place(info->message, name, false) || fill_has_place(info->cause, name, false) ||
           fill_has_place(info->steps, name, false);
}

/* What the entry has of a field; NULL: it is left out. The journal fills the catalog's text from
 * the entry, so a field that is used there never is. */
static const char *value_of(const outcome_info *info, const log_field *field) {
    if (is_quoted(field))
        return NULL;
    return !field->value && is_used(info, field->name) ? UNKNOWN : field->value;
}

/* Adds what stands for fields in the row's commands, each once. Returns how many. */
static size_t add_words(const outcome_info *info, const log_field *fields, size_t n, char **ret) {
    size_t used = 0;

    for (size_t i = 0; i < n; i++) {
        size_t length = strlen(fields[i].name) - (is_quoted(&fields[i]) ? strlen(FILL_QUOTED) : 0);
        _cleanup_free_ char *name = strndup(fields[i].name, length);
        _cleanup_free_ char *word = NULL;

        if (!name || !fill_has_place(info->steps, name, /* in_command_only= */ true) ||
            (is_quoted(&fields[i]) && find_field(fields, n, name)))
            continue;
        word = word_of(name, fields, n);
        if (word)
            ret[used++] = text_format("%s" FILL_QUOTED "=%s", name, word);
    }
    return used;
}

static void send_to_journal(outcome event, const char *message, const log_field *fields, size_t n) {
    const outcome_info *info = outcome_get(event);
    char number[16], priority[16];
    char *entry[2 * LOG_FIELDS_MAX + 6];
    struct iovec iov[2 * LOG_FIELDS_MAX + 6];
    size_t used = 0;
    int count = 0;

    (void) snprintf(number, sizeof(number), "%d", info->event);
    (void) snprintf(priority, sizeof(priority), "%d", info->priority);

    entry[used++] = journal_field("MESSAGE", message);
    entry[used++] = journal_field("MESSAGE_ID", info->id);
    entry[used++] = journal_field("PRIORITY", priority);
    entry[used++] = journal_field("WRITEBACK_EVENT", number);
    entry[used++] = journal_field("WRITEBACK_EVENT_NAME", info->name);
    entry[used++] = journal_field("DOCUMENTATION", "man:writeback-events(7)");
    for (size_t i = 0; i < n; i++) {
        const char *value = value_of(info, &fields[i]);

        if (value)
            entry[used++] = journal_field(fields[i].name, value);
    }
    used += add_words(info, fields, n, entry + used);

    for (size_t i = 0; i < used; i++)
        if (entry[i])
            iov[count++] = (struct iovec){.iov_base = entry[i], .iov_len = strlen(entry[i])};

    (void) sd_journal_sendv(iov, count);

    for (size_t i = 0; i < used; i++)
        free(entry[i]);
}

static const char *level_name(int priority) {
    static const char *const names[] = {"EMERG",   "ALERT",  "CRIT", "ERROR",
                                        "WARNING", "NOTICE", "INFO", "DEBUG"};

    return names[priority & LOG_PRIMASK];
}

/* Like the journal's catalog: what to do stands under what happened. */
static void put_steps(FILE *f, const char *steps, const log_field *fields, size_t n) {
    _cleanup_free_ char *filled = fill(steps, fields, n);
    char *rest = filled, *step;

    for (int number = 1; (step = strsep(&rest, "\n")); number++)
        fprintf(f, "        %d. %s\n", number, step);
}

static void write_lines(outcome event, const char *message, const log_field *fields, size_t n) {
    const outcome_info *info = outcome_get(event);
    _cleanup_free_ char *lines = NULL;
    char date[RFC3339_MAX];
    size_t size = 0;
    FILE *f = open_memstream(&lines, &size);

    if (!f)
        return;

    fprintf(f, "%s %s %d %s: %s\n", rfc3339_utc(now_realtime(), date), level_name(info->priority),
            info->event, info->name, message);
    for (size_t i = 0; i < n; i++) {
        const char *value = value_of(info, &fields[i]);

        if (!value)
            continue;
        fprintf(f, "    %s=", fields[i].name);
        text_put_escaped(f, value, LOG_VALUE_MAX);
        fputc('\n', f);
    }
    if (*info->steps) {
        fputs("    What to do:\n", f);
        put_steps(f, info->steps, fields, n);
    }

    /* In one write, so that entries of several processes do not mix. */
    if (fclose(f) == 0 && write(STDERR_FILENO, lines, size) < 0)
        return;
}

#ifdef WRITEBACK_SANITIZERS

static bool is_given_quoted(const log_field *fields, size_t n, const char *name) {
    _cleanup_free_ char *quoted = text_format("%s" FILL_QUOTED, name);

    return quoted && find_field(fields, n, quoted);
}

/* While faults are looked for, a text that could not be filled is one. */
static void insist_on_fields(const outcome_info *info, const char *text, const log_field *fields,
                             size_t n) {
    for (size_t place; *text; text += place > 0 ? place : 1) {
        _cleanup_free_ char *name = NULL;

        place = outcome_place(text);
        name = place > 0 ? strndup(text + 1, place - 2) : NULL;
        if (!name || find_field(fields, n, name) || is_given_quoted(fields, n, name))
            continue;
        (void) dprintf(STDERR_FILENO, "event %d %s was logged without its field %.*s\n",
                       info->event, info->name, (int) place, text);
        abort();
    }
}

/* tests/check looks which events its tests have brought about. */
static void note_for_tests(outcome event) {
    const char *path = getenv("WRITEBACK_EVENTS");
    _cleanup_close_ int fd = -EBADF;

    if (path && *path)
        fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0)
        (void) dprintf(fd, "%d\n", outcome_get(event)->event);
}

static void examine(outcome event, const log_field *fields, size_t n) {
    const outcome_info *info = outcome_get(event);

    insist_on_fields(info, info->message, fields, n);
    insist_on_fields(info, info->cause, fields, n);
    insist_on_fields(info, info->steps, fields, n);
    note_for_tests(event);
}

#endif

void log_event_fields(outcome event, const log_field *fields, size_t n) {
    _cleanup_free_ char *message = NULL;

    assert(n <= LOG_FIELDS_MAX);

#ifdef WRITEBACK_SANITIZERS
    examine(event, fields, n);
#endif
    if (outcome_get(event)->priority > max_level)
        return;

    message = log_event_message(event, fields, n);
    if (to_journal())
        send_to_journal(event, message ? message : outcome_get(event)->title, fields, n);
    else
        write_lines(event, message ? message : outcome_get(event)->title, fields, n);
}

void log_text(int priority, const char *format, ...) {
    _cleanup_free_ char *text = NULL, *escaped = NULL;
    char date[RFC3339_MAX];
    va_list args;
    int r;

    if (priority > max_level)
        return;

    va_start(args, format);
    r = vasprintf(&text, format, args);
    va_end(args);
    if (r < 0)
        return;

    escaped = text_escaped(text, LOG_VALUE_MAX);
    if (!escaped)
        return;

    if (to_journal())
        (void) sd_journal_print(priority, "%s", escaped);
    else
        (void) dprintf(STDERR_FILENO, "%s %s %s\n", rfc3339_utc(now_realtime(), date),
                       level_name(priority), escaped);
}
