/* SPDX-License-Identifier: Apache-2.0 */
/* Name resolution can only block, and a name server that does not answer costs half a minute: each
 * name has a helper thread of its own, which is left behind where it does not come back in time. */

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/base/clock.h"
#include "agent/base/text.h"
#include "agent/base/worker.h"
#include "agent/ctl/check.h"
#include "agent/ctl/say.h"

#define PATIENCE (10 * USEC_PER_SEC)
/* Two relays, a few issuers, the controllers of some domains; others are told of when they are
 * connected to. */
#define NAMES_MAX 64
#define ADDRESSES_SHOWN 4

typedef struct name {
    char *host;
    worker *thread;
    bool is_done;
    int error;       /* EAI_… */
    char *addresses; /* found, for people */
} name;

/* The thread's, until it is done. */
typedef struct lookup {
    name *name; /* the loop's */
    char *host;
    int error;
    char *addresses;
} lookup;

struct check_names {
    name names[NAMES_MAX];
    size_t n;
    usec_t deadline;
};

/* ---- In the thread --------------------------------------------------------------------------- */

static char *list_addresses(const struct addrinfo *first) {
    char *text = NULL;
    size_t size = 0, n = 0;
    FILE *f = open_memstream(&text, &size);

    if (!f)
        return NULL;
    for (const struct addrinfo *a = first; a; a = a->ai_next, n++) {
        char address[64];

        if (n < ADDRESSES_SHOWN && getnameinfo(a->ai_addr, a->ai_addrlen, address, sizeof(address),
                                               NULL, 0, NI_NUMERICHOST) == 0)
            fprintf(f, "%s%s", n > 0 ? ", " : "", address);
    }
    if (n > ADDRESSES_SHOWN)
        fprintf(f, " and %zu more", n - ADDRESSES_SHOWN);
    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static void run(void *userdata) {
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    lookup *l = userdata;

    l->error = getaddrinfo(l->host, NULL, &hints, &found);
    if (l->error != 0)
        return;
    l->addresses = list_addresses(found);
    freeaddrinfo(found);
}

static void dispose(void *userdata) {
    lookup *l = userdata;

    free(l->host);
    free(l->addresses);
    free(l);
}

/* ---- On the loop ----------------------------------------------------------------------------- */

static void done(void *userdata) {
    lookup *l = userdata;

    l->name->is_done = true;
    l->name->error = l->error;
    l->name->addresses = TAKE_PTR(l->addresses);
}

static bool is_known(const check_names *names, const char *host) {
    for (size_t i = 0; i < names->n; i++)
        if (strcasecmp(names->names[i].host, host) == 0)
            return true;
    return false;
}

static int look_up(check *c, name *n) {
    lookup *l = calloc(1, sizeof(lookup));
    worker_job *job;
    int r;

    if (!l)
        return -ENOMEM;
    l->name = n;
    l->host = strdup(n->host);
    r = l->host ? worker_new(c->event, "names", &n->thread) : -ENOMEM;
    if (r >= 0)
        r = worker_submit(n->thread, run, done, dispose, l, &job);
    if (r < 0)
        dispose(l);
    return r;
}

/* "HOST", "HOST:PORT" and "[IPv6]:PORT" of `n` characters. An address needs no name server. */
static int add(check *c, const char *host, size_t n) {
    check_names *names = c->names;
    _cleanup_free_ char *copy = strndup(host, n);
    unsigned char address[sizeof(struct in6_addr)];

    if (!copy)
        return -ENOMEM;
    copy[strcspn(copy, ":")] = '\0';
    if (*host == '[' || !*copy || names->n == NAMES_MAX || is_known(names, copy) ||
        inet_pton(AF_INET, copy, address) == 1)
        return 0;

    names->names[names->n].host = TAKE_PTR(copy);
    return look_up(c, &names->names[names->n++]);
}

/* The host of "scheme://user:password@HOST:PORT/…"; a proxy may stand there without a scheme. */
static int add_url(check *c, const char *url) {
    const char *scheme = strstr(url, "://"), *host = scheme ? scheme + strlen("://") : url;
    size_t n = strcspn(host, "/?#");
    const char *at = memrchr(host, '@', n);

    return at ? add(c, at + 1, n - (size_t) (at + 1 - host)) : add(c, host, n);
}

/* Where there is a proxy, it is the proxy that resolves names. */
static int add_way(check *c, const char *proxy, const char *url) {
    return add_url(c, proxy ? proxy : url);
}

int check_names_begin(check *c) {
    const config *k = c->config;
    int r = 0;

    c->names = calloc(1, sizeof(check_names));
    if (!c->names)
        return -ENOMEM;

    c->names->deadline = now_monotonic() + PATIENCE;
    for (size_t i = 0; i < k->n_relays && r >= 0; i++)
        r = add_way(c, k->relays[i].proxy, k->relays[i].host);
    for (size_t i = 0; i < k->n_issuers && r >= 0; i++) {
        const issuer_config *from = &k->issuers[i];

        if (!from->keys)
            r = add_way(c, from->proxy, from->metadata_url ? from->metadata_url : from->url);
    }
    for (size_t i = 0; i < k->n_directories && r >= 0; i++)
        for (char **host = k->directories[i].controllers; host && *host && r >= 0; host++)
            r = add(c, *host, strlen(*host));
    return r;
}

/* ---- Telling --------------------------------------------------------------------------------- */

static bool is_done(const void *userdata) {
    return ((const name *) userdata)->is_done;
}

static void tell(check *c, const name *n) {
    static const char cure[] =
        "Ask by hand: `getent hosts @WRITEBACK_HOST@`\n"
        "Where nothing resolves: look which name servers there are, and whether port 53 to them is "
        "open: `cat /etc/resolv.conf`\n"
        "Where only this one does not: is it spelt as in the portal, or as the directory's DNS has "
        "it? Controllers' names are known to the domain's own DNS servers";

    check_know(c, "WRITEBACK_HOST", n->host);
    if (n->is_done && n->error == 0)
        check_tell(c, STAGE_NAMES, true, n->host, NULL,
                   text_format("%s is %s", n->host, n->addresses ? n->addresses : "known"));
    else if (n->is_done)
        check_tell(c, STAGE_NAMES, false, n->host, cure,
                   text_format("%s does not resolve: %s", n->host, gai_strerror(n->error)));
    else
        check_tell(c, STAGE_NAMES, false, n->host, cure,
                   text_format("%s: no name server answered within 10 s", n->host));
}

void check_names_tell(check *c) {
    for (size_t i = 0; i < c->names->n; i++) {
        const name *n = &c->names->names[i];

        (void) check_wait(c, "asking for the names' addresses", c->names->deadline, is_done, n);
        tell(c, n);
    }
}

check_names *check_names_free(check_names *names) {
    if (!names)
        return NULL;

    for (size_t i = 0; i < names->n; i++) {
        (void) worker_abandon(names->names[i].thread);
        free(names->names[i].host);
        free(names->names[i].addresses);
    }
    free(names);
    return NULL;
}
