/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The agent's entries in the journal (sd-journal(3)), oldest first. Entries of others that bear the
 * agent's fields are left out: anybody on this host may write such. Nothing here logs. */

#include "agent/base/json.h"

#define JOURNAL_UNIT "writebackd.service"

typedef struct journal journal;

/* Opens this host's journal, or the one in `directory` (as journalctl -D does).
 *
 * Returns 0; -EACCES where it may not be read; -ENOENT where there is none; or another negative
 * errno; with a malloc(3)ed text for people in *ret_why, which says what would help. */
int journal_open(const char *directory, journal **ret, char **ret_why);
journal *journal_free(journal *j);

/* Has journal_next() begin anew, with entries from `since` on (CLOCK_REALTIME; 0: from the oldest).
 * Where `ids` is not NULL, an array of strings: only those whose request or tracking id is one of
 * them. Returns 0 or negative errno. */
int journal_look_for(journal *j, usec_t since, const json_t *ids);

/* The next entry, in *ret a new reference: an object of the entry's WRITEBACK_ fields and MESSAGE,
 * MESSAGE_ID, PRIORITY, TRACE_ID, SPAN_ID, _PID, _HOSTNAME, _BOOT_ID, _SYSTEMD_INVOCATION_ID, all
 * as strings. Returns 1; 0 at the end; or negative errno. */
int journal_next(journal *j, json_t **ret, usec_t *ret_time);

/* Adds to `ids`, an array, each tracking id in the journal that `guid` begins: a relay's gateways
 * append their names to the id that they pass on. Returns 0 or negative errno. */
int journal_find_tracking_ids(journal *j, const char *guid, json_t *ids);

/* The date of the oldest entry of any kind; 0 where there is none. */
usec_t journal_oldest(journal *j);

DEFINE_CLEANUP(journal *, journal_free);
