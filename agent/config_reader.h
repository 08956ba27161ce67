/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Values of the configuration's settings, as the readers of its sections take them.
 *
 * Each function notes the setting as known, and what is wrong with it, once, with file and line.
 * After a failure they go on with whatever is at hand, so that a reader need not look at each: the
 * first failure is what config_load() tells. Nothing here logs. */

#include "agent/base/secret.h"
#include "agent/config_file.h"

typedef struct config config;

/* What is being read, and the first thing found wrong with it. */
typedef struct config_reader {
    config_file file;
    config *into;
    char *why; /* malloc(3)ed "FILE:LINE: …" */
    int r;     /* 0, or negative errno */
} config_reader;

/* Notes a failure; only the first counts. */
void config_fail(config_reader *r, int error, const config_place *place, const char *format, ...)
    _printf_(4, 5);
void config_fail_for_memory(config_reader *r);

/* The value of a setting in another section, of which there is one at most; NULL where it is not
 * there, or empty. Borrowed. */
const char *config_peek(const config_reader *r, const char *section, const char *key);

/* The setting, which must not stand there twice; NULL where it is not there. */
config_setting *config_take(config_reader *r, config_section *s, const char *key);

/* A value of one piece: continuation lines are joined without a gap. An empty value counts as not
 * set. malloc(3)ed, or NULL. */
char *config_get_text(config_reader *r, config_section *s, const char *key);

/* The same of one that must be there; `expected` ends the sentence that says it is not. */
char *config_need_text(config_reader *r, config_section *s, const char *key, const char *expected);

/* An address that begins with https:// and a host. What may be secret in it is not quoted where it
 * is wrong. As config_get_text() and config_need_text(). */
char *config_get_https(config_reader *r, config_section *s, const char *key);
char *config_need_https(config_reader *r, config_section *s, const char *key, const char *expected);

/* The same, without a query: it is a name, or paths are put behind it. */
char *config_need_plain_https(config_reader *r, config_section *s, const char *key,
                              const char *expected);

/* Proxy=, an address of a proxy as libcurl takes it. As config_get_https(). */
char *config_get_proxy(config_reader *r, config_section *s);

/* A list: words between any of `separators`, and a new line. NULL-terminated; NULL where it is
 * empty. To be freed with config_list_free(). */
char **config_get_list(config_reader *r, config_section *s, const char *key,
                       const char *separators);

/* A setting that may stand there several times, one value each. As config_get_list(). */
char **config_get_repeated(config_reader *r, config_section *s, const char *key);
char **config_list_free(char **list);

/* Settings that mean something only where another one is not as it is; `why` says which. `keys` is
 * NULL-terminated. */
void config_refuse(config_reader *r, config_section *s, const char *const *keys, const char *why);

/* yes or no. */
bool config_get_boolean(config_reader *r, config_section *s, const char *key, bool otherwise);

/* The index of one of `words` (NULL-terminated, more than one), of which the first is the default.
 */
int config_get_choice(config_reader *r, config_section *s, const char *key,
                      const char *const *words);

/* The secret in the credential that the setting names, else in the one called `fallback`; see
 * credential_read(). What does not look like a name is not quoted. */
secret *config_get_credential(config_reader *r, config_section *s, const char *key,
                              const char *fallback);

/* A span of time; see usec_parse(). */
usec_t config_get_duration(config_reader *r, config_section *s, const char *key, usec_t fallback);

/* One between 10 seconds and `most` ("1d"): how often something is done. */
usec_t config_get_interval(config_reader *r, config_section *s, const char *key, usec_t fallback,
                           const char *most);

bool config_is_guid(const char *text);

DEFINE_CLEANUP(char **, config_list_free);
