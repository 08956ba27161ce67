/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What an entry of the journal says of its event. An entry is an object as journal_next() has it,
 * with its date (usec_t of CLOCK_REALTIME) as "time" beside. Texts are borrowed from the entry, and
 * "" where it has none; an event that this release does not know is shown as it was written. */

#include "agent/base/json.h"
#include "agent/base/outcome.h"
#include "agent/ctl/ctl.h"

usec_t event_time(const json_t *entry);

/* OUTCOME_INVALID where there is none, or where this release does not know it. */
outcome event_of(const json_t *entry);
outcome event_from_name(const char *name);

const char *event_number(const json_t *entry);
const char *event_name(const json_t *entry);
const char *event_message(const json_t *entry);

/* syslog(3) level; LOG_INFO where the entry has none. */
int event_priority(const json_t *entry);
ctl_colour event_colour(const json_t *entry);

/* A copy of a text of the table of events, with each @FIELD@ replaced by its value in `fields`, an
 * object of texts, safe to be typed where it stands in a command (agent/base/fill.h); by <FIELD>
 * where it has none. malloc(3)ed, or NULL. */
char *event_fill(const char *text, const json_t *fields);

/* What cures `o`, with the entry's values in the places of fields: lines separated by \n,
 * malloc(3)ed, printable; or NULL. */
char *event_steps(const json_t *entry, outcome o);
/* The same as an array of strings, a new reference. */
json_t *event_steps_array(const json_t *entry, outcome o);

/* {time, eventId, event, priority, message, fields…} for programs; a new reference. */
json_t *event_object(json_t *entry);
