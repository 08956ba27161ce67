/* SPDX-License-Identifier: Apache-2.0 */
/* What Microsoft's support asks for (troubleshoot-sspr-writeback, "Contact Microsoft support"): the
 * answers that only a person has are left open, those that this host has are filled in. */

#include <stdio.h>
#include <string.h>

#include "agent/config.h"
#include "agent/config_file.h"
#include "agent/ctl/bundle.h"
#include "agent/ctl/when.h"

static const char questions[] =
    "To be filled in by you\n"
    "======================\n"
    "\n"
    "What is the error? What is seen, and what was expected instead?\n"
    "    \n"
    "How can it be reproduced, step by step?\n"
    "    \n"
    "On which page did it happen: its address, and a screenshot?\n"
    "    \n"
    "The support code (a GUID; a link at the foot of the page shows it):\n"
    "    \n"
    "Exact date, time and time zone at which the error was seen:\n"
    "    \n"
    "Whose password was to be reset, and who asked (user principal names)?\n"
    "    \n"
    "Is that user federated, with pass-through authentication, with password hash\n"
    "synchronisation, or cloud-only?\n"
    "    \n"
    "Has the user a licence assigned, and which?\n"
    "    \n"
    "Did it ever work? What was changed since?\n"
    "    \n"
    "Is everybody concerned, or only some? What do those have in common (unit, group, role)?\n"
    "    \n";

static const char *find(const config_file *file, const char *section, const char *key) {
    for (size_t i = 0; i < file->n_sections; i++) {
        const config_section *s = &file->sections[i];

        for (size_t k = 0; strcmp(s->type, section) == 0 && k < s->n_settings; k++)
            if (strcmp(s->settings[k].key, key) == 0)
                return s->settings[k].value;
    }
    return NULL;
}

static void put_relay(FILE *f, const config_section *s) {
    for (size_t k = 0; k < s->n_settings; k++) {
        relay_config parsed = {0};
        _cleanup_free_ char *why = NULL;

        if (strcmp(s->settings[k].key, "ConnectionString") == 0 &&
            relay_config_parse(s->settings[k].value, &parsed, &why) >= 0)
            fprintf(f, "Relay %-26s %s, hybrid connection %s, rule %s\n", s->name ? s->name : "",
                    parsed.host, parsed.path, parsed.key_name);
        relay_config_done(&parsed);
    }
}

static void put_identifiers(FILE *f, const bundle *b, const ctl_options *options) {
    _cleanup_free_ char *why = NULL;
    const char *id, *tenant;
    config_file file = {0};
    char date[WHEN_MAX];

    fputs("\nKnown on this host\n==================\n\n", f);
    fprintf(f, "Collected at                     %s\n", when_for_people(b->made, date));
    fprintf(f, "Host                             %s\n", b->host);
    if (config_file_read(options->config ? options->config : CONFIG_PATH, &file, &why) < 0) {
        fprintf(f, "The configuration cannot be read: %s\n", why ? why : "out of memory");
        config_file_done(&file);
        return;
    }

    id = find(&file, "Agent", "Id");
    tenant = find(&file, "Agent", "TenantId");
    fprintf(f, "Agent                            %s\n", id ? id : "has no Id=");
    fprintf(f, "Tenant                           %s\n", tenant ? tenant : "is not given");
    for (size_t i = 0; i < file.n_sections; i++) {
        const config_section *s = &file.sections[i];

        if (strcmp(s->type, "Relay") == 0)
            put_relay(f, s);
        else if (strcmp(s->type, "Directory") == 0)
            fprintf(f, "Domain                           %s\n", s->name ? s->name : "has no name");
    }
    config_file_done(&file);
}

static const char *text_or_none(const json_t *object, const char *name) {
    const char *text = json_get_string(object, name);

    return text ? text : "none";
}

static void put_failures(FILE *f, const json_t *failures) {
    json_t *failure;
    size_t i;

    fputs("\nFailures of the last days, and the request that failed last\n"
          "------------------------------------------------------------\n",
          f);
    json_array_foreach(json_object_get(failures, "failures"), i, failure) {
        fprintf(f, "\n%lld × %lld %s\n", json_integer_value(json_object_get(failure, "count")),
                json_integer_value(json_object_get(failure, "eventId")),
                text_or_none(failure, "event"));
        fprintf(f, "    first %s\n    last  %s\n", text_or_none(failure, "first"),
                text_or_none(failure, "last"));
        fprintf(f, "    %s\n", text_or_none(failure, "lastMessage"));
        fprintf(f, "    request id %s, tracking id %s\n", text_or_none(failure, "lastRequestId"),
                text_or_none(failure, "lastTrackingId"));
    }
    if (i == 0)
        fputs("\nNone is known; events.txt tells why, where the journal could not be read.\n", f);
}

char *bundle_description(const bundle *b, const ctl_options *options, const json_t *failures) {
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);

    if (!f)
        return NULL;
    fputs(questions, f);
    put_identifiers(f, b, options);
    put_failures(f, failures);
    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
