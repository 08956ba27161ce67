/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/base/file.h"
#include "agent/base/text.h"
#include "agent/config.h"
#include "agent/ctl/agent.h"
#include "agent/ctl/bundle.h"
#include "agent/ctl/config_files.h"
#include "agent/ctl/event.h"
#include "agent/ctl/journal.h"
#include "agent/ctl/redact.h"
#include "agent/ctl/say.h"
#include "agent/ctl/when.h"

#define DEFAULT_SPAN (7 * USEC_PER_DAY)
#define CONFIG_MAX ((size_t) 1024 * 1024)
/* The last of more entries are what matters; a busy agent's week would not fit into a mail. */
#define EVENTS_MAX ((size_t) 8 * 1024 * 1024)

/* Takes the text over as it is. */
static int add(bundle *b, const char *name, const char *what, char *text) {
    char *copy = strdup(name);

    if (!copy || !text || b->n_members == BUNDLE_MEMBERS_MAX) {
        free(copy);
        free(text);
        return copy && text ? 0 : -ENOMEM;
    }
    b->members[b->n_members++] = (bundle_member){.name = copy, .what = what, .text = text};
    return 0;
}

/* Nothing of it should hold a secret; where something does all the same, it does not leave. */
int bundle_add(bundle *b, const char *name, const char *what, char *text) {
    char *masked = text ? known_secrets_mask(b->secrets, text) : NULL;

    free(text);
    return add(b, name, what, masked);
}

void bundle_done(bundle *b) {
    (void) known_secrets_free(b->secrets);
    for (size_t i = 0; i < b->n_members; i++) {
        free(b->members[i].name);
        free(b->members[i].text);
    }
}

/* ---- Documents ------------------------------------------------------------------------------- */

/* Its strings are masked before they are written, since JSON escapes what a secret may hold. */
static int add_document(bundle *b, const char *name, const char *what, json_t *document,
                        const char *why) {
    _cleanup_(json_freep) json_t *masked = NULL;

    if (!document)
        return bundle_add(b, name, what, text_format("%s\n", why ? why : "out of memory"));
    masked = known_secrets_mask_json(b->secrets, document);
    json_decref(document);
    return add(b, name, what, masked ? json_dumps(masked, JSON_INDENT(2)) : NULL);
}

static int add_status(bundle *b, const ctl_options *options) {
    json_t *document = NULL;
    _cleanup_free_ char *why = NULL;

    (void) agent_find_health(options, &document, &why);
    return add_document(b, "status.json", "what the running agent says of itself", document, why);
}

/* ---- Configuration --------------------------------------------------------------------------- */

static int add_config_file(bundle *b, const char *path, const char *name) {
    static const char what[] = "the configuration: comments left out, secrets masked";
    _cleanup_(secret_freep) secret *content = NULL;
    _cleanup_free_ char *text = NULL;
    int r = file_read(path, CONFIG_MAX, &content);

    if (r < 0)
        return bundle_add(b, name, what, text_format("%s: %s\n", path, strerror(-r)));
    text = strndup(secret_data(content), secret_size(content));
    return bundle_add(b, name, what, text ? redact_config(text) : NULL);
}

static int add_config(bundle *b, const config_files *files) {
    int r = add_config_file(b, files->paths[0], "config/writebackd.conf");

    for (size_t i = 1; i < files->n && r >= 0; i++) {
        _cleanup_free_ char *name =
            text_format("config/writebackd.conf.d%s", strrchr(files->paths[i], '/'));

        r = name ? add_config_file(b, files->paths[i], name) : -ENOMEM;
    }
    return r;
}

/* ---- Events ---------------------------------------------------------------------------------- */

static void put_fields(FILE *f, json_t *entry) {
    const char *name;
    json_t *value;

    json_object_foreach(entry, name, value) {
        if (json_is_string(value) && strcmp(name, "MESSAGE") != 0)
            fprintf(f, "    %s=%s\n", name, json_string_value(value));
    }
}

/* A failure in full, the rest one line each. */
static char *entry_text(json_t *entry) {
    char *text = NULL, date[WHEN_MAX];
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);

    if (!f)
        return NULL;
    fprintf(f, "%s  %s %s  %s\n", when_for_people(event_time(entry), date), event_number(entry),
            event_name(entry), event_message(entry));
    if (event_priority(entry) <= LOG_NOTICE)
        put_fields(f, entry);
    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* The texts of the last entries, together no longer than EVENTS_MAX. */
static int read_events(journal *j, usec_t since, json_t *texts) {
    size_t size = 0;
    json_t *entry;
    usec_t time;
    int r;

    r = journal_look_for(j, since, NULL);
    while (r >= 0 && (r = journal_next(j, &entry, &time)) > 0) {
        _cleanup_free_ char *text = NULL;

        (void) json_object_set_new(entry, "time", json_integer((json_int_t) time));
        text = entry_text(entry);
        json_decref(entry);
        if (!text || json_array_append_new(texts, json_string(text)) < 0)
            return -ENOMEM;
        for (size += strlen(text); size > EVENTS_MAX; (void) json_array_remove(texts, 0))
            size -= json_string_length(json_array_get(texts, 0));
    }
    return r;
}

static char *join(const json_t *texts, usec_t since) {
    char *text = NULL, date[WHEN_MAX];
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);

    if (!f)
        return NULL;
    fprintf(f, "Since %s\n\n", when_for_people(since, date));
    for (size_t i = 0; i < json_array_size(texts); i++)
        fputs(json_string_value(json_array_get(texts, i)), f);
    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static int add_events(bundle *b, const ctl_options *options, usec_t since) {
    static const char what[] = "the agent's entries in the journal, failures in full";
    _cleanup_(journal_freep) journal *j = NULL;
    _cleanup_(json_freep) json_t *texts = json_array();
    _cleanup_free_ char *why = NULL;
    int r;

    r = journal_open(options->directory, &j, &why);
    if (r >= 0)
        r = read_events(j, since, texts);
    if (r < 0)
        return bundle_add(b, "events.txt", what, text_format("%s\n", why ? why : strerror(-r)));
    return bundle_add(b, "events.txt", what, join(texts, since));
}

/* ---- All of it ------------------------------------------------------------------------------- */

int bundle_collect(bundle *b, const ctl_options *options) {
    _cleanup_(json_freep) json_t *failures = NULL;
    _cleanup_(config_files_done) config_files files = {0};
    _cleanup_free_ char *why = NULL;
    usec_t since;
    int r;

    b->made = now_realtime();
    since = b->made - DEFAULT_SPAN;
    if (options->since)
        (void) when_parse(options->since, b->made, &since);
    if (gethostname(b->host, sizeof(b->host) - 1) < 0)
        strcpy(b->host, "unknown");

    r = config_files_find(options->config, &files);
    if (r < 0)
        return r;
    b->secrets = known_secrets_read((const char *const *) files.paths);
    if (!b->secrets)
        return -ENOMEM;

    failures = ctl_logs_document(options->directory, since, &why);
    r = bundle_add(b, "description.txt", "questions to be answered by you; identifiers and times",
                   bundle_description(b, options, failures));
    if (r >= 0)
        r = add_status(b, options);
    if (r >= 0)
        r = add_document(b, "check.json", "what writebackctl check found",
                         ctl_check_document(options), NULL);
    if (r >= 0)
        r = add_document(b, "failures.json", "what failed, grouped by event", json_incref(failures),
                         why);
    if (r >= 0)
        r = add_events(b, options, since);
    if (r >= 0)
        r = add_config(b, &files);
    if (r >= 0)
        r = bundle_add(b, "versions.txt", "versions of programs, libraries and system",
                       bundle_versions());
    return r;
}
