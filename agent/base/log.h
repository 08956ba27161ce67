/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The log: one entry an event, with fields, to the journal; or as readable lines to standard error.
 *
 * An entry has MESSAGE (the event's text with its fields filled in), MESSAGE_ID, PRIORITY,
 * WRITEBACK_EVENT, WRITEBACK_EVENT_NAME, DOCUMENTATION and the fields given. Control characters in
 * values are escaped, and values cut at LOG_VALUE_MAX bytes, so nothing from the wire can forge an
 * entry. Where a step of the row has a field in a command, the entry has the same with _QUOTED
 * behind its name, safe to be typed, from which the journal fills its catalog (agent/base/fill.h).
 * Never give it a password, a token or a key. */

#include <stddef.h>

#include "agent/base/macro.h"
#include "agent/base/outcome.h"

#define LOG_VALUE_MAX 1024
#define LOG_FIELDS_MAX 32

/* What entries call the system's certificates, for commands that are to be typed. */
#define LOG_SYSTEM_CA_FILE "/etc/ssl/certs/ca-certificates.crt"

typedef enum log_target {
    LOG_TARGET_AUTO, /* the journal where standard error leads to it (sd_journal_stream_fd(3)), else
                        stderr */
    LOG_TARGET_JOURNAL,
    LOG_TARGET_STDERR,
} log_target;

/* A field of the journal: name in capitals ("WRITEBACK_USER"); a NULL value leaves the field out.
 *
 * Where a field stands in a command of the row's steps, the value is put there as a word of the
 * shell (fill_word()). Another field, with FILL_QUOTED behind the name ("WRITEBACK_USER_QUOTED"),
 * says otherwise: its value is put there as it is, words that are quoted already, or capitals for
 * what the reader puts in. */
typedef struct log_field {
    const char *name;
    const char *value;
} log_field;

/* Chooses where entries go; before it, AUTO is in force. */
void log_set_target(log_target target);

/* The least urgent level that is written: LOG_INFO at first; syslog(3)'s LOG_DEBUG for all. */
void log_set_max_level(int level);

/* Writes the entry of `event` with these fields, at most LOG_FIELDS_MAX of them. Every @FIELD@ in
 * the texts of the event's row must be among them; where the value is NULL, the entry has
 * "unknown". A build with sanitizers aborts where one is missing.
 *
 *     log_event(OUTCOME_RELAY_CONNECTED, {"WRITEBACK_RELAY", name}, {"WRITEBACK_ADDRESS", host});
 */
#define log_event(event, ...)                                                                      \
    log_event_fields(event, (const log_field[]){__VA_ARGS__},                                      \
                     sizeof((const log_field[]){__VA_ARGS__}) / sizeof(log_field))

void log_event_fields(outcome event, const log_field *fields, size_t n);

/* The event's message with @FIELD@ replaced ("unknown" where a field was not given). malloc(3)ed,
 * or NULL where memory is out. Logs nothing. */
char *log_event_message(outcome event, const log_field *fields, size_t n);

/* A plain line without an event, for what has no consequence. */
void log_text(int priority, const char *format, ...) _printf_(2, 3);
