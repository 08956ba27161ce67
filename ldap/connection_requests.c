/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <string.h>
#include <syslog.h>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/text.h"
#include "ldap/answer.h"
#include "ldap/connection_parts.h"

struct connection_request {
    connection *connection;
    connection_request *previous, *next;
    int message_id;
    usec_t sent_at;
    sd_event_source *patience;
    connection_answer_fn fn; /* NULL: nobody waits for it any more */
    void *userdata;
    char *what; /* of a modify */
    connection_answer answer;
};

/* ---- Their ends ------------------------------------------------------------------------------ */

static connection_request *request_free(connection_request *r) {
    for (size_t i = 0; i < r->answer.n_entries; i++)
        (void) ldap_msgfree(r->answer.entries[i]);
    sd_event_source_disable_unref(r->patience);
    free(r->what);
    free(r);
    return NULL;
}

static void unlink_request(connection_request *r) {
    if (r->previous)
        r->previous->next = r->next;
    else
        r->connection->requests = r->next;
    if (r->next)
        r->next->previous = r->previous;
}

static void log_late_answer(const connection_request *r) {
    const char *name = r->connection->target->name;
    _cleanup_free_ char *said = NULL;

    if (r->answer.result == -1)
        log_text(LOG_WARNING, "%s: %s was sent and never answered: it %s", name, r->what,
                 r->answer.text);
    else {
        said = answer_describe(r->answer.result, r->answer.text);
        log_text(LOG_NOTICE, "%s: %s was answered late: %s", name, r->what, said ? said : "?");
    }
}

static void finish_request(connection_request *r) {
    unlink_request(r);
    if (r->fn)
        r->fn(&r->answer, r->userdata);
    else
        log_late_answer(r);
    request_free(r);
}

void connection_end_requests(connection *c) {
    while (c->requests) {
        connection_request *r = c->requests;

        r->answer.result = -1;
        r->answer.text = c->lost_reason ? c->lost_reason : "was lost";
        finish_request(r);
    }
}

void connection_drop_requests(connection *c) {
    for (connection_request *r = c->requests, *next; r; r = next) {
        next = r->next;
        if (r->what)
            log_text(LOG_WARNING, "%s: %s was sent, and its answer will not be seen",
                     c->target->name, r->what);
        request_free(r);
    }
    c->requests = NULL;
}

connection_request *connection_request_free(connection_request *r) {
    if (!r)
        return NULL;

    if (r->what) {
        r->fn = NULL;
        return NULL;
    }

    unlink_request(r);
    if (r->connection->state == CONNECTION_OPEN) {
        (void) ldap_abandon_ext(stream_handle(r->connection->stream), r->message_id, NULL, NULL);
        connection_flush(r->connection);
    }
    return request_free(r);
}

/* ---- Answers --------------------------------------------------------------------------------- */

static connection_request *find_request(const connection *c, int message_id) {
    for (connection_request *r = c->requests; r; r = r->next)
        if (r->message_id == message_id)
            return r;
    return NULL;
}

static void take_result(connection *c, connection_request *r, LDAPMessage *message) {
    struct berval *sasl = NULL;
    char *text = NULL;
    LDAP *ld = stream_handle(c->stream);

    if (ldap_parse_result(ld, message, &r->answer.result, NULL, &text, NULL, NULL,
                          /* freeit= */ 0) != LDAP_SUCCESS) {
        ldap_memfree(text);
        return connection_fail(c, OUTCOME_AD_NOT_REACHABLE, "sent an answer that cannot be read");
    }

    if (ldap_msgtype(message) == LDAP_RES_BIND)
        (void) ldap_parse_sasl_bind_result(ld, message, &sasl, /* freeit= */ 0);

    c->latency = now_monotonic() - r->sent_at;
    r->answer.sasl = sasl;
    r->answer.text = text ? text : "";
    r->answer.ld = ld;
    finish_request(r);
    ldap_memfree(text);
    ber_bvfree(sasl);
}

/* Takes one message; frees it, or keeps it with its request. */
static void take_message(connection *c, int type, LDAPMessage *message) {
    connection_request *r = find_request(c, ldap_msgid(message));

    if (r && type == LDAP_RES_SEARCH_ENTRY && r->answer.n_entries < CONNECTION_ENTRIES_MAX) {
        r->answer.entries[r->answer.n_entries++] = message;
        return;
    }

    if (r && type != LDAP_RES_SEARCH_ENTRY && type != LDAP_RES_SEARCH_REFERENCE &&
        type != LDAP_RES_INTERMEDIATE)
        take_result(c, r, message);
    (void) ldap_msgfree(message);
}

void connection_receive(connection *c) {
    while (c->state == CONNECTION_OPEN) {
        struct timeval at_once = {};
        LDAPMessage *message = NULL;
        int type;

        type =
            ldap_result(stream_handle(c->stream), LDAP_RES_ANY, LDAP_MSG_ONE, &at_once, &message);
        if (type == 0)
            return;
        if (type < 0)
            return connection_fail_format(c, OUTCOME_AD_NOT_REACHABLE,
                                          stream_read_problem(c->stream));

        take_message(c, type, message);
    }
}

void connection_flush(connection *c) {
    int r;

    if (c->state != CONNECTION_OPEN)
        return;

    r = stream_flush(c->stream);
    if (r < 0)
        return connection_fail_format(c, OUTCOME_AD_NOT_REACHABLE,
                                      text_format("broke the connection: %s", strerror(-r)));

    connection_update_events(c, /* write= */ r > 0);
}

/* ---- Requests -------------------------------------------------------------------------------- */

static int on_request_overdue(sd_event_source *source, uint64_t usec, void *userdata) {
    connection_request *r = userdata;

    (void) source;
    (void) usec;

    connection_fail(r->connection, OUTCOME_AD_NOT_REACHABLE, "is connected but does not answer");
    return 0;
}

/* Makes a request that is ready to be sent: nothing can fail between sending it and having it. */
static int request_new(connection *c, bool impatient, const char *what, connection_answer_fn fn,
                       void *userdata, connection_request **ret) {
    connection_request *r;
    int error;

    assert(c);
    assert(fn);
    assert(ret);

    if (c->state != CONNECTION_OPEN)
        return -ENOTCONN;

    r = calloc(1, sizeof(connection_request));
    if (!r)
        return -ENOMEM;

    r->connection = c;
    r->fn = fn;
    r->userdata = userdata;
    r->sent_at = now_monotonic();
    r->what = what ? strdup(what) : NULL;
    error = what && !r->what ? -ENOMEM : 0;
    if (error >= 0 && impatient)
        error = sd_event_add_time(c->event, &r->patience, CLOCK_MONOTONIC,
                                  r->sent_at + CONNECTION_PATIENCE, USEC_PER_MSEC,
                                  on_request_overdue, r);
    if (error < 0) {
        request_free(r);
        return error;
    }

    *ret = r;
    return 0;
}

/* Files the request under what libldap said to it. */
static int request_sent(connection_request *r, int error, connection_request **ret) {
    connection *c = r->connection;

    if (error != LDAP_SUCCESS) {
        request_free(r);
        if (error == LDAP_FILTER_ERROR || error == LDAP_PARAM_ERROR)
            return -EINVAL;
        if (error == LDAP_NO_MEMORY)
            return -ENOMEM;

        connection_fail(c, OUTCOME_AD_NOT_REACHABLE, "takes no more requests");
        return -ENOTCONN;
    }

    r->next = c->requests;
    if (r->next)
        r->next->previous = r;
    c->requests = r;
    *ret = r;

    connection_flush(c);
    return 0;
}

int connection_bind(connection *c, const char *dn, const secret *password, connection_answer_fn fn,
                    void *userdata, connection_request **ret) {
    struct berval credentials;
    connection_request *r;
    int error;

    assert(dn);
    assert(password);

    error = request_new(c, /* impatient= */ true, NULL, fn, userdata, &r);
    if (error < 0)
        return error;

    ber_str2bv(secret_data(password), (ber_len_t) secret_size(password), 0, &credentials);
    return request_sent(r,
                        ldap_sasl_bind(stream_handle(c->stream), dn, LDAP_SASL_SIMPLE, &credentials,
                                       NULL, NULL, &r->message_id),
                        ret);
}

int connection_bind_sasl(connection *c, const char *mechanism, const void *token, size_t size,
                         connection_answer_fn fn, void *userdata, connection_request **ret) {
    struct berval credentials = {.bv_len = size, .bv_val = (char *) (uintptr_t) token};
    connection_request *r;
    int error;

    assert(mechanism);

    error = request_new(c, /* impatient= */ true, NULL, fn, userdata, &r);
    if (error < 0)
        return error;

    return request_sent(r,
                        ldap_sasl_bind(stream_handle(c->stream), NULL, mechanism, &credentials,
                                       NULL, NULL, &r->message_id),
                        ret);
}

/* Makes the control a critical one, in a list for libldap. */
static void list_control(const LDAPControl *critical, LDAPControl *copy, LDAPControl *list[2]) {
    list[0] = list[1] = NULL;
    if (!critical)
        return;

    *copy = *critical;
    copy->ldctl_iscritical = 1;
    list[0] = copy;
}

static int search(connection *c, const char *base, int scope, const char *filter,
                  const char *const *attributes, const LDAPControl *critical_control,
                  connection_answer_fn fn, void *userdata, connection_request **ret) {
    struct timeval limit = {.tv_sec = CONNECTION_SEARCH_LIMIT / USEC_PER_SEC};
    LDAPControl control, *controls[2];
    connection_request *r;
    int error;

    assert(base);
    assert(filter);
    assert(attributes);

    error = request_new(c, /* impatient= */ true, NULL, fn, userdata, &r);
    if (error < 0)
        return error;

    list_control(critical_control, &control, controls);
    return request_sent(r,
                        ldap_search_ext(stream_handle(c->stream), base, scope, filter,
                                        (char **) (uintptr_t) attributes, /* attrsonly= */ 0,
                                        controls, NULL, &limit, CONNECTION_ENTRIES_MAX,
                                        &r->message_id),
                        ret);
}

int connection_search(connection *c, const char *base, int scope, const char *filter,
                      const char *const *attributes, connection_answer_fn fn, void *userdata,
                      connection_request **ret) {
    return search(c, base, scope, filter, attributes, NULL, fn, userdata, ret);
}

int connection_look(connection *c, const char *dn, const char *const *attributes,
                    const LDAPControl *critical_control, connection_answer_fn fn, void *userdata,
                    connection_request **ret) {
    return search(c, dn, LDAP_SCOPE_BASE, "(objectClass=*)", attributes, critical_control, fn,
                  userdata, ret);
}

int connection_modify(connection *c, const char *dn, LDAPMod **mods,
                      const LDAPControl *critical_control, const char *what,
                      connection_answer_fn fn, void *userdata, connection_request **ret) {
    LDAPControl control, *controls[2];
    connection_request *r;
    int error;

    assert(dn);
    assert(mods);
    assert(what);

    error = request_new(c, /* impatient= */ false, what, fn, userdata, &r);
    if (error < 0)
        return error;

    list_control(critical_control, &control, controls);
    return request_sent(
        r, ldap_modify_ext(stream_handle(c->stream), dn, mods, controls, NULL, &r->message_id),
        ret);
}
