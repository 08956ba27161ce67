/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the stages of `writebackctl check` share. Each stage is a file, check_STAGE.c, with one
 * function that begins what it needs, where that takes time, and one that waits and tells. So the
 * network is asked for everything at once, and told of in the order of a request's way. */

#include <systemd/sd-event.h>

#include "agent/base/curl_glue.h"
#include "agent/base/json.h"
#include "agent/config.h"
#include "agent/ctl/ctl.h"

typedef enum check_stage {
    STAGE_CONFIGURATION,
    STAGE_CLOCK,
    STAGE_KEYS,
    STAGE_NAMES,
    STAGE_RELAY,
    STAGE_ISSUER,
    STAGE_DIRECTORY,
    STAGE_ACCOUNT,
    STAGE_POLICY_HINTS,
    STAGE_USER,
    STAGE_RIGHTS,
} check_stage;

typedef struct check_probe check_probe;
typedef struct check_names check_names;

typedef struct check {
    const ctl_options *options;
    sd_event *event;
    curl_glue *glue;
    config *config;
    json_t *health;         /* what the agent says that runs with this configuration; NULL: none */
    check_probe **relays;   /* NULL-terminated, in the order of the configuration */
    check_probe **metadata; /* of the issuers that are asked for keys; NULL for others; as many */
    issuer **issuers;       /* likewise */
    check_names *names;
    agent_keys *keys; /* NULL: there are none yet, or they cannot be read */
    directory **directories;
    json_t *facts; /* what cures speak of, as fields of the log: {"WRITEBACK_HOST": …} */
    int status;    /* of the first stage that failed */
    json_t *steps; /* NULL: for people */
    struct {
        const char *title; /* that was printed last */
        const char *doing; /* what is being waited for */
        usec_t since;
        bool is_shown;
        sd_event_source *timer;
    } progress;
} check;

/* ---- Telling (check_tell.c) ------------------------------------------------------------------ */

/* Tells how a step went. Where it failed, its stage's exit status becomes the command's, unless one
 * before it failed.
 *
 * name   of the controller, relay, user or right that it is about
 * cure   lines, with commands in backquotes at their ends; NULL where there is none, and left out
 *        where all is well
 * text   what is said, malloc(3)ed, taken over; NULL (memory is out): the name alone */
void check_tell(check *c, check_stage stage, bool ok, const char *name, const char *cure,
                char *text);

/* The same of what is neither well nor wrong, and is for people to judge: it is told with its cure,
 * and the exit status does not change. */
void check_note(check *c, check_stage stage, const char *name, const char *cure, char *text);

/* What cures the outcome, as cure for check_tell(); NULL for OUTCOME_INVALID. Its @FIELD@ places
 * are filled by what check_know() was told. */
const char *check_cure(outcome o);

/* From now on the field has this value. `value` is copied; NULL: nothing is known. */
void check_know(check *c, const char *field, const char *value);

/* Whether `is_done` holds, for which the loop runs until `deadline` (CLOCK_MONOTONIC). What takes
 * longer than a second is shown on a terminal, as `doing`, until the next step is told. */
typedef bool (*check_done_fn)(const void *userdata);
bool check_wait(check *c, const char *doing, usec_t deadline, check_done_fn is_done,
                const void *userdata);

/* {status, exitStatus, steps} for programs; a new reference. */
json_t *check_document(const check *c);

/* ---- Stages ---------------------------------------------------------------------------------- */

/* Reads the configuration and its credentials. Returns 0 or negative errno; both are told. */
int check_configuration(check *c);

/* Asks the running agent how it is. Blocks, for 5 s at most. */
void check_ask_agent(check *c);

/* What the running agent says of a part ("relay:primary"): its entry in the health document, or
 * NULL where no agent runs with this configuration, or it does not know. Borrowed until the
 * agent is asked again. */
json_t *check_agent_says(const check *c, const char *part);

/* Compares this host's clock with those of relays, issuers and controllers. */
void check_clock(check *c);

void check_keys(check *c);

/* Resolves the names of relays, issuers, controllers and proxies. */
int check_names_begin(check *c);
void check_names_tell(check *c);
check_names *check_names_free(check_names *n);

/* Reaches each relay's host as it is configured to be reached; then sees whether the relay takes
 * the agent's key. */
void check_relays(check *c);

void check_issuers(check *c);

int check_directories_begin(check *c);
/* Every controller has been tried: for check_wait(), with the check. */
bool check_directories_tried(const void *userdata);
void check_directories_tell(check *c);

/* The user of --user and the rights on it; without one, the rights on the domains. */
void check_rights(check *c);

/* ---- An exchange by HTTPS (check_probe.c) ---------------------------------------------------- */

/* Asks https://… and looks no further than at how it went. */
check_probe *check_probe_free(check_probe *p);
int check_probe_begin(curl_glue *glue, const char *url, const char *ca_file, const char *proxy,
                      check_probe **ret);

bool check_probe_is_done(const void *probe);
/* Why there was no answer, for people; NULL where there was one of any status. */
const char *check_probe_error(const check_probe *p);
usec_t check_probe_duration(const check_probe *p);
/* What the server's clock says (Date:). Borrowed. */
const clock_reading *check_probe_clock(const check_probe *p);

DEFINE_CLEANUP(check_probe *, check_probe_free);
