/* SPDX-License-Identifier: Apache-2.0 */
#include "health/page.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/clock.h"
#include "health/blade.h"
#include "health/state.h"

/* A lock with an arrow back into it. */
#define ICON                                                                                       \
    "<svg class=\"icon\" viewBox=\"0 0 32 32\" aria-hidden=\"true\">"                              \
    "<rect width=\"32\" height=\"32\" rx=\"7\"/>"                                                  \
    "<path d=\"M10 15v-3.5a6 6 0 0 1 12 0V15\"/>"                                                  \
    "<rect class=\"body\" x=\"7.5\" y=\"14\" width=\"17\" height=\"12\" rx=\"2.5\"/>"              \
    "<path class=\"arrow\" d=\"M20 18.5h-6.5a2 2 0 0 0 0 4h4.5m-2-2 2 2-2 2\"/></svg>"

/* ---- Words ----------------------------------------------------------------------------------- */

/* As text and as an attribute's value. */
static void put(FILE *f, const char *text) {
    for (; *text; text++)
        switch (*text) {
        case '&':
            fputs("&amp;", f);
            break;
        case '<':
            fputs("&lt;", f);
            break;
        case '>':
            fputs("&gt;", f);
            break;
        case '"':
            fputs("&quot;", f);
            break;
        default:
            fputc(*text, f);
        }
}

/* "2026-11-23 14:03:22" in UTC; the day is left out where it is today's. */
static void put_time(FILE *f, usec_t when, usec_t now) {
    char date[RFC3339_MAX], today[RFC3339_MAX];
    bool is_today;

    (void) rfc3339_utc(when, date);
    (void) rfc3339_utc(now, today);
    is_today = strncmp(date, today, 10) == 0;
    fprintf(f, "<time datetime=\"%s\">", date);
    if (!is_today)
        fprintf(f, "%.10s ", date);
    fprintf(f, "%.8s</time>", date + 11);
}

static void put_since(FILE *f, usec_t since, usec_t now) {
    char age[USEC_TEXT_MAX];

    fputs("since ", f);
    put_time(f, since, now);
    fprintf(f, " <span class=\"faint\">(%s)</span>",
            usec_describe(now > since ? now - since : 0, age));
}

static void put_duration(FILE *f, usec_t duration) {
    if (duration < USEC_PER_SEC)
        fprintf(f, "%" PRIu64 " ms", (duration + USEC_PER_MSEC - 1) / USEC_PER_MSEC);
    else
        fprintf(f, "%" PRIu64 ".%" PRIu64 " s", duration / USEC_PER_SEC,
                duration % USEC_PER_SEC / (100 * USEC_PER_MSEC));
}

/* "good", "warn", "bad" or "none": what a colour means. */
static const char *tone_of(health_status status) {
    static const char *const tones[] = {
        [HEALTH_PASS] = "good",
        [HEALTH_WARN] = "warn",
        [HEALTH_FAIL] = "bad",
        [HEALTH_UNKNOWN] = "none",
    };

    return tones[status];
}

static const char *well_word(health_component_type type) {
    switch (type) {
    case COMPONENT_RELAY:
        return "connected";
    case COMPONENT_SYNC:
        return "runs";
    case COMPONENT_LICENCE:
        return "held";
    case COMPONENT_CLOCK:
        return "agrees";
    default:
        return "works";
    }
}

static const char *status_word(const component *c) {
    switch (c->status) {
    case HEALTH_PASS:
        return well_word(c->type);
    case HEALTH_WARN:
        return "warns";
    case HEALTH_FAIL:
        return "fails";
    default:
        return "not known";
    }
}

static void put_part_name(FILE *f, const component *c) {
    static const char *const kinds[] = {
        [COMPONENT_RELAY] = "Relay",         [COMPONENT_CONTROLLER] = "Domain controller",
        [COMPONENT_ISSUER] = "Token issuer", [COMPONENT_SYNC] = "Directory synchronisation",
        [COMPONENT_LICENCE] = "Licence",     [COMPONENT_KEYS] = "The agent’s keys",
        [COMPONENT_LEDGER] = "Ledger",       [COMPONENT_CLOCK] = "Clock",
    };

    fputs(kinds[c->type], f);
    if (*c->instance) {
        fputs(" <b>", f);
        put(f, c->instance);
        fputs("</b>", f);
    } else if (strchr(c->name, ':')) {
        fputs(" <b>", f);
        put(f, component_short_name(c));
        fputs("</b>", f);
    }
}

/* Text, and commands in backquotes. */
static void put_step(FILE *f, char *step) {
    bool is_command = false;

    for (char *part; (part = strsep(&step, "`")); is_command = !is_command) {
        fputs(is_command ? "<code>" : "", f);
        put(f, part);
        fputs(is_command ? "</code>" : "", f);
    }
}

static void put_steps(FILE *f, const char *steps) {
    _cleanup_free_ char *lines = outcome_text(steps);

    fputs("<ol class=\"steps\">", f);
    for (char *rest = lines, *step; (step = strsep(&rest, "\n"));) {
        fputs("<li>", f);
        put_step(f, step);
        fputs("</li>", f);
    }
    fputs("</ol>\n", f);
}

/* ---- The blade ------------------------------------------------------------------------------- */

static void put_reasons(FILE *f, const components *all, const blade *b) {
    blade_reason last = BLADE_REASON_NONE;

    if (!b->has_relay || !b->has_directory)
        fprintf(f, "<p class=\"why\">No %s is configured.</p>\n",
                b->has_relay ? "directory" : "relay");
    for (size_t i = 0; i < all->n; i++) {
        const component *c = all->items[i];
        blade_reason reason = blade_reason_of(all, c);

        if (reason == BLADE_REASON_NONE)
            continue;
        if (reason != last)
            fprintf(f, "<p class=\"why\">%s:</p>\n", blade_reason_title(reason));
        last = reason;
        fputs("<p class=\"reason\">", f);
        put_part_name(f, c);
        fputs("<br>", f);
        put(f, component_why(c));
        fputs("</p>\n", f);
    }
}

static void put_fact(FILE *f, const char *name) {
    fprintf(f, "<div><dt>%s</dt><dd>", name);
}

static void put_blade(FILE *f, const health *h, usec_t now) {
    blade b = blade_fold(&h->components);
    bool is_shown = b.state == BLADE_UP_AND_RUNNING;

    fprintf(f,
            "<section class=\"card blade %s\" aria-labelledby=\"blade\">\n"
            "<h2 id=\"blade\">On-premises integration</h2>\n"
            "<p class=\"state\"><span class=\"mark\" aria-hidden=\"true\"></span>%s</p>\n",
            is_shown ? tone_of(b.overall) : "bad", blade_state_sentence(b.state));
    if (is_shown && b.overall == HEALTH_WARN)
        fputs("<p class=\"why\">Not all of its parts are well; see below.</p>\n", f);
    if (!is_shown)
        put_reasons(f, &h->components, &b);

    fputs("<dl class=\"facts\">", f);
    put_fact(f, "Blade in the portal");
    fputs(is_shown ? "shown" : "not shown", f);
    fputs("</dd></div>", f);
    put_fact(f, "Takes requests");
    if (h->stopping || h->reloading)
        fputs(h->stopping ? "no, it is stopping" : "no, it takes over a new configuration", f);
    else
        fputs(health_is_ready(h) ? "yes" : "no", f);
    fputs("</dd></div>", f);
    put_fact(f, "Under way");
    fprintf(f, "%u</dd></div>", h->metrics.in_flight);
    put_fact(f, "Running");
    put_since(f, h->metrics.started, now);
    fputs("</dd></div></dl>\n</section>\n", f);
}

/* ---- What to do ------------------------------------------------------------------------------ */

static bool cures_something(const components *all, outcome o) {
    for (size_t i = 0; i < all->n; i++)
        if (blade_needs_cure(all, all->items[i]) && component_event(all->items[i]) == o)
            return true;

    return false;
}

static void put_cure(FILE *f, const components *all, outcome o) {
    const outcome_info *info = outcome_get(o);

    fputs("<article><h3>", f);
    put(f, info->title);
    fprintf(f, " <span class=\"code\">%d %s</span></h3>\n<ul class=\"said\">", info->event,
            info->name);
    for (size_t i = 0; i < all->n; i++) {
        const component *c = all->items[i];

        if (!blade_needs_cure(all, c) || component_event(c) != o)
            continue;
        fputs("<li>", f);
        put_part_name(f, c);
        if (c->output) {
            fputs(": ", f);
            put(f, c->output);
        }
        fputs("</li>", f);
    }
    fputs("</ul>\n<p>", f);
    put(f, info->cause);
    fputs("</p>\n", f);
    put_steps(f, info->steps);
    fputs("</article>\n", f);
}

static void put_cures(FILE *f, const components *all) {
    bool any = false;

    for (outcome o = 0; o < OUTCOME_MAX_; o++) {
        if (!cures_something(all, o))
            continue;
        if (!any)
            fputs("<section class=\"card cures\" aria-labelledby=\"cures\">\n"
                  "<h2 id=\"cures\">What to do</h2>\n",
                  f);
        any = true;
        put_cure(f, all, o);
    }
    if (any)
        fputs("</section>\n", f);
}

/* ---- The parts ------------------------------------------------------------------------------- */

static void put_part(FILE *f, const components *all, const component *c, usec_t now) {
    const component *root = blade_root_of(all, c);

    fprintf(f,
            "<li class=\"%s\"><span class=\"mark\" aria-hidden=\"true\"></span>"
            "<div class=\"part\"><span class=\"name\">",
            tone_of(c->status));
    put_part_name(f, c);
    fprintf(f, "</span> <span class=\"word\">%s</span><span class=\"since\">", status_word(c));
    put_since(f, c->since, now);
    fputs("</span>", f);

    if (c->is_untried && c->status != HEALTH_UNKNOWN) {
        fputs("<span class=\"output\">" COMPONENT_NOT_TRIED_AGAIN "</span>", f);
    } else if (c->output) {
        fputs("<span class=\"output\">", f);
        put(f, c->output);
        fputs("</span>", f);
    }
    if (root) {
        fputs("<span class=\"output\">Mend first: ", f);
        put_part_name(f, root);
        fputs("</span>", f);
    }
    if (c->latency > 0 || c->not_after > 0) {
        fputs("<span class=\"output\">", f);
        if (c->latency > 0) {
            fputs("answers in ", f);
            put_duration(f, c->latency);
        }
        if (c->not_after > 0) {
            char date[RFC3339_MAX];

            fprintf(f, "%s%s until %.10s", c->latency > 0 ? " · " : "",
                    c->type == COMPONENT_KEYS ? "good" : "certificate",
                    rfc3339_utc(c->not_after, date));
        }
        fputs("</span>", f);
    }
    fputs("</div></li>\n", f);
}

static void put_parts(FILE *f, const components *all, usec_t now) {
    fputs("<section class=\"card parts\" aria-labelledby=\"parts\">\n"
          "<h2 id=\"parts\">Parts</h2>\n<ul>\n",
          f);
    for (size_t i = 0; i < all->n; i++)
        put_part(f, all, all->items[i], now);
    fputs("</ul>\n</section>\n", f);
}

/* ---- The last requests ----------------------------------------------------------------------- */

static void put_request_line(FILE *f, const history_entry *entry, usec_t now) {
    const outcome_info *info = outcome_get(entry->end);

    fputs("<span class=\"when\">", f);
    put_time(f, entry->ended, now);
    fprintf(f,
            "</span><span class=\"operation\">%s</span><span class=\"outcome\">%s "
            "<span class=\"code\">%d %s</span></span><span class=\"took\">",
            metrics_operation_name(entry->operation), info->title, info->event, info->name);
    put_duration(f, entry->duration);
    fputs("</span>", f);
}

static void put_request(FILE *f, const history_entry *entry, usec_t now) {
    const outcome_info *info = outcome_get(entry->end);
    const char *tone = outcome_is_success(entry->end) ? "good" : info->http >= 500 ? "bad" : "warn";

    fprintf(f, "<li class=\"%s\">", tone);
    if (!*info->steps) {
        fputs("<div class=\"line\">", f);
        put_request_line(f, entry, now);
        fputs("</div></li>\n", f);
        return;
    }

    fputs("<details><summary class=\"line\">", f);
    put_request_line(f, entry, now);
    fputs("</summary><div class=\"advice\"><p>", f);
    put(f, info->cause);
    fputs("</p>", f);
    put_steps(f, info->steps);
    fputs("</div></details></li>\n", f);
}

static void put_requests(FILE *f, const history *last, usec_t now) {
    size_t n = history_size(last);

    fputs("<section class=\"card requests\" aria-labelledby=\"requests\">\n"
          "<h2 id=\"requests\">Last requests</h2>\n",
          f);
    if (n == 0)
        fputs("<p class=\"faint\">None since it was started.</p>\n", f);
    else
        fputs("<ul>\n", f);
    for (size_t i = 0; i < n; i++)
        put_request(f, history_get(last, i), now);
    fputs(n == 0 ? "</section>\n" : "</ul>\n</section>\n", f);
}

/* ---- All of it ------------------------------------------------------------------------------- */

static void put_header(FILE *f, const health *h, usec_t now) {
    fputs("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
          "<meta name=\"color-scheme\" content=\"light dark\">\n<title>",
          f);
    put(f, h->agent_id);
    fputs(" · Password writeback</title>\n<link rel=\"icon\" href=\"data:,\">\n"
          "<link rel=\"stylesheet\" href=\"/page.css\">\n</head>\n<body>\n"
          "<header>" ICON "<div class=\"title\"><h1>Password writeback</h1><p>Agent <b>",
          f);
    put(f, h->agent_id);
    fputs("</b>, release ", f);
    put(f, h->release);
    fputs("</p></div><p class=\"as-of\">As of ", f);
    put_time(f, now, now);
    fputs(" UTC <a href=\"/\">Refresh</a></p></header>\n<main>\n", f);
}

static void put_footer(FILE *f) {
    fputs("</main>\n<footer><p>Times are in UTC. More on this host: <code>writebackctl "
          "status</code>, <code>journalctl -x -u writebackd -p warning</code></p>\n"
          "<p>For programs: <a href=\"/status\">/status</a> <a href=\"/healthz\">/healthz</a> "
          "<a href=\"/readyz\">/readyz</a> <a href=\"/metrics\">/metrics</a></p></footer>\n"
          "</body>\n</html>\n",
          f);
}

char *page_html(const health *h) {
    usec_t now = now_realtime();
    char *html = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&html, &size);

    if (!f)
        return NULL;

    put_header(f, h, now);
    put_blade(f, h, now);
    put_cures(f, &h->components);
    put_parts(f, &h->components, now);
    put_requests(f, &h->history, now);
    put_footer(f);

    if (fclose(f) != 0) {
        free(html);
        return NULL;
    }
    return html;
}
