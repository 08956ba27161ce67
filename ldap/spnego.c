/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/spnego.h"

#include <errno.h>
#include <gssapi/gssapi.h>
#include <gssapi/gssapi_ext.h>
#include <gssapi/gssapi_krb5.h>
#include <krb5.h>
#include <string.h>
#include <sys/eventfd.h>

#include "agent/base/text.h"
#include "ldap/kdc.h"

struct spnego {
    char *principal, *keytab, *realm, *service;
    struct sockaddr_storage address;
    struct gss_channel_bindings_struct bindings;
    int cancel_fd; /* eventfd(2) */

    krb5_context krb5;
    krb5_ccache tickets; /* in memory, this exchange's own */
    gss_name_t peer;
    gss_cred_id_t credential;
    gss_ctx_id_t context;
    gss_buffer_desc token;
    bool is_complete;
    usec_t lifetime;

    kerberos_stage stage;
    kerberos_subject subject;
    kerberos_trouble trouble;
};

/* ---- The keytab ------------------------------------------------------------------------------ */

/* The principals in the keytab, for people: "a@X, b@X". */
static char *describe_keytab(krb5_context krb5, krb5_keytab keytab) {
    char *text = NULL;
    krb5_kt_cursor cursor;
    krb5_keytab_entry entry;

    if (krb5_kt_start_seq_get(krb5, keytab, &cursor) != 0)
        return NULL;

    while (krb5_kt_next_entry(krb5, keytab, &entry, &cursor) == 0) {
        char *name = NULL;

        /* One entry for each kind of key, hence each name several times. */
        if (krb5_unparse_name(krb5, entry.principal, &name) == 0 && (!text || !strstr(text, name)))
            text_append(&text, ", ", name);
        krb5_free_unparsed_name(krb5, name);
        (void) krb5_free_keytab_entry_contents(krb5, &entry);
    }
    (void) krb5_kt_end_seq_get(krb5, keytab, &cursor);
    return text;
}

static char *describe_keytab_error(krb5_context krb5, krb5_keytab keytab, krb5_error_code code,
                                   const char *path, const char *principal) {
    _cleanup_free_ char *others = NULL;

    switch (code) {
    case KRB5_KEYTAB_BADVNO:
    case KRB5_KT_END:
    case KRB5_KT_FORMAT:
        return text_format("the file %s is no keytab", path);
    case KRB5_KT_NOTFOUND:
        others = describe_keytab(krb5, keytab);
        return text_format("the keytab %s has no key of %s, but of %s; write Principal= as "
                           "klist -k shows it",
                           path, principal, others ? others : "nobody");
    default:
        return text_format("the keytab %s cannot be read: %s", path, strerror(code));
    }
}

/* Opens the keytab and looks for a key of the principal. */
static krb5_error_code open_keytab(krb5_context krb5, const char *path, krb5_const_principal client,
                                   const char *principal, krb5_keytab *ret, unsigned *ret_version,
                                   char **ret_why) {
    _cleanup_free_ char *name = text_format("FILE:%s", path);
    krb5_keytab keytab = NULL;
    krb5_keytab_entry entry;
    krb5_error_code code;

    if (!name)
        return ENOMEM;

    code = krb5_kt_resolve(krb5, name, &keytab);
    if (code == 0)
        code = krb5_kt_get_entry(krb5, keytab, client, 0, 0, &entry);
    if (code != 0) {
        *ret_why = describe_keytab_error(krb5, keytab, code, path, principal);
        if (keytab)
            (void) krb5_kt_close(krb5, keytab);
        return code;
    }

    *ret = keytab;
    *ret_version = entry.vno;
    (void) krb5_free_keytab_entry_contents(krb5, &entry);
    return 0;
}

int spnego_keytab_check(const char *keytab, const char *principal, char **ret_why) {
    krb5_context krb5 = NULL;
    krb5_principal client = NULL;
    krb5_keytab opened;
    krb5_error_code code;
    unsigned version;

    assert(keytab);
    assert(principal);
    assert(ret_why);

    *ret_why = NULL;
    if (krb5_init_context(&krb5) != 0) {
        *ret_why = strdup("krb5.conf(5) cannot be read");
        return -EINVAL;
    }

    code = krb5_parse_name(krb5, principal, &client);
    if (code != 0)
        *ret_why = text_format("%s is no name of an account such as svc@CORP.EXAMPLE", principal);
    else
        code = open_keytab(krb5, keytab, client, principal, &opened, &version, ret_why);
    if (code == 0)
        (void) krb5_kt_close(krb5, opened);

    krb5_free_principal(krb5, client);
    krb5_free_context(krb5);
    return code == 0 ? 0 : code == ENOMEM ? -ENOMEM : -EINVAL;
}

/* ---- Tickets --------------------------------------------------------------------------------- */

/* One round of a request for a ticket: takes the KDC's reply (nothing at first) and makes the next
 * request, or none where the ticket is there. */
typedef krb5_error_code (*request_step_fn)(krb5_context krb5, void *request, krb5_data *reply,
                                           krb5_data *ret_message, bool *ret_continues);

static krb5_error_code step_for_account(krb5_context krb5, void *request, krb5_data *reply,
                                        krb5_data *ret_message, bool *ret_continues) {
    krb5_data realm = {};
    unsigned flags = 0;
    krb5_error_code code = krb5_init_creds_step(krb5, request, reply, ret_message, &realm, &flags);

    *ret_continues = flags & KRB5_INIT_CREDS_STEP_FLAG_CONTINUE;
    krb5_free_data_contents(krb5, &realm);
    return code;
}

static krb5_error_code step_for_service(krb5_context krb5, void *request, krb5_data *reply,
                                        krb5_data *ret_message, bool *ret_continues) {
    krb5_data realm = {};
    unsigned flags = 0;
    krb5_error_code code = krb5_tkt_creds_step(krb5, request, reply, ret_message, &realm, &flags);

    *ret_continues = flags & KRB5_TKT_CREDS_STEP_FLAG_CONTINUE;
    krb5_free_data_contents(krb5, &realm);
    return code;
}

static krb5_error_code ask_controller(spnego *s, void *request, request_step_fn step) {
    krb5_data reply = {}, message = {};
    krb5_error_code code;
    bool continues;

    for (;;) {
        char *received = NULL;
        size_t size = 0;
        int r;

        code = step(s->krb5, request, &reply, &message, &continues);
        free(reply.data);
        if (code != 0 || !continues)
            break;

        r = kdc_ask(&s->address, s->cancel_fd, message.data, message.length, &received, &size);
        krb5_free_data_contents(s->krb5, &message);
        if (r < 0) {
            s->subject.network_error = -r;
            return KRB5_KDC_UNREACH;
        }
        reply.data = received;
        reply.length = (unsigned) size;
    }

    krb5_free_data_contents(s->krb5, &message);
    return code;
}

/* Where the account is of the controller's own domain, the controller is asked. The KDCs of other
 * domains are libkrb5's to find. */
static bool is_at_home(const spnego *s, krb5_const_principal client) {
    return client->realm.length == strlen(s->realm) &&
           memcmp(client->realm.data, s->realm, client->realm.length) == 0;
}

/* The account's own ticket. Once: libkrb5's more convenient functions try a second time where a key
 * is wrong, which counts as a second wrong password. */
static krb5_error_code get_account_ticket(spnego *s, krb5_principal client, krb5_keytab keytab,
                                          krb5_creds *ret) {
    krb5_init_creds_context request = NULL;
    krb5_error_code code;

    s->stage = STAGE_ACCOUNT;
    code = krb5_init_creds_init(s->krb5, client, NULL, NULL, 0, NULL, &request);
    if (code == 0)
        code = krb5_init_creds_set_keytab(s->krb5, request, keytab);
    if (code == 0)
        code = is_at_home(s, client) ? ask_controller(s, request, step_for_account)
                                     : krb5_init_creds_get(s->krb5, request);
    if (code == 0)
        code = krb5_init_creds_get_creds(s->krb5, request, ret);
    krb5_init_creds_free(s->krb5, request);
    return code;
}

static krb5_error_code keep_ticket(spnego *s, krb5_principal client, krb5_creds *ticket) {
    krb5_error_code code;

    code = krb5_cc_new_unique(s->krb5, "MEMORY", NULL, &s->tickets);
    if (code == 0)
        code = krb5_cc_initialize(s->krb5, s->tickets, client);
    if (code == 0)
        code = krb5_cc_store_cred(s->krb5, s->tickets, ticket);
    return code;
}

/* Kerberos has seconds of 32 bits, unsigned since 2038 is near. */
static usec_t lifetime_of(const krb5_ticket_times *times) {
    krb5_timestamp from = times->starttime ? times->starttime : times->authtime;

    return (usec_t) ((uint32_t) times->endtime - (uint32_t) from) * USEC_PER_SEC;
}

/* The ticket for the controller, which the library keeps with the other one. */
static krb5_error_code get_service_ticket(spnego *s, krb5_principal client) {
    krb5_creds wanted = {.client = client};
    krb5_tkt_creds_context request = NULL;
    krb5_ticket_times times;
    krb5_error_code code;

    s->stage = STAGE_SERVICE;
    code = krb5_parse_name(s->krb5, s->service, &wanted.server);
    if (code == 0)
        code = krb5_tkt_creds_init(s->krb5, s->tickets, &wanted, 0, &request);
    if (code == 0)
        code = is_at_home(s, client) ? ask_controller(s, request, step_for_service)
                                     : krb5_tkt_creds_get(s->krb5, request);
    if (code == 0)
        code = krb5_tkt_creds_get_times(s->krb5, request, &times);
    if (code == 0)
        s->lifetime = lifetime_of(&times);
    krb5_tkt_creds_free(s->krb5, request);
    krb5_free_principal(s->krb5, wanted.server);
    return code;
}

static krb5_error_code get_tickets(spnego *s, char **ret_why) {
    krb5_principal client = NULL;
    krb5_keytab keytab = NULL;
    krb5_creds own = {};
    krb5_error_code code;

    s->stage = STAGE_KEYTAB;
    code = krb5_init_context(&s->krb5);
    if (code != 0)
        return code;

    code = krb5_parse_name(s->krb5, s->principal, &client);
    if (code == 0)
        code = open_keytab(s->krb5, s->keytab, client, s->principal, &keytab,
                           &s->subject.key_version, ret_why);
    if (code == 0)
        code = get_account_ticket(s, client, keytab, &own);
    if (code == 0)
        code = keep_ticket(s, client, &own);
    if (code == 0)
        code = get_service_ticket(s, client);

    krb5_free_cred_contents(s->krb5, &own);
    if (keytab)
        (void) krb5_kt_close(s->krb5, keytab);
    krb5_free_principal(s->krb5, client);
    return code;
}

static bool need_tickets(spnego *s) {
    _cleanup_free_ char *why = NULL;
    const char *words = NULL;
    krb5_error_code code;

    if (s->tickets)
        return true;

    code = get_tickets(s, &why);
    if (code == 0)
        return true;

    if (s->krb5)
        words = krb5_get_error_message(s->krb5, code);
    s->trouble = kerberos_trouble_of(s->stage, code,
                                     why     ? why
                                     : words ? words
                                             : "krb5.conf(5) cannot be read",
                                     &s->subject);
    if (words)
        krb5_free_error_message(s->krb5, words);
    return false;
}

/* ---- Tokens ---------------------------------------------------------------------------------- */

static uint8_t spnego_oid[] = {0x2b, 0x06, 0x01, 0x05, 0x05, 0x02};
static uint8_t krb5_oid[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02};
static gss_OID_desc spnego_mechanism = {sizeof(spnego_oid), spnego_oid};
static gss_OID_desc krb5_mechanism = {sizeof(krb5_oid), krb5_oid};

static void note_gss_trouble(spnego *s, OM_uint32 major, OM_uint32 minor) {
    gss_buffer_desc general = GSS_C_EMPTY_BUFFER, special = GSS_C_EMPTY_BUFFER;
    OM_uint32 ignored, more = 0;

    (void) gss_display_status(&ignored, major, GSS_C_GSS_CODE, GSS_C_NO_OID, &more, &general);
    more = 0;
    (void) gss_display_status(&ignored, minor, GSS_C_MECH_CODE, &krb5_mechanism, &more, &special);
    s->trouble = (kerberos_trouble){
        .outcome = OUTCOME_AD_CONFIGURATION,
        .reason = text_format("cannot be signed in to by Kerberos: %.*s: %.*s",
                              (int) general.length, (const char *) general.value,
                              (int) special.length, (const char *) special.value)};
    (void) gss_release_buffer(&ignored, &general);
    (void) gss_release_buffer(&ignored, &special);
}

static OM_uint32 take_credential(spnego *s, OM_uint32 *ret_minor) {
    gss_OID_set_desc spnego_alone = {1, &spnego_mechanism}, krb5_alone = {1, &krb5_mechanism};
    gss_buffer_desc empty = GSS_C_EMPTY_BUFFER;
    gss_key_value_element_desc element = {.key = "ccache"};
    gss_key_value_set_desc store = {1, &element};
    char *tickets = NULL;
    OM_uint32 major;

    if (krb5_cc_get_full_name(s->krb5, s->tickets, &tickets) != 0) {
        *ret_minor = ENOMEM;
        return GSS_S_FAILURE;
    }

    element.value = tickets;
    major = gss_acquire_cred_from(ret_minor, GSS_C_NO_NAME, GSS_C_INDEFINITE, &spnego_alone,
                                  GSS_C_INITIATE, &store, &s->credential, NULL, NULL);
    krb5_free_string(s->krb5, tickets);

    /* Neither NTLM nor whatever else this host may have installed. */
    if (!GSS_ERROR(major))
        major = gss_set_neg_mechs(ret_minor, s->credential, &krb5_alone);
    /* Else the library offers to sign and seal, which AD refuses below TLS ("Sign or Seal are not
     * allowed if TLS is used"). */
    if (!GSS_ERROR(major))
        major = gss_set_cred_option(ret_minor, &s->credential, GSS_KRB5_CRED_NO_CI_FLAGS_X, &empty);
    return major;
}

static OM_uint32 prepare(spnego *s, OM_uint32 *ret_minor) {
    gss_buffer_desc name = {strlen(s->service), s->service};
    OM_uint32 major = GSS_S_COMPLETE;

    if (!s->credential)
        major = take_credential(s, ret_minor);
    if (!GSS_ERROR(major) && !s->peer)
        major = gss_import_name(ret_minor, &name, GSS_KRB5_NT_PRINCIPAL_NAME, &s->peer);
    return major;
}

bool spnego_step(spnego *s, const void *said, size_t size) {
    gss_buffer_desc in = {size, (void *) (uintptr_t) said};
    OM_uint32 major, minor = 0, ignored, flags = 0;

    assert(s);
    assert(!s->is_complete);

    if (!need_tickets(s))
        return false;

    (void) gss_release_buffer(&ignored, &s->token);
    major = prepare(s, &minor);
    if (!GSS_ERROR(major))
        major = gss_init_sec_context(
            &minor, s->credential, &s->context, s->peer, &spnego_mechanism, GSS_C_MUTUAL_FLAG, 0,
            s->bindings.application_data.length > 0 ? &s->bindings : GSS_C_NO_CHANNEL_BINDINGS, &in,
            NULL, &s->token, &flags, NULL);
    if (GSS_ERROR(major)) {
        note_gss_trouble(s, major, minor);
        return false;
    }

    s->is_complete = major == GSS_S_COMPLETE && (flags & GSS_C_MUTUAL_FLAG);
    return true;
}

void spnego_cancel(spnego *s) {
    assert(s);
    (void) eventfd_write(s->cancel_fd, 1);
}

const void *spnego_token(const spnego *s, size_t *ret_size) {
    assert(s);
    assert(ret_size);

    *ret_size = s->token.length;
    return s->token.length > 0 ? s->token.value : NULL;
}

bool spnego_is_complete(const spnego *s) {
    assert(s);
    return s->is_complete;
}

usec_t spnego_lifetime(const spnego *s) {
    assert(s);
    return s->lifetime;
}

const kerberos_trouble *spnego_trouble(const spnego *s) {
    assert(s);
    return &s->trouble;
}

/* ---- The exchange ---------------------------------------------------------------------------- */

/* RFC 5929 section 4: the prefix and the hash, as application data of RFC 2743's bindings. */
static int set_bindings(spnego *s, const spnego_options *o) {
    static const char prefix[] = "tls-server-end-point:";
    size_t size = strlen(prefix) + o->end_point_size;
    char *data;

    if (o->end_point_size == 0)
        return 0;

    data = malloc(size);
    if (!data)
        return -ENOMEM;

    memcpy(data, prefix, strlen(prefix));
    memcpy(data + strlen(prefix), o->end_point, o->end_point_size);
    s->bindings.application_data.value = data;
    s->bindings.application_data.length = size;
    return 0;
}

int spnego_new(const spnego_options *options, spnego **ret) {
    _cleanup_(spnego_freep) spnego *s = NULL;
    int r;

    assert(options);
    assert(ret);

    s = calloc(1, sizeof(spnego));
    if (!s)
        return -ENOMEM;

    s->address = options->address;
    s->principal = strdup(options->principal);
    s->keytab = strdup(options->keytab);
    s->realm = strdup(options->realm);
    s->service = text_format("ldap/%s@%s", options->host, options->realm);
    s->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r = set_bindings(s, options);
    if (r < 0 || !s->principal || !s->keytab || !s->realm || !s->service)
        return -ENOMEM;
    if (s->cancel_fd < 0)
        return -errno;

    s->subject =
        (kerberos_subject){.principal = s->principal, .keytab = s->keytab, .service = s->service};
    *ret = TAKE_PTR(s);
    return 0;
}

spnego *spnego_free(spnego *s) {
    OM_uint32 ignored;

    if (!s)
        return NULL;

    (void) gss_release_buffer(&ignored, &s->token);
    (void) gss_delete_sec_context(&ignored, &s->context, GSS_C_NO_BUFFER);
    (void) gss_release_name(&ignored, &s->peer);
    (void) gss_release_cred(&ignored, &s->credential);
    if (s->tickets)
        (void) krb5_cc_destroy(s->krb5, s->tickets);
    if (s->krb5)
        krb5_free_context(s->krb5);
    closep(&s->cancel_fd);
    free(s->bindings.application_data.value);
    free(s->trouble.reason);
    free(s->trouble.said);
    free(s->principal);
    free(s->keytab);
    free(s->realm);
    free(s->service);
    free(s);
    return NULL;
}
