/* SPDX-License-Identifier: Apache-2.0 */
/* Connection strings, as the Azure portal shows them under "Shared access policies". */

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "relay/relay.h"

/* The limits of Microsoft's own clients; entity names may have 260 characters. */
#define KEY_MAX 256
#define KEY_NAME_MAX 256
#define ENTITY_MAX 260
#define HOST_LENGTH_MAX 253

typedef enum part {
    PART_ENDPOINT,
    PART_KEY_NAME,
    PART_KEY,
    PART_PATH,
    PART_TIMEOUT,
    PART_MAX_,
} part;

static const char *const part_names[PART_MAX_] = {
    [PART_ENDPOINT] = "Endpoint",        [PART_KEY_NAME] = "SharedAccessKeyName",
    [PART_KEY] = "SharedAccessKey",      [PART_PATH] = "EntityPath",
    [PART_TIMEOUT] = "OperationTimeout",
};

/* A piece of the connection string. */
typedef struct slice {
    const char *text; /* NULL: not there */
    size_t size;
} slice;

static slice trim(slice s) {
    while (s.size > 0 && isspace((unsigned char) s.text[0])) {
        s.text++;
        s.size--;
    }
    while (s.size > 0 && isspace((unsigned char) s.text[s.size - 1]))
        s.size--;
    return s;
}

static part find_part(slice name) {
    part p = PART_ENDPOINT;

    while (p < PART_MAX_ && !(strlen(part_names[p]) == name.size &&
                              strncasecmp(part_names[p], name.text, name.size) == 0))
        p++;
    return p;
}

static int _printf_(2, 3) refuse(char **ret_why, const char *format, ...) {
    va_list args;

    va_start(args, format);
    if (vasprintf(ret_why, format, args) < 0)
        *ret_why = NULL;
    va_end(args);
    return -EINVAL;
}

/* Names are not quoted: where a semicolon was lost or added, one of them may be a piece of a key.
 */
static int split(const char *text, slice parts[static PART_MAX_], char **ret_why) {
    for (unsigned number = 1; *text; number++) {
        slice piece = {text, strcspn(text, ";")}, name, value;
        const char *equals;
        part p;

        text += piece.size + (text[piece.size] == ';');
        piece = trim(piece);
        if (piece.size == 0)
            continue;

        equals = memchr(piece.text, '=', piece.size);
        if (!equals)
            return refuse(ret_why, "part %u has no '='; expected NAME=VALUE;NAME=VALUE", number);

        name = trim((slice){piece.text, (size_t) (equals - piece.text)});
        value = trim((slice){equals + 1, piece.size - (size_t) (equals + 1 - piece.text)});

        p = find_part(name);
        if (p == PART_MAX_)
            return refuse(ret_why,
                          "part %u is unknown; expected Endpoint, SharedAccessKeyName, "
                          "SharedAccessKey, EntityPath or OperationTimeout",
                          number);
        if (parts[p].text)
            return refuse(ret_why, "%s stands there twice", part_names[p]);
        parts[p] = value;
    }
    return 0;
}

/* Letters and digits of ASCII, whatever the locale, and those of `more`. */
static bool holds_only(slice s, const char *more) {
    for (size_t i = 0; i < s.size; i++) {
        char c = s.text[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            !(c != '\0' && strchr(more, c)))
            return false;
    }
    return true;
}

static bool parse_port(slice s, unsigned *ret) {
    unsigned port = 0;

    if (s.size == 0 || s.size > 5)
        return false;

    for (size_t i = 0; i < s.size; i++) {
        if (s.text[i] < '0' || s.text[i] > '9')
            return false;
        port = port * 10 + (unsigned) (s.text[i] - '0');
    }

    *ret = port;
    return port >= 1 && port <= 65535;
}

static int parse_endpoint(slice s, relay_config *c, char **ret_why) {
    static const char scheme[] = "sb://";
    const char *colon;
    slice host;

    if (!s.text)
        return refuse(ret_why, "Endpoint is missing");
    if (s.size < strlen(scheme) || strncasecmp(s.text, scheme, strlen(scheme)) != 0)
        return refuse(ret_why, "Endpoint must be sb://HOST/");

    host = (slice){s.text + strlen(scheme), s.size - strlen(scheme)};
    if (host.size > 0 && host.text[host.size - 1] == '/')
        host.size--;

    c->port = 443;
    colon = host.size > 0 ? memchr(host.text, ':', host.size) : NULL;
    if (colon) {
        slice port = {colon + 1, host.size - (size_t) (colon + 1 - host.text)};

        if (!parse_port(port, &c->port))
            return refuse(ret_why, "the port of Endpoint must be a number from 1 to 65535");
        host.size = (size_t) (colon - host.text);
    }

    if (host.size == 0 || host.size > HOST_LENGTH_MAX || !holds_only(host, ".-") ||
        host.text[0] == '.' || host.text[0] == '-')
        return refuse(ret_why, "Endpoint must be sb://HOST/ with the name of a host");

    c->host = strndup(host.text, host.size);
    if (!c->host)
        return -ENOMEM;

    for (char *p = c->host; *p; p++)
        *p = (char) tolower((unsigned char) *p);
    return 0;
}

static int parse_key(slice name, slice key, relay_config *c, char **ret_why) {
    if (!name.text || name.size == 0)
        return refuse(ret_why, "SharedAccessKeyName is missing");
    if (name.size > KEY_NAME_MAX)
        return refuse(ret_why, "SharedAccessKeyName is longer than %d characters", KEY_NAME_MAX);

    c->key_name = strndup(name.text, name.size);
    if (!c->key_name)
        return -ENOMEM;

    if (!key.text)
        return 0;
    if (key.size == 0)
        return refuse(ret_why, "SharedAccessKey is empty");
    if (key.size > KEY_MAX)
        return refuse(ret_why, "SharedAccessKey is longer than %d characters", KEY_MAX);

    return secret_new(key.text, key.size, &c->key);
}

/* Azure allows letters, digits and . - _ / in the name of a hybrid connection, so nothing of it is
 * ever percent-encoded. */
static int parse_path(slice s, relay_config *c, char **ret_why) {
    if (!s.text)
        return refuse(ret_why, "EntityPath is missing");

    while (s.size > 0 && s.text[0] == '/') {
        s.text++;
        s.size--;
    }
    while (s.size > 0 && s.text[s.size - 1] == '/')
        s.size--;

    if (s.size == 0)
        return refuse(ret_why, "EntityPath is empty");
    if (s.size > ENTITY_MAX)
        return refuse(ret_why, "EntityPath is longer than %d characters", ENTITY_MAX);
    if (!holds_only(s, ".-_/") || !holds_only((slice){s.text, 1}, "") ||
        !holds_only((slice){s.text + s.size - 1, 1}, ""))
        return refuse(ret_why, "EntityPath may hold letters, digits and . - _ / only, and begins "
                               "and ends with a letter or digit");

    c->path = strndup(s.text, s.size);
    return c->path ? 0 : -ENOMEM;
}

static int parse(const char *text, relay_config *c, char **ret_why) {
    slice parts[PART_MAX_] = {0};
    int r;

    r = split(text, parts, ret_why);
    if (r < 0)
        return r;

    r = parse_endpoint(parts[PART_ENDPOINT], c, ret_why);
    if (r < 0)
        return r;

    r = parse_key(parts[PART_KEY_NAME], parts[PART_KEY], c, ret_why);
    if (r < 0)
        return r;

    return parse_path(parts[PART_PATH], c, ret_why);
}

int relay_config_parse(const char *connection_string, relay_config *ret, char **ret_why) {
    relay_config c = {
        .keepalive_interval = 30 * USEC_PER_SEC,
        .token_lifetime = USEC_PER_HOUR,
        .reminder = USEC_PER_HOUR,
    };
    int r;

    assert(connection_string);
    assert(ret);
    assert(ret_why);

    r = parse(connection_string, &c, ret_why);
    if (r < 0) {
        relay_config_done(&c);
        return r;
    }

    *ret = c;
    return 0;
}

void relay_config_done(relay_config *c) {
    assert(c);

    free(c->name);
    free(c->host);
    free(c->path);
    free(c->key_name);
    (void) secret_free(c->key);
    free(c->ca_file);
    free(c->proxy);
    *c = (relay_config){0};
}
