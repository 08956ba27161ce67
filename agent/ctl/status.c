/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ctl/ctl.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/base/clock.h"
#include "agent/base/json.h"
#include "agent/ctl/text.h"

/* An agent that does not answer within this is not well. */
#define TIMEOUT_SECONDS 5L
#define DOCUMENT_MAX ((size_t) 1024 * 1024)

/* ---- Asking the agent ------------------------------------------------------------------------ */

typedef struct body {
    char *data;
    size_t size;
} body;

static size_t on_data(char *data, size_t one, size_t size, void *userdata) {
    body *b = userdata;
    char *grown;

    (void) one;

    if (size > DOCUMENT_MAX - b->size)
        return 0;
    grown = realloc(b->data, b->size + size);
    if (!grown)
        return 0;
    memcpy(grown + b->size, data, size);
    b->data = grown;
    b->size += size;
    return size;
}

static CURLcode set_up(CURL *easy, const char *address, const char *url, body *b) {
    CURLcode code = CURLE_OK;

#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (code == CURLE_OK)                                                                      \
            code = curl_easy_setopt(easy, option, value);                                          \
    } while (false)

    SET(CURLOPT_URL, url);
    if (*address == '/')
        SET(CURLOPT_UNIX_SOCKET_PATH, address);
    SET(CURLOPT_PROTOCOLS_STR, "http");
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_TIMEOUT, TIMEOUT_SECONDS);
    SET(CURLOPT_WRITEFUNCTION, on_data);
    SET(CURLOPT_WRITEDATA, b);
#undef SET
    return code;
}

/* The health document, or NULL after telling on standard error why there is none. */
static json_t *fetch(const char *address) {
    _cleanup_free_ char *url = NULL;
    json_t *document = NULL;
    body b = {0};
    const char *why;
    CURLcode code;
    CURL *easy;

    if (asprintf(&url, "http://%s/healthz", *address == '/' ? "localhost" : address) < 0) {
        url = NULL;
        return NULL;
    }
    easy = curl_easy_init();
    if (!easy)
        return NULL;

    code = set_up(easy, address, url, &b);
    if (code == CURLE_OK)
        code = curl_easy_perform(easy);

    if (code != CURLE_OK)
        fprintf(stderr,
                "writebackctl: the agent does not answer on %s: %s\n"
                "Does it run? systemctl status writebackd\n",
                address, curl_easy_strerror(code));
    else if (json_parse(b.data, b.size, DOCUMENT_MAX, &document, &why) < 0)
        fprintf(stderr, "writebackctl: what answers on %s is not the agent: %s\n", address, why);
    else if (!json_get_string(document, "status")) {
        fprintf(stderr, "writebackctl: what answers on %s is not the agent: no status\n", address);
        document = json_free(document);
    }

    curl_easy_cleanup(easy);
    free(b.data);
    return document;
}

/* ---- Showing it ------------------------------------------------------------------------------ */

static ctl_colour colour_of(const char *status) {
    if (strcmp(status, "pass") == 0)
        return COLOUR_GREEN;
    return strcmp(status, "warn") == 0 ? COLOUR_YELLOW : COLOUR_RED;
}

static const char *text_or(const json_t *object, const char *name, const char *otherwise) {
    const char *text = json_get_string(object, name);

    return text ? text : otherwise;
}

static void print_status(const char *status) {
    fputs(ctl_begin(colour_of(status)), stdout);
    text_put_printable(stdout, status);
    fputs(ctl_end(), stdout);
}

/* "for 3 min", or "" for what is no date. */
static void print_since(const char *date) {
    struct tm tm = {0};
    const char *end = strptime(date, "%Y-%m-%dT%H:%M:%SZ", &tm);
    long long seconds;

    if (!end || *end)
        return;

    seconds = (long long) (now_realtime() / USEC_PER_SEC) - (long long) timegm(&tm);
    if (seconds < 0)
        seconds = 0;
    printf("  since %s (", date);
    if (seconds < 120)
        printf("%lld s)", seconds);
    else if (seconds < 2LL * 3600)
        printf("%lld min)", seconds / 60);
    else if (seconds < 2LL * 86400)
        printf("%lld h)", seconds / 3600);
    else
        printf("%lld days)", seconds / 86400);
}

static void print_wrapped(const char *text, const char *first, const char *rest) {
    char *printable = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&printable, &size);

    if (!f)
        return;
    text_put_printable(f, text);
    if (fclose(f) == 0)
        text_wrap(stdout, printable, ctl_width(), first, rest);
    free(printable);
}

static void print_check(const char *name, const json_t *check) {
    const char *instance = json_get_string(check, "componentId");
    const char *output = json_get_string(check, "output");

    fputs("  ", stdout);
    print_status(text_or(check, "status", "fail"));
    fputs("  ", stdout);
    text_put_printable(stdout, name);
    if (instance) {
        putchar(' ');
        text_put_printable(stdout, instance);
    }
    print_since(text_or(check, "since", ""));
    putchar('\n');
    if (output)
        print_wrapped(output, "        ", "        ");
}

static void print_checks(json_t *checks) {
    const char *name;
    json_t *entries, *entry;
    size_t i;

    puts("\nChecks");
    json_object_foreach(checks, name, entries) {
        json_array_foreach(entries, i, entry) {
            print_check(name, entry);
        }
    }
}

/* Each group once; what a check says of itself stands below, so only the rest is told here. */
static void print_reasons(const json_t *reasons) {
    const char *last = "";
    json_t *reason;
    size_t i;

    json_array_foreach(reasons, i, reason) {
        const char *title = text_or(reason, "title", "no reason was given");
        const char *detail = json_get_string(reason, "detail");

        if (strcmp(title, last) != 0)
            print_wrapped(title, "          ", "          ");
        last = title;
        if (detail && !json_get_string(reason, "check"))
            print_wrapped(detail, "          - ", "            ");
    }
}

static void print_blade(const json_t *blade) {
    bool visible = json_is_true(json_object_get(blade, "visible"));

    printf("Blade     %s%s%s, ", ctl_begin(visible ? COLOUR_GREEN : COLOUR_RED),
           visible ? "visible" : "hidden", ctl_end());
    text_put_printable(stdout, text_or(blade, "state", "unknown"));
    putchar('\n');
    print_reasons(json_object_get(blade, "reasons"));
}

static void print_document(json_t *document) {
    fputs("Overall   ", stdout);
    print_status(text_or(document, "status", "fail"));
    fputs("\nAgent     ", stdout);
    text_put_printable(stdout, text_or(document, "serviceId", "unknown"));
    fputs(", release ", stdout);
    text_put_printable(stdout, text_or(document, "releaseId", "unknown"));
    putchar('\n');
    print_blade(json_object_get(document, "blade"));
    print_checks(json_object_get(document, "checks"));

    if (strcmp(text_or(document, "status", "fail"), "pass") != 0)
        puts("\nWhat to do:  journalctl -x -u writebackd -p warning --since -1h");
}

int ctl_status(const ctl_options *options) {
    _cleanup_free_ char *address = NULL, *why = NULL;
    _cleanup_(json_freep) json_t *document = NULL;

    if (options->n_arguments > 0) {
        fputs("writebackctl: status takes no argument\n", stderr);
        return CTL_USAGE;
    }

    if (options->health) {
        address = strdup(options->health);
    } else if (ctl_read_listen(options->config, &address, &why) < 0) {
        fprintf(stderr, "writebackctl: %s\n", why ? why : "out of memory");
        return CTL_CONFIG;
    }

    document = address ? fetch(address) : NULL;
    if (!document)
        return CTL_NOT_REACHABLE;

    if (options->json) {
        (void) json_dumpf(document, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        print_document(document);
    }
    return strcmp(text_or(document, "status", "fail"), "pass") == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
