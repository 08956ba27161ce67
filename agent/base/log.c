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

/* Writes `value` so that it cannot break out of its line; UTF-8 passes. */
static void put_escaped(FILE *f, const char *value) {
    size_t n = strnlen(value, LOG_VALUE_MAX);

    /* Not in the middle of a UTF-8 sequence. */
    if (value[n] != '\0')
        while (n > 0 && ((unsigned char) value[n] & 0xc0) == 0x80)
            n--;

    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char) value[i];

        if (c < 0x20 || c == 0x7f)
            fprintf(f, "\\x%02x", c);
        else
            fputc(c, f);
    }

    if (value[n] != '\0')
        fputs("…", f);
}

static const char *find_value(const log_field *fields, size_t n, const char *name, size_t length) {
    for (size_t i = 0; i < n; i++)
        if (strlen(fields[i].name) == length && memcmp(fields[i].name, name, length) == 0)
            return fields[i].value;

    return NULL;
}

/* Copies `text`, putting values in the places of @FIELD@. */
static void put_filled(FILE *f, const char *text, const log_field *fields, size_t n) {
    while (*text) {
        size_t place = outcome_place(text);

        if (place == 0) {
            fputc(*text++, f);
            continue;
        }

        const char *value = find_value(fields, n, text + 1, place - 2);
        put_escaped(f, value ? value : UNKNOWN);
        text += place;
    }
}

static char *fill(const char *text, const log_field *fields, size_t n) {
    char *filled = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&filled, &size);

    if (!f)
        return NULL;

    put_filled(f, text, fields, n);
    if (fclose(f) != 0) {
        free(filled);
        return NULL;
    }
    return filled;
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
    put_escaped(f, value);
    if (fclose(f) != 0) {
        free(field);
        return NULL;
    }
    return field;
}

static void send_to_journal(outcome event, const char *message, const log_field *fields, size_t n) {
    const outcome_info *info = outcome_get(event);
    char number[16], priority[16];
    char *entry[LOG_FIELDS_MAX + 6];
    struct iovec iov[LOG_FIELDS_MAX + 6];
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
    for (size_t i = 0; i < n; i++)
        if (fields[i].value)
            entry[used++] = journal_field(fields[i].name, fields[i].value);

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
    for (int number = 1; *steps; number++) {
        const char *end = strchrnul(steps, '\n');
        _cleanup_free_ char *step = strndup(steps, (size_t) (end - steps));

        fprintf(f, "        %d. ", number);
        if (step)
            put_filled(f, step, fields, n);
        fputc('\n', f);
        steps = *end ? end + 1 : end;
    }
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
        if (!fields[i].value)
            continue;
        fprintf(f, "    %s=", fields[i].name);
        put_escaped(f, fields[i].value);
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

static bool has_place(const char *text, const char *name) {
    size_t length = strlen(name);

    for (const char *at = text; (at = strchr(at, '@')); at++)
        if (outcome_place(at) == length + 2 && strncmp(at + 1, name, length) == 0)
            return true;

    return false;
}

static bool is_used(const outcome_info *info, const char *name) {
    return has_place(info->message, name) || has_place(info->cause, name) ||
           has_place(info->steps, name);
}

/* The journal fills the catalog's text from the entry, so a field that is used there is never left
 * out. */
static void complete(outcome event, const log_field *fields, size_t n, log_field *ret) {
    for (size_t i = 0; i < n; i++) {
        ret[i] = fields[i];
        if (!ret[i].value && is_used(outcome_get(event), ret[i].name))
            ret[i].value = UNKNOWN;
    }
}

#ifdef WRITEBACK_SANITIZERS

/* While faults are looked for, a text that could not be filled is one. */
static void insist_on_fields(const outcome_info *info, const char *text, const log_field *fields,
                             size_t n) {
    for (size_t place; *text; text += place > 0 ? place : 1) {
        place = outcome_place(text);
        if (place == 0 || find_value(fields, n, text + 1, place - 2))
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
    log_field all[LOG_FIELDS_MAX];

    assert(n <= LOG_FIELDS_MAX);

    complete(event, fields, n, all);
#ifdef WRITEBACK_SANITIZERS
    examine(event, all, n);
#endif
    if (outcome_get(event)->priority > max_level)
        return;

    message = log_event_message(event, all, n);
    if (to_journal())
        send_to_journal(event, message ? message : outcome_get(event)->title, all, n);
    else
        write_lines(event, message ? message : outcome_get(event)->title, all, n);
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

    /* `fill` escapes what it puts in. */
    escaped = fill("@TEXT@", &(const log_field){"TEXT", text}, 1);
    if (!escaped)
        return;

    if (to_journal())
        (void) sd_journal_print(priority, "%s", escaped);
    else
        (void) dprintf(STDERR_FILENO, "%s %s %s\n", rfc3339_utc(now_realtime(), date),
                       level_name(priority), escaped);
}
