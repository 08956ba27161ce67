/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The way in from the cloud. Three things behind one door:
 *
 *   relay           listens on an Azure Relay hybrid connection and hands HTTP requests over
 *   agent_keys      the agent's own keys; opens sealed requests (compact JWE)
 *   issuer          verifies access tokens against an issuer's published keys
 *
 * Everything runs on the caller's loop and nothing blocks. What a request means is not known here.
 */

#include <systemd/sd-event.h>

#include "agent/base/curl_glue.h"
#include "agent/base/json.h"
#include "agent/base/outcome.h"
#include "agent/base/secret.h"

/* ---- Hybrid connection listener ----------------------------------------------------------------
 * Microsoft: azure-relay/relay-hybrid-connections-protocol. Requests come on the control channel or
 * by rendezvous; answers of up to 64 KiB go where the request came from, larger ones by rendezvous.
 */

#define RELAY_CONTROL_MAX                                                                          \
    ((size_t) 64 * 1024)                     /* a control message; a body on the control channel */
#define RELAY_BODY_MAX ((size_t) 256 * 1024) /* a request's body by rendezvous */
/* To be under way at once, per connection. One more is answered 429 and not 503: it is the asker
 * who comes too often, Retry-After says when to come again, and 503 is left to what is out of
 * order. */
#define RELAY_REQUESTS_MAX 16

typedef struct relay relay;
typedef struct relay_request relay_request;

/* A parsed connection string, and how to reach it. Strings are owned by the config. */
typedef struct relay_config {
    char *name;                /* for logs and health: "primary" */
    char *host;                /* of Endpoint=sb://HOST[:PORT]/, lower case */
    unsigned port;             /* 443 */
    char *path;                /* EntityPath, without slashes at its ends */
    char *key_name;            /* SharedAccessKeyName */
    secret *key;               /* SharedAccessKey, as the portal shows it (not base64-decoded) */
    char *ca_file;             /* NULL: the system's */
    char *proxy;               /* NULL: none */
    usec_t keepalive_interval; /* of PING, its PONG due within half of it; default 30 s */
    usec_t token_lifetime;     /* of the SAS token; default 1 h; renewed at 75 % */
    usec_t reminder;           /* of a failure that lasts, in the log; default 1 h */
} relay_config;

/* Parses "Endpoint=sb://…/;SharedAccessKeyName=…;SharedAccessKey=…;EntityPath=…". The key may be
 * missing (key is NULL then). Values may hold '='; names are compared without case; unknown ones
 * are refused but for OperationTimeout. Sets the defaults of the other members; name, ca_file,
 * proxy stay NULL.
 *
 * Returns 0; -EINVAL with a malloc(3)ed text in *ret_why that names the part but never a key;
 * -ENOMEM. */
int relay_config_parse(const char *connection_string, relay_config *ret, char **ret_why);

/* Frees the members, not the struct; leaves it all zero. */
void relay_config_done(relay_config *c);

typedef enum relay_state {
    RELAY_STOPPED,
    RELAY_CONNECTING, /* never connected, or lost and on its way back */
    RELAY_CONNECTED,
    RELAY_STATE_MAX_,
} relay_state;

/* Where it stands. Strings are borrowed until the relay changes state again. */
typedef struct relay_status {
    relay_state state;
    usec_t since; /* CLOCK_REALTIME */
    const char
        *reason;  /* why it is not connected, for people; NULL where it is or nothing is known */
    bool is_lost; /* it was connected, and has not been tried again since (32002); else: the last
                     attempt failed (31034) */
    bool is_unreached;     /* nothing came back, or the connection broke: the relay itself refuses
                              nothing */
    unsigned reconnects;   /* how often it came back since the start */
    usec_t last_heartbeat; /* CLOCK_REALTIME of the last frame from the relay; 0: none */
    usec_t latency;        /* of the last PING; 0: none yet */
    clock_reading clock;   /* the relay's, when it was connected to last */
} relay_status;

/* A request that arrived whole (body read to its end). It must be answered exactly once with
 * relay_respond(), at once or later. The relay must not be freed in the call. */
typedef void (*relay_request_fn)(relay_request *request, void *userdata);

/* The state, or the reason for it, changed. The relay may be freed in the call. */
typedef void (*relay_state_fn)(const relay_status *status, void *userdata);

/* The relay answered a PING: `last_heartbeat` and `latency` are new. Nothing may be freed in the
 * call. */
typedef void (*relay_alive_fn)(const relay_status *status, void *userdata);

/* relay_is_quiet() became true. Nothing may be freed in the call. */
typedef void (*relay_quiet_fn)(void *userdata);

typedef struct relay_callbacks {
    relay_request_fn on_request;
    relay_state_fn on_state;
    relay_alive_fn on_alive; /* may be NULL */
    relay_quiet_fn on_quiet; /* may be NULL */
    void *userdata;
} relay_callbacks;

/* Copies nothing but the pointer: `config` must live as long as the relay. Logs its own events:
 * 31019, 31034, 32002, 32014, 32003 (messages that nobody can be answered for), 35036, 35038, and
 * 32000 where memory is out. Returns 0; -EINVAL where the config has no key; or another negative
 * errno. */
int relay_new(sd_event *event, curl_glue *glue, const relay_config *config,
              const relay_callbacks *callbacks, relay **ret);

/* Closes at once. Requests not answered yet are freed, their handles are invalid from then on;
 * answers not sent yet are lost. */
relay *relay_free(relay *r);

/* Begins to connect, and from then on never gives up: at once, then after 1, 2, 5, 10, 30, 30 … s
 * with 20 % jitter; 401, 403, 404 slower. Returns 0 or negative errno. */
int relay_start(relay *r);

/* Sends CLOSE (1000) on the control channel and stops; requests under way by rendezvous may still
 * be answered. */
void relay_stop(relay *r);

const char *relay_name(const relay *r);
const relay_status *relay_get_status(const relay *r);

/* Nothing is on its way: no answer, no rendezvous and, after relay_stop(), no control channel. Then
 * relay_free() cuts nothing off. */
bool relay_is_quiet(const relay *r);

/* Why the request can only be refused, with 400: a static text, for people. NULL: it can be served.
 */
const char *relay_request_fault(const relay_request *q);
/* What the request says. Borrowed until it is answered. "" where it has a fault and says none. */
const char *relay_request_method(const relay_request *q);
/* The path below the hybrid connection's own, without the query: "/v1/keys". What is no path, "*"
 * for example, as it is. */
const char *relay_request_path(const relay_request *q);
/* By name, without case; NULL where there is none. */
const char *relay_request_header(const relay_request *q, const char *name);
const void *relay_request_body(const relay_request *q, size_t *ret_size);
/* The relay's id of the request (TrackingId), for the log. */
const char *relay_request_tracking_id(const relay_request *q);
/* When the relay told of it (CLOCK_MONOTONIC), which may be long before it was here whole: the
 * relay's 60 s run from then on. */
usec_t relay_request_came(const relay_request *q);
const char *relay_request_relay_name(const relay_request *q);
/* True where the body is larger than RELAY_BODY_MAX (or RELAY_CONTROL_MAX on the control channel):
 * it was read to its end and thrown away; answer 413. */
bool relay_request_is_too_large(const relay_request *q);
/* True where RELAY_REQUESTS_MAX are under way already: answer 429, and at once. */
bool relay_request_is_one_too_many(const relay_request *q);
/* For the owner to hang something on; NULL at first. */
void relay_request_set_userdata(relay_request *q, void *userdata);
void *relay_request_userdata(const relay_request *q);

/* A response header, "Allow" or "Retry-After" say. */
typedef struct relay_header {
    const char *name;
    const char *value;
} relay_header;

/* Answers, and frees the request. The body is copied. Where the answer cannot be delivered any
 * more, event 35036 is logged. */
void relay_respond(relay_request *q, int status, const char *content_type,
                   const relay_header *headers, size_t n_headers, const void *body, size_t size);

/* ---- The agent's keys, sealed requests, receipts ------------------------------------------------
 * RFC 7516, 7517, 7518; kid is the RFC 7638 thumbprint.
 *
 * One key of each use is current: portals seal to the one, the agent signs with the other. A key
 * that was replaced opens (or verifies) for a grace period longer, and no key does so beyond its
 * end. */

typedef struct agent_keys agent_keys;

#define AGENT_KEYS_SEAL_SIZE 32
#define AGENT_KEYS_FILE_MAX ((size_t) 64 * 1024)

#define AGENT_KEYS_LIFETIME (180 * USEC_PER_DAY)
#define AGENT_KEYS_ROLL_AFTER (150 * USEC_PER_DAY)
#define AGENT_KEYS_GRACE (30 * USEC_PER_DAY)

/* Where the keys are, and how long they live. All borrowed. */
typedef struct agent_keys_options {
    const char *path; /* a JWK set with the private halves, mode 0600 */
    const secret
        *seal; /* AGENT_KEYS_SEAL_SIZE bytes that the file is encrypted with; NULL: it isn't */
    usec_t lifetime;        /* from a key's making to its end */
    usec_t roll_after;      /* from a key's making to its replacement */
    usec_t grace;           /* from a key's replacement to its end, where that is earlier */
    bool renewed_elsewhere; /* another agent replaces them, and they are imported from there */
} agent_keys_options;

/* Reads the keys; makes them, one for encryption and one for signing, where the file does not
 * exist; replaces those that are due (not where they are renewed elsewhere); drops those that
 * ended; encrypts the file where it was not. So it is for the start and for every now and then.
 * `now` is of CLOCK_REALTIME.
 *
 * Blocks (disk, and a lock against others who do the same): before the loop runs, or in a worker.
 * Logs 31004, 31018, 31005, 35050.
 *
 * Returns 0, and then there may be a malloc(3)ed text in *ret_why all the same: the keys are good,
 * but what was due could not be done. Or negative errno with a text. */
int agent_keys_open(const agent_keys_options *options, usec_t now, agent_keys **ret,
                    char **ret_why);

/* The same while the agent runs: where the file has gone, no keys are made in its place, and the
 * answer is -ENOENT. */
int agent_keys_tend(const agent_keys_options *options, usec_t now, agent_keys **ret,
                    char **ret_why);

/* Reads the keys and changes nothing. Returns 0, or negative errno with a text. */
int agent_keys_read(const agent_keys_options *options, agent_keys **ret, char **ret_why);

/* Replaces both current keys now. Blocks and logs as agent_keys_open(). Returns 0, or negative
 * errno with a text; the old keys stand then. */
int agent_keys_rotate(const agent_keys_options *options, usec_t now, agent_keys **ret,
                      char **ret_why);

/* Drops a key that was replaced, before its end. Returns 0; -ENOENT; -EBUSY for a current one; or
 * another negative errno; with a text. */
int agent_keys_retire(const agent_keys_options *options, const char *kid, agent_keys **ret,
                      char **ret_why);

/* The keys with their private halves, for another agent, as they are kept: encrypted where there is
 * a seal. Changes nothing. Blocks. Logs 35054. Returns 0, or negative errno with a text. */
int agent_keys_export(const agent_keys_options *options, secret **ret, char **ret_why);

/* Takes over what agent_keys_export() gave another agent: its current keys become the current ones
 * here, those that were current here are replaced by them, and those that were replaced at either
 * are kept until they end. The same a second time changes nothing. Where it is encrypted, the seal
 * must be the same. Blocks and logs as agent_keys_open(), with 35053 for each key taken over.
 *
 * Returns 0; or -EBADMSG, -ENOKEY or -EKEYREJECTED (no seal, or another one), -EKEYEXPIRED, -E2BIG
 * or another negative errno, with a text; the old keys stand then. */
int agent_keys_import(const agent_keys_options *options, const secret *text, usec_t now,
                      agent_keys **ret, char **ret_why);

agent_keys *agent_keys_free(agent_keys *k);

/* Puts other keys in the place of these, for everyone who holds `k`. Takes `with` over. */
void agent_keys_replace(agent_keys *k, agent_keys *with);

/* The public halves as a JWK set, for GET /v1/keys: kty, crv, x, y, use, alg, kid; the current ones
 * first. Borrowed. */
const json_t *agent_keys_public(const agent_keys *k);

typedef struct agent_key_info {
    const char *kid; /* borrowed */
    const char *use; /* "enc", "sig" */
    bool is_current;
    usec_t made, ends; /* CLOCK_REALTIME */
} agent_key_info;

size_t agent_keys_count(const agent_keys *k);
agent_key_info agent_keys_get(const agent_keys *k, size_t i);

/* Opens a sealed request. Allowed: compact JWE; `alg` ECDH-ES+A256KW or ECDH-ES; `enc` A256GCM;
 * `kid` one of ours that has not ended `now` (CLOCK_REALTIME); typ, cty, epk, apu, apv; any other
 * header parameter is refused before libjose sees it. The plain text is a secret.
 *
 * Returns 0; or -EBADMSG with a static text in *ret_why that says what is wrong, for people, and
 * never quotes the input; or -ENOMEM. Logs nothing. */
int agent_keys_open_sealed(const agent_keys *k, const char *jwe, size_t size, usec_t now,
                           secret **ret, const char **ret_why);

/* The receipt for an answer: a detached JWS (RFC 7515 appendix F) of the current signing key over
 * the body, ES256; the protected header says kid, iat and, where `id` is not NULL, jti.
 * malloc(3)ed. Returns 0 or -ENOMEM. Logs nothing. */
int agent_keys_sign(const agent_keys *k, const char *id, usec_t now, const void *body, size_t size,
                    char **ret);

/* What a receipt says. */
typedef struct receipt_info {
    char *kid;
    char *id; /* jti; NULL: none */
    usec_t issued;
} receipt_info;

void receipt_info_done(receipt_info *r);

/* Looks whether one of the keys (a JWK set's text, as GET /v1/keys has it) signed `text`, a
 * receipt, over the body. Returns 0; -EBADMSG with a static text in *ret_why; -ENOMEM. Logs
 * nothing. */
int receipt_verify(const char *text, const void *body, size_t size, const char *keys,
                   size_t keys_size, receipt_info *ret, const char **ret_why);

/* ---- Token issuers ------------------------------------------------------------------------------
 * OpenID Connect Discovery 1.0, RFC 7517, RFC 7519, RFC 8725; Entra's v1 and v2 access tokens. */

typedef struct issuer issuer;

typedef struct issuer_config {
    char *name;         /* of the section, for logs */
    char *url;          /* `iss`, compared as text */
    char *url_v1;       /* another `iss`: Entra's in tokens of version 1; NULL: none */
    char **audiences;   /* `aud` must be or contain one of them; NULL-terminated */
    char *tenant;       /* `tid` must be it; NULL: not looked at */
    char *metadata_url; /* NULL: url + "/.well-known/openid-configuration" */
    json_t *keys;       /* pinned: nothing is fetched; NULL: none are */
    char *ca_file;
    char *proxy;
} issuer_config;

void issuer_config_done(issuer_config *c);

/* Knows by the url which are Microsoft Entra's, of the global cloud and the national ones: fills in
 * url_v1 and, where it is NULL, tenant. Returns 0; -EINVAL with a static text in *ret_why; -ENOMEM.
 */
int issuer_config_complete(issuer_config *c, const char **ret_why);

/* Whether its tokens are Microsoft Entra's: they have a tenant. */
bool issuer_config_is_entra(const issuer_config *c);

/* Reads the keys from a file, a JWK set. Blocks for the disk. Returns 0, or negative errno with a
 * static text in *ret_why. */
int issuer_config_pin_keys(issuer_config *c, const char *path, const char **ret_why);

/* What a verified token says. Strings are borrowed from the claims and may be NULL. */
typedef struct token_claims {
    json_t *all;           /* owned */
    const char *subject;   /* sub */
    const char *object_id; /* oid */
    const char *tenant;    /* tid */
    const char *client;    /* azp, appid in v1 tokens, client_id (RFC 9068) */
    const char *upn;
    const char *preferred_name; /* preferred_username, which people may change themselves (OpenID
                                   Connect Core 1.0 section 5.7) */
    const char *onprem_sid;
    bool is_app; /* idtyp is "app"; without idtyp: no scp, and roles, and sub equals oid */
    usec_t expires;
} token_claims;

void token_claims_done(token_claims *c);
bool token_claims_has_role(const token_claims *c, const char *role);          /* roles */
bool token_claims_has_directory_role(const token_claims *c, const char *wid); /* wids */

/* Keys known or not, for health. */
typedef struct issuer_status {
    bool has_keys;
    usec_t fetched;      /* CLOCK_REALTIME of the last successful fetch; 0: never */
    const char *reason;  /* why the last fetch failed; NULL where it did not */
    clock_reading clock; /* the issuer's, at the last answer */
} issuer_status;

typedef void (*issuer_state_fn)(const issuer_status *status, void *userdata);

/* Copies nothing: `config` must live as long. Where keys are pinned, nothing is fetched. Else
 * fetches at once and then daily; after a failure after 1, 2, 5, 10, 30, 60 … s with jitter. Logs
 * 31017 and, on a failure that is not the repetition of the last, 32001. Returns 0 or negative
 * errno. */
int issuer_new(sd_event *event, curl_glue *glue, const issuer_config *config,
               issuer_state_fn on_state, void *userdata, issuer **ret);

/* Verifications that wait are cancelled, their handles are invalid from then on. */
issuer *issuer_free(issuer *i);

const issuer_status *issuer_get_status(const issuer *i);

/* The `iss` of a token without any verification, to choose the issuer by. malloc(3)ed. Returns 0 or
 * -EBADMSG. */
int token_peek_issuer(const char *token, size_t size, char **ret);
const char *issuer_url(const issuer *i);

/* Whether a token with this `iss` is for this issuer to verify. */
bool issuer_speaks_for(const issuer *i, const char *iss);

/* Verified, or not: why then tells people what is wrong (borrowed; of the token it quotes
 * algorithm, issuer, audience, tenant and times at most, cut short; escaped by the log). claims is
 * NULL then, else borrowed: whoever keeps them copies the struct and sets `*claims` to all zero.
 * The issuer must not be freed from in here. */
typedef void (*issuer_verified_fn)(int r, const char *why, token_claims *claims, void *userdata);
typedef struct issuer_call issuer_call;

/* Verifies in full: compact JWS; alg RS256, PS256 or ES256 and fit for the key; only alg, kid, typ
 * (JWT or at+jwt), x5t, x5t#S256 as header parameters (Entra also sends nonce in Graph's: refused);
 * signature; iss; aud; tid; exp, nbf and iat with 60 s of skew; not an ID token (nonce, at_hash or
 * c_hash claim, no client, or for the client itself without a scope). An unknown `kid` fetches the
 * keys again, at most once a minute, and waits for that; before the first keys everything waits for
 * them; at most 64 verifications at once, and none for longer than 10 s. The token is borrowed
 * until `verified` was called. r is 0 or -EACCES (refused), -EHOSTUNREACH (no keys to be had: the
 * same token may be good later), -ENOMEM.
 *
 * `verified` is called once: from inside this call, and then `*ret` is NULL; or later, and then the
 * call is gone with it. Returns 0, or negative errno and then it is not called. */
int issuer_verify(issuer *i, const secret *token, issuer_verified_fn verified, void *userdata,
                  issuer_call **ret);

/* Cancels; `verified` is not called. Takes NULL, returns NULL. */
issuer_call *issuer_call_free(issuer_call *call);

DEFINE_CLEANUP(relay *, relay_free);
DEFINE_CLEANUP(agent_keys *, agent_keys_free);
DEFINE_CLEANUP(issuer *, issuer_free);
