/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The parts of `writebackctl bundle`. */

#include "agent/base/json.h"
#include "agent/ctl/ctl.h"
#include "agent/ctl/known_secrets.h"

#define BUNDLE_MEMBERS_MAX 64

/* A file of the bundle. */
typedef struct bundle_member {
    char *name;
    const char *what; /* for people: what it holds */
    char *text;
} bundle_member;

typedef struct bundle {
    char host[65];
    usec_t made;
    known_secrets *secrets; /* of this host */
    bundle_member members[BUNDLE_MEMBERS_MAX];
    size_t n_members;
} bundle;

void bundle_done(bundle *b);

/* Puts everything into it that is to be had; what is not, its file says why. Whatever secrets this
 * host knows of are masked in all of it. Takes as long as `writebackctl check`. Returns 0 or
 * -ENOMEM. */
int bundle_collect(bundle *b, const ctl_options *options);

/* Adds one, with all secrets masked that this host knows of. `text` is taken over; NULL is memory
 * that is out. Returns 0 or -ENOMEM. */
int bundle_add(bundle *b, const char *name, const char *what, char *text);

/* ---- What is collected, malloc(3)ed text each ------------------------------------------------ */

/* The questions that support asks, with the answers that are known here. */
char *bundle_description(const bundle *b, const ctl_options *options, const json_t *failures);

/* Programs, libraries, system, and how the service stands. */
char *bundle_versions(void);

/* ---- The file -------------------------------------------------------------------------------- */

/* Writes a new file, mode 0600, a tar archive compressed by gzip; all members below `folder`.
 * Nothing is left of it where that fails. Returns 0; -EEXIST; or another negative errno with a
 * malloc(3)ed text in *ret_why, which may be NULL. */
int bundle_write(const bundle *b, const char *path, const char *folder, char **ret_why);
