/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/request.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The contract's figures. */
#define REQUEST_SIZE_MAX ((size_t) 256 * 1024)
#define ID_MIN 8
#define ID_MAX 64
#define LIFE_MAX 600
/* Dates are seconds; this keeps them far from overflow (the year 9999). */
#define DATE_MAX 253402300799LL
#define TEXT_MAX 1024

static const char *const operation_names[] = {
    [OPERATION_RESET] = "reset",
    [OPERATION_CHANGE] = "change",
    [OPERATION_UNLOCK] = "unlock",
    [OPERATION_CHECK] = "check",
};

const char *request_operation_name(request_operation o) {
    return o >= 0 && o < OPERATION_MAX_ ? operation_names[o] : "unknown";
}

static request_operation operation_from_name(const char *name) {
    for (request_operation o = 0; o < OPERATION_MAX_; o++)
        if (strcmp(operation_names[o], name) == 0)
            return o;

    return OPERATION_INVALID;
}

/* Everything a reader of one member needs. */
typedef struct parser {
    const json_t *object;
    request *into;
    outcome outcome;
    char *why;
} parser;

static void _printf_(2, 3) refuse(parser *p, const char *format, ...) {
    va_list args;

    if (p->outcome != OUTCOME_INVALID)
        return;

    p->outcome = OUTCOME_INPUT_VALIDATION_ERROR;
    va_start(args, format);
    if (vasprintf(&p->why, format, args) < 0)
        p->why = NULL;
    va_end(args);
}

static void fail_for_memory(parser *p) {
    if (p->outcome != OUTCOME_INVALID)
        return;

    p->outcome = OUTCOME_UNKNOWN_ERROR;
    p->why = strdup("out of memory");
}

static char *copy(parser *p, const char *text) {
    char *c = strdup(text);

    if (!c)
        fail_for_memory(p);
    return c;
}

/* ---- Members
 * -------------------------------------------------------------------------------------- */

static bool is_id(const char *text) {
    size_t length = strlen(text);

    return length >= ID_MIN && length <= ID_MAX &&
           strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") ==
               length;
}

static void read_id(parser *p) {
    const char *id = json_get_string(p->object, "jti");

    if (!id || !is_id(id))
        refuse(p, "jti must be a text of 8 to 64 characters of A-Z a-z 0-9 - _");
    else
        p->into->id = copy(p, id);
}

static const char *need_text(parser *p, const json_t *object, const char *name) {
    const char *text = json_get_string(object, name);

    if (!text || text[0] == '\0' || strlen(text) > TEXT_MAX) {
        refuse(p, "%s must be a text of 1 to %d bytes", name, TEXT_MAX);
        return NULL;
    }
    return text;
}

static usec_t need_date(parser *p, const char *name) {
    const json_t *value = json_object_get(p->object, name);
    json_int_t seconds = json_integer_value(value);

    if (!json_is_integer(value) || seconds < 0 || seconds > DATE_MAX) {
        refuse(p, "%s must be a date in whole seconds since 1970", name);
        return 0;
    }
    return (usec_t) seconds * USEC_PER_SEC;
}

static bool read_flag(parser *p, const char *name, bool fallback) {
    const json_t *value = json_object_get(p->object, name);

    if (value && !json_is_boolean(value))
        refuse(p, "%s must be true or false", name);
    return value ? json_is_true(value) : fallback;
}

static secret *read_secret(parser *p, const char *name) {
    const json_t *value = json_object_get(p->object, name);
    secret *s = NULL;

    if (!json_is_string(value)) {
        refuse(p, "%s must be a text", name);
        return NULL;
    }
    if (secret_new(json_string_value(value), json_string_length(value), &s) < 0)
        fail_for_memory(p);
    return s;
}

static void read_audience(parser *p) {
    const char *audience = need_text(p, p->object, "aud");

    if (audience)
        p->into->audience = copy(p, audience);
}

static void read_operation(parser *p) {
    const char *name = need_text(p, p->object, "operation");

    if (!name)
        return;

    p->into->operation = operation_from_name(name);
    if (p->into->operation == OPERATION_INVALID)
        refuse(p, "operation must be reset, change, unlock or check");
}

static const struct {
    const char *name;
    directory_identifier_type type;
} identifiers[] = {
    {"onPremisesImmutableId", IDENTIFIER_IMMUTABLE_ID},
    {"objectGuid", IDENTIFIER_OBJECT_GUID},
    {"onPremisesSecurityIdentifier", IDENTIFIER_SID},
    {"userPrincipalName", IDENTIFIER_USER_PRINCIPAL_NAME},
    {"onPremisesSamAccountName", IDENTIFIER_SAM_ACCOUNT_NAME},
};

static void read_identifier(parser *p, const json_t *user, size_t index) {
    const char *why, *value = need_text(p, user, identifiers[index].name);
    directory_identifier id = {.type = identifiers[index].type, .value = value};

    if (!value)
        return;
    if (directory_identifier_check(&id, &why) < 0) {
        refuse(p, "user.%s: %s", identifiers[index].name, why);
        return;
    }

    p->into->user_type = id.type;
    p->into->user = copy(p, value);
}

static void read_domain(parser *p, const json_t *user) {
    const char *domain;

    if (p->into->user_type != IDENTIFIER_SAM_ACCOUNT_NAME) {
        if (json_object_get(user, "onPremisesDomainName"))
            refuse(p, "user.onPremisesDomainName goes with onPremisesSamAccountName only");
        return;
    }

    domain = need_text(p, user, "onPremisesDomainName");
    if (domain)
        p->into->user_domain = copy(p, domain);
}

static void read_user(parser *p) {
    const json_t *user = json_object_get(p->object, "user");
    size_t found = 0, index = 0, allowed;

    if (!json_is_object(user)) {
        refuse(p, "user must be an object");
        return;
    }

    for (size_t i = 0; i < ELEMENTSOF(identifiers); i++)
        if (json_object_get(user, identifiers[i].name)) {
            found++;
            index = i;
        }

    allowed = found + (json_object_get(user, "onPremisesDomainName") ? 1 : 0);
    if (found != 1 || json_object_size(user) != allowed) {
        refuse(p,
               "user must have exactly one of onPremisesImmutableId, objectGuid, "
               "onPremisesSecurityIdentifier, userPrincipalName, or onPremisesSamAccountName with "
               "onPremisesDomainName");
        return;
    }

    read_identifier(p, user, index);
    if (p->outcome == OUTCOME_INVALID)
        read_domain(p, user);
}

/* A password that the operation needs, or must not have. */
static secret *read_password(parser *p, const char *name, bool needed) {
    _cleanup_(secret_freep) secret *password = NULL;
    const char *why;
    int r;

    if (!needed) {
        if (json_object_get(p->object, name))
            refuse(p, "%s does not go with operation %s", name,
                   request_operation_name(p->into->operation));
        return NULL;
    }

    password = read_secret(p, name);
    if (!password)
        return NULL;

    r = directory_password_check(password, &why);
    if (r == -ENOMEM)
        fail_for_memory(p);
    else if (r < 0)
        refuse(p, "%s %s", name, why);
    return TAKE_PTR(password);
}

static void read_passwords(parser *p) {
    bool changes = p->into->operation == OPERATION_CHANGE;

    p->into->new_password =
        read_password(p, "newPassword", changes || p->into->operation == OPERATION_RESET);
    p->into->current_password = read_password(p, "currentPassword", changes);
}

/* Members that only a reset has. */
static void read_reset_flags(parser *p) {
    static const char *const names[] = {"forceChangePasswordNextSignIn", "unlockAccount"};

    for (size_t i = 0; i < ELEMENTSOF(names); i++)
        if (p->into->operation != OPERATION_RESET && json_object_get(p->object, names[i]))
            refuse(p, "%s does not go with operation %s", names[i],
                   request_operation_name(p->into->operation));

    p->into->must_change = read_flag(p, names[0], false);
    p->into->unlock = read_flag(p, names[1], true);
}

/* W3C Trace Context: version "00", ids in lower-case hexadecimal, not all zero. */
static bool is_trace_part(const char *text, size_t length) {
    return strspn(text, "0123456789abcdef") >= length && strspn(text, "0") < length;
}

static void read_traceparent(parser *p) {
    const json_t *value = json_object_get(p->object, "traceparent");
    const char *text = json_string_value(value);

    if (!value)
        return;
    if (!text || strlen(text) != 55 || strncmp(text, "00-", 3) != 0 || text[35] != '-' ||
        text[52] != '-' || !is_trace_part(text + 3, 32) || !is_trace_part(text + 36, 16)) {
        refuse(p, "traceparent must be a W3C trace context of version 00");
        return;
    }

    p->into->trace_id = strndup(text + 3, 32);
    p->into->span_id = strndup(text + 36, 16);
    if (!p->into->trace_id || !p->into->span_id)
        fail_for_memory(p);
}

static void refuse_unknown_members(parser *p) {
    static const char *const known[] = {
        "jti",           "iat",           "exp",         "aud",
        "operation",     "user",          "newPassword", "currentPassword",
        "unlockAccount", "authorization", "traceparent", "forceChangePasswordNextSignIn",
    };
    const char *name;
    json_t *value;

    json_object_foreach((json_t *) (uintptr_t) p->object, name, value) {
        bool found = false;

        for (size_t i = 0; i < ELEMENTSOF(known); i++)
            if (strcmp(known[i], name) == 0)
                found = true;

        /* The name is not quoted: it comes from the wire and may be anything, a password too. */
        if (!found)
            refuse(p,
                   "the request has a member that the contract does not know for this operation");
    }
}

static void fingerprint(parser *p) {
    json_t *rest = json_copy((json_t *) (uintptr_t) p->object);
    char *text = NULL;

    if (rest) {
        (void) json_object_del(rest, "newPassword");
        (void) json_object_del(rest, "currentPassword");
        text = json_dumps(rest, JSON_COMPACT | JSON_SORT_KEYS);
    }
    if (!text || !EVP_Digest(text, strlen(text), p->into->fingerprint, NULL, EVP_sha256(), NULL))
        fail_for_memory(p);

    secret_mfree(text);
    json_decref(rest);
}

outcome request_parse(const secret *text, request *ret, char **ret_why) {
    _cleanup_(json_freep) json_t *object = NULL;
    parser p = {.into = ret, .outcome = OUTCOME_INVALID};
    const char *why = "";

    assert(text);
    assert(ret);
    assert(ret_why);

    *ret = (request){.operation = OPERATION_INVALID, .user_type = IDENTIFIER_SAM_ACCOUNT_NAME};
    *ret_why = NULL;

    if (json_parse(secret_data(text), secret_size(text), REQUEST_SIZE_MAX, &object, &why) < 0)
        refuse(&p, "the opened request cannot be read: %s", why);
    else if (!json_is_object(object))
        refuse(&p, "the opened request is no object");

    static void (*const readers[])(parser *) = {
        read_id,        read_audience,    read_operation,         read_user,
        read_passwords, read_traceparent, refuse_unknown_members, fingerprint};
    p.object = object;
    for (size_t i = 0; i < ELEMENTSOF(readers) && p.outcome == OUTCOME_INVALID; i++)
        readers[i](&p);

    if (p.outcome == OUTCOME_INVALID) {
        ret->issued = need_date(&p, "iat");
        ret->expires = need_date(&p, "exp");
        read_reset_flags(&p);
        ret->authorization = read_secret(&p, "authorization");
    }

    *ret_why = p.why;
    return p.outcome;
}

outcome request_check_validity(const request *q, const char *agent_id, const char *tenant_id,
                               usec_t now, char **ret_why) {
    usec_t skew = REQUEST_CLOCK_SKEW;
    const char *why = NULL;
    outcome o = OUTCOME_REQUEST_EXPIRED;

    assert(q);
    assert(agent_id);
    assert(ret_why);

    if (strcmp(q->audience, agent_id) != 0 && (!tenant_id || strcmp(q->audience, tenant_id) != 0)) {
        o = OUTCOME_INPUT_VALIDATION_ERROR;
        why = "aud names another agent or tenant";
    } else if (q->expires <= q->issued) {
        o = OUTCOME_INPUT_VALIDATION_ERROR;
        why = "exp must be later than iat";
    } else if (q->expires - q->issued > LIFE_MAX * USEC_PER_SEC) {
        why = "exp is more than 600 s after iat";
    } else if (q->issued > now + skew) {
        why = "iat is in the future, beyond the 60 s that clocks may differ";
    } else if (q->expires + skew <= now) {
        why = "exp has passed";
    }

    if (!why)
        return OUTCOME_INVALID;

    *ret_why = strdup(why);
    return o;
}

void request_done(request *q) {
    assert(q);

    free(q->id);
    free(q->audience);
    free(q->user);
    free(q->user_domain);
    free(q->trace_id);
    free(q->span_id);
    (void) secret_free(q->new_password);
    (void) secret_free(q->current_password);
    (void) secret_free(q->authorization);
    *q = (request){.operation = OPERATION_INVALID, .user_type = IDENTIFIER_SAM_ACCOUNT_NAME};
}
