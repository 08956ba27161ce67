/* SPDX-License-Identifier: Apache-2.0 */
/* Receipts, as whoever got one looks at it: without the agent. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/file.h"
#include "agent/base/http_fetch.h"
#include "agent/ctl/ctl.h"
#include "agent/ctl/say.h"
#include "agent/ctl/text.h"
#include "relay/relay.h"

#define BODY_MAX ((size_t) 1024 * 1024)
#define KEYS_MAX ((size_t) 256 * 1024)
#define FETCH_TIMEOUT (30 * USEC_PER_SEC)

/* Standard input need not be a file that could be opened by a name. */
static int read_body(const char *path, secret **ret) {
    _cleanup_(secret_freep) secret *body = NULL;
    size_t size;

    if (strcmp(path, "-") != 0)
        return file_read(path, BODY_MAX, ret);

    if (secret_new_empty(BODY_MAX + 1, &body) < 0)
        return -ENOMEM;
    size = fread(secret_buffer(body), 1, BODY_MAX + 1, stdin);
    if (ferror(stdin))
        return -EIO;
    if (size > BODY_MAX)
        return -EFBIG;

    secret_truncate(body, size);
    *ret = TAKE_PTR(body);
    return 0;
}

/* ---- The keys -------------------------------------------------------------------------------- */

typedef struct fetched {
    sd_event *event;
    char *error;
    secret *body;
} fetched;

static void on_fetched(const char *error, long status, const char *body, size_t size,
                       void *userdata) {
    fetched *f = userdata;

    if (error)
        f->error = strdup(error);
    else if (status != 200 && asprintf(&f->error, "answered with status %ld", status) < 0)
        f->error = NULL;
    else if (status == 200)
        (void) secret_new(body, size, &f->body);
    (void) sd_event_exit(f->event, 0);
}

static int fetch(fetched *f, const char *url) {
    const http_fetch_options options = {.url = url, .limit = KEYS_MAX, .timeout = FETCH_TIMEOUT};
    _cleanup_(curl_glue_freep) curl_glue *glue = NULL;
    http_fetch *request = NULL;
    int r;

    r = sd_event_default(&f->event);
    if (r >= 0)
        r = curl_glue_new(f->event, &glue);
    if (r >= 0)
        r = http_fetch_start(glue, &options, on_fetched, f, &request);
    return r < 0 ? r : sd_event_loop(f->event);
}

static int get_keys(const char *where, secret **ret) {
    fetched f = {0};
    int r, status = EXIT_SUCCESS;

    if (strncmp(where, "https://", strlen("https://")) != 0) {
        r = file_read(where, KEYS_MAX, ret);
        return r < 0 ? ctl_complain(EXIT_FAILURE, "%s: %s", where, strerror(-r)) : EXIT_SUCCESS;
    }

    r = fetch(&f, where);
    *ret = f.body;
    if (!f.body)
        status = ctl_complain(EXIT_FAILURE, "%s: %s", where,
                              f.error ? f.error : strerror(r < 0 ? -r : ENOMEM));
    free(f.error);
    (void) sd_event_unref(f.event);
    return status;
}

/* ---- The receipt ----------------------------------------------------------------------------- */

static int tell(const receipt_info *told, bool json) {
    char date[RFC3339_MAX];

    (void) rfc3339_utc(told->issued, date);
    if (json)
        return ctl_print_json(json_pack("{s:b, s:s, s:s, s:s*}", "valid", 1, "kid", told->kid,
                                        "issued", date, "id", told->id));

    printf("The receipt is good: signed by key %s at %s", told->kid, date);
    if (told->id) {
        fputs(" for request ", stdout);
        text_put_printable(stdout, told->id);
    }
    puts(".");
    return EXIT_SUCCESS;
}

int ctl_verify(const ctl_options *options) {
    _cleanup_(secret_freep) secret *body = NULL, *keys = NULL;
    _cleanup_(receipt_info_done) receipt_info told = {0};
    const char *path, *why = "out of memory";
    int r, status;

    if (options->n_arguments != 1 || !options->receipt || !options->keys)
        return ctl_complain(CTL_USAGE,
                            "verify takes --receipt=TEXT, --keys=FILE|https://ADDRESS and "
                            "a FILE (see writebackctl --help)");

    path = options->arguments[0];
    r = read_body(path, &body);
    if (r < 0)
        return ctl_complain(EXIT_FAILURE, "%s: %s", path, strerror(-r));

    status = get_keys(options->keys, &keys);
    if (status != EXIT_SUCCESS)
        return status;

    r = receipt_verify(options->receipt, secret_data(body), secret_size(body), secret_data(keys),
                       secret_size(keys), &told, &why);
    if (r < 0)
        return ctl_complain(EXIT_FAILURE, "the receipt is not good: %s", why);
    return tell(&told, options->json);
}
