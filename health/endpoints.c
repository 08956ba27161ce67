/* SPDX-License-Identifier: Apache-2.0 */
#include "health/endpoints.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <syslog.h>
#include <unistd.h>

#include "agent/base/log.h"
#include "health/accept.h"
#include "health/blade.h"
#include "health/document.h"
#include "health/listen.h"
#include "health/metrics.h"
#include "health/page.h"

#define CONNECTION_MEMORY ((size_t) 16 * 1024)

struct endpoints {
    const health *health;
    struct MHD_Daemon *daemon;
    sd_event_source *io;
    sd_event_source *timer;
    char *path; /* of the Unix socket, to unlink; NULL: none */
};

/* ---- What stands at which path --------------------------------------------------------------- */

#define TYPE_TEXT "text/plain; charset=utf-8"
#define TYPE_METRICS "text/plain; version=0.0.4; charset=utf-8"
#define TYPE_OPENMETRICS "application/openmetrics-text; version=1.0.0; charset=utf-8"

typedef struct answer {
    unsigned status;
    const char *type;
    char *body;
} answer;

/* What is asked for: the name of the check in the path, and the header Accept (NULL: none). */
typedef struct question {
    const char *name;
    const char *accept;
} question;

static answer json_answer(unsigned status, json_t *document) {
    answer a = {.status = status, .type = "application/health+json"};

    if (document)
        a.body = json_to_text(document);
    json_decref(document);
    return a;
}

static unsigned http_of(health_status status) {
    return status == HEALTH_FAIL ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_OK;
}

static answer get_livez(const health *h, const question *q) {
    (void) h;
    (void) q;
    return json_answer(MHD_HTTP_OK, document_alive());
}

static answer get_readyz(const health *h, const question *q) {
    (void) q;
    return json_answer(health_is_ready(h) ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
                       document_ready(h));
}

static answer get_healthz(const health *h, const question *q) {
    (void) q;
    return json_answer(http_of(health_overall(h)), health_document(h));
}

static answer get_metrics(const health *h, const question *q) {
    if (accept_weight(q->accept, "application/openmetrics-text") >
        accept_weight(q->accept, "text/plain"))
        return (answer){MHD_HTTP_OK, TYPE_OPENMETRICS, metrics_page(h, METRICS_OPEN)};
    return (answer){MHD_HTTP_OK, TYPE_METRICS, metrics_page(h, METRICS_TEXT)};
}

static answer get_status(const health *h, const question *q) {
    answer a = json_answer(MHD_HTTP_OK, document_status(h));

    (void) q;
    a.type = "application/json";
    return a;
}

static answer get_page(const health *h, const question *q) {
    (void) q;
    return (answer){MHD_HTTP_OK, "text/html; charset=utf-8", page_html(h)};
}

static answer get_style(const health *h, const question *q) {
    (void) h;
    (void) q;
    return (answer){MHD_HTTP_OK, "text/css; charset=utf-8", strdup(page_style)};
}

static answer get_check(const health *h, const question *q) {
    health_status status = HEALTH_FAIL;
    json_t *document = document_check(h, q->name, &status);

    if (status == HEALTH_UNKNOWN)
        return (answer){MHD_HTTP_NOT_FOUND, TYPE_TEXT,
                        strdup("There is no such check; /healthz lists them.\n")};
    return json_answer(http_of(status), document);
}

static answer not_found(void) {
    return (answer){
        MHD_HTTP_NOT_FOUND, TYPE_TEXT,
        strdup("There are: / /livez /readyz /readyz/CHECK /healthz /status /metrics\n")};
}

static answer method_not_allowed(void) {
    return (answer){MHD_HTTP_METHOD_NOT_ALLOWED, TYPE_TEXT, strdup("GET and HEAD only.\n")};
}

typedef answer (*get_fn)(const health *h, const question *q);

/* What serves `path`, and the name of the check in it; NULL where nothing does. */
static get_fn find_route(const char *path, const char **ret_name) {
    static const struct {
        const char *path;
        get_fn get;
    } routes[] = {
        {"/", get_page},           {"/page.css", get_style},  {"/livez", get_livez},
        {"/readyz", get_readyz},   {"/healthz", get_healthz}, {"/status", get_status},
        {"/metrics", get_metrics},
    };
    static const char checks[] = "/readyz/";

    *ret_name = "";
    for (size_t i = 0; i < ELEMENTSOF(routes); i++)
        if (strcmp(path, routes[i].path) == 0)
            return routes[i].get;

    if (strncmp(path, checks, strlen(checks)) != 0 || path[strlen(checks)] == '\0')
        return NULL;
    *ret_name = path + strlen(checks);
    return get_check;
}

/* ---- libmicrohttpd --------------------------------------------------------------------------- */

static enum MHD_Result send_answer(struct MHD_Connection *connection, answer a) {
    struct MHD_Response *response;
    enum MHD_Result ok;

    /* Out of memory: the connection is closed. */
    if (!a.body)
        return MHD_NO;

    response = MHD_create_response_from_buffer(strlen(a.body), a.body, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        free(a.body);
        return MHD_NO;
    }

    ok = MHD_add_response_header(response, "Content-Type", a.type) &&
         MHD_add_response_header(response, "Cache-Control", "no-store") &&
         MHD_add_response_header(response, "X-Content-Type-Options", "nosniff") &&
         MHD_add_response_header(response, "Content-Security-Policy", PAGE_SECURITY_POLICY) &&
         MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    if (a.status == MHD_HTTP_METHOD_NOT_ALLOWED)
        ok = ok && MHD_add_response_header(response, "Allow", "GET, HEAD");
    ok = ok && MHD_queue_response(connection, a.status, response);

    MHD_destroy_response(response);
    return ok;
}

/* libmicrohttpd calls it twice for each request: when its header is there, and when its body has
 * ended. */
static enum MHD_Result on_request(void *userdata, struct MHD_Connection *connection,
                                  const char *path, const char *method, const char *version,
                                  const char *body, size_t *body_size, void **request) {
    static int seen;
    const endpoints *e = userdata;
    question q = {0};
    get_fn get = find_route(path, &q.name);

    (void) version;
    (void) body;

    if (get && strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return send_answer(connection, method_not_allowed());

    if (!*request) {
        *request = &seen;
        return MHD_YES;
    }
    /* A body of a GET has no meaning (RFC 9110 section 9.3.1). */
    if (*body_size > 0)
        return MHD_NO;

    q.accept = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Accept");
    return send_answer(connection, get ? get(e->health, &q) : not_found());
}

/* Its words about peers that hang up in the middle are of use to nobody but a debugger. */
static void _printf_(2, 0) on_log(void *userdata, const char *format, va_list args) {
    _cleanup_free_ char *text = NULL;

    (void) userdata;

    if (vasprintf(&text, format, args) < 0) {
        text = NULL;
        return;
    }
    log_text(LOG_DEBUG, "health endpoints: %s", text);
}

/* ---- The loop -------------------------------------------------------------------------------- */

static int arm_timer(endpoints *e) {
    MHD_UNSIGNED_LONG_LONG milliseconds;
    int r;

    if (MHD_get_timeout(e->daemon, &milliseconds) != MHD_YES)
        return sd_event_source_set_enabled(e->timer, SD_EVENT_OFF);

    r = sd_event_source_set_time_relative(e->timer, milliseconds * USEC_PER_MSEC);
    if (r < 0)
        return r;
    return sd_event_source_set_enabled(e->timer, SD_EVENT_ONESHOT);
}

static unsigned count_connections(const endpoints *e) {
    return MHD_get_daemon_info(e->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)->num_connections;
}

static int run(endpoints *e) {
    bool was_full = count_connections(e) == ENDPOINTS_CONNECTIONS_MAX;

    (void) MHD_run(e->daemon);

    /* libmicrohttpd 0.9.75 offers a place that was given up to those who wait only in the run after
     * that. */
    if (was_full && count_connections(e) < ENDPOINTS_CONNECTIONS_MAX)
        (void) MHD_run(e->daemon);

    return arm_timer(e);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
    (void) source;
    (void) fd;
    (void) events;
    return run(userdata);
}

static int on_timer(sd_event_source *source, uint64_t now, void *userdata) {
    (void) source;
    (void) now;
    return run(userdata);
}

static int attach(endpoints *e, sd_event *event) {
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(e->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    int r;

    if (!info)
        return -EIO;

    /* Accuracy 1 ms: the loop's default of 250 ms would delay answers. */
    r = sd_event_add_time_relative(event, &e->timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_timer,
                                   e);
    if (r < 0)
        return r;
    r = sd_event_add_io(event, &e->io, info->epoll_fd, EPOLLIN, on_io, e);
    if (r < 0)
        return r;
    (void) sd_event_source_set_description(e->io, "health endpoints");

    return arm_timer(e);
}

endpoints *endpoints_free(endpoints *e) {
    if (!e)
        return NULL;

    (void) sd_event_source_disable_unref(e->io);
    (void) sd_event_source_disable_unref(e->timer);
    if (e->daemon)
        MHD_stop_daemon(e->daemon);
    if (e->path)
        (void) unlink(e->path);
    free(e->path);
    free(e);
    return NULL;
}

DEFINE_CLEANUP(endpoints *, endpoints_free);

int endpoints_new(sd_event *event, const char *listen, const health *h, endpoints **ret,
                  char **ret_why) {
    _cleanup_(endpoints_freep) endpoints *e = calloc(1, sizeof(*e));
    _cleanup_close_ int fd = -1;
    int r;

    if (!e)
        return -ENOMEM;
    e->health = h;

    r = listen_open(listen, &fd, &e->path, ret_why);
    if (r < 0)
        return r;

    e->daemon =
        MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, e,
                         MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
                         MHD_OPTION_CONNECTION_LIMIT, (unsigned) ENDPOINTS_CONNECTIONS_MAX,
                         MHD_OPTION_CONNECTION_TIMEOUT, (unsigned) ENDPOINTS_TIMEOUT_SECONDS,
                         MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY, MHD_OPTION_END);
    if (!e->daemon) {
        if (asprintf(ret_why, "cannot serve health endpoints on %s", listen) < 0)
            *ret_why = NULL;
        return -EIO;
    }
    /* Its own from now on. */
    fd = -1;

    r = attach(e, event);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(e);
    return 0;
}
