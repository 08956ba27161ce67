/* SPDX-License-Identifier: Apache-2.0 */
#include "ldap/kerberos_trouble.h"

#include <krb5.h>
#include <string.h>

#include "agent/base/text.h"
#include "ldap/kdc.h"

/* What the KDC says of the account: no other controller would say anything else. */
static bool explain_account(int code, const kerberos_subject *s, kerberos_trouble *t) {
    switch (code) {
    case KRB5KDC_ERR_PREAUTH_FAILED:
    case KRB5KRB_AP_ERR_BAD_INTEGRITY:
    case KRB5_KT_KVNONOTFOUND:
        t->is_wrong_password = true;
        t->reason =
            text_format("the key of %s in the keytab %s (version %u) is not the account's: "
                        "its password was changed since the keytab was made; make a new one",
                        s->principal, s->keytab, s->key_version);
        return true;
    case KRB5KDC_ERR_C_PRINCIPAL_UNKNOWN:
        t->is_wrong_password = true;
        t->reason = text_format("the directory has no account %s; write Principal= as "
                                "sAMAccountName@REALM, the realm in capitals",
                                s->principal);
        return true;
    case KRB5KDC_ERR_CLIENT_REVOKED:
        t->reason = strdup("the account is disabled, locked out, or may not sign in at this hour; "
                           "mend it in the directory");
        return true;
    case KRB5KDC_ERR_NAME_EXP:
        t->reason = strdup("the account has expired; mend it in the directory");
        return true;
    case KRB5KDC_ERR_KEY_EXP:
        t->reason = strdup("the account's password has expired, or must be changed first; mend it "
                           "in the directory, and make a new keytab");
        return true;
    case KRB5KDC_ERR_POLICY:
        t->reason = strdup("a policy of the domain forbids the account to sign in from this host");
        return true;
    case KRB5KDC_ERR_ETYPE_NOSUPP:
    case KRB5_PREAUTH_FAILED:
        t->reason = text_format("account and keytab %s have no encryption type in common; make a "
                                "keytab with AES keys (klist -k -e shows what it has)",
                                s->keytab);
        return true;
    default:
        return false;
    }
}

static char *explain_unreachable(const kerberos_subject *s) {
    if (s->network_error != 0)
        return text_format(
            "cannot be asked for a Kerberos ticket on port %d: %s; the firewall must "
            "let it through (TCP)",
            KDC_PORT, strerror(s->network_error));
    return text_format("cannot be signed in to: no KDC of the realm of %s can be found or reached; "
                       "name one in krb5.conf(5), or let this host use the domain's DNS",
                       s->principal);
}

static char *explain_other(kerberos_stage stage, int code, const char *message,
                           const kerberos_subject *s, outcome *ret_outcome) {
    switch (code) {
    case KRB5_KDC_UNREACH:
    case KRB5_REALM_UNKNOWN:
    case KRB5_REALM_CANT_RESOLVE:
        *ret_outcome = OUTCOME_AD_NOT_REACHABLE;
        return explain_unreachable(s);
    case KRB5KRB_AP_ERR_SKEW:
    case KRB5_KDCREP_SKEW:
    case KRB5KRB_AP_ERR_TKT_NYV:
        return strdup("has another time than this host: their clocks must agree within five "
                      "minutes for Kerberos; see timedatectl");
    case KRB5KDC_ERR_S_PRINCIPAL_UNKNOWN:
        return text_format("is not known to the KDC as %s; Controllers= must have the controller's "
                           "own full name, and setspn -L shows those it is known by",
                           s->service);
    default:
        return text_format(stage == STAGE_SERVICE ? "gives no Kerberos ticket for itself (%s): %s"
                                                  : "gives no Kerberos ticket to %s: %s",
                           stage == STAGE_SERVICE ? s->service : s->principal, message);
    }
}

kerberos_trouble kerberos_trouble_of(kerberos_stage stage, int code, const char *message,
                                     const kerberos_subject *subject) {
    kerberos_trouble t = {.outcome = OUTCOME_AD_CONFIGURATION};

    assert(message);
    assert(subject);

    if (stage == STAGE_KEYTAB)
        t.reason = text_format("is not signed in to: %s", message);
    else if (stage == STAGE_ACCOUNT && explain_account(code, subject, &t)) {
        t.is_refusal = true;
        t.said = text_format("Kerberos: %s", message);
    } else
        t.reason = explain_other(stage, code, message, subject, &t.outcome);
    return t;
}

const char *kerberos_silence(const char *principal, const char *realm) {
    const char *at;

    assert(principal);
    assert(realm);

    at = strrchr(principal, '@');
    return !at || strcmp(at + 1, realm) == 0
               ? "gives no Kerberos ticket: its KDC (TCP port 88) does not answer"
               : "is not signed in to: no KDC of the account's realm (TCP port 88), which is "
                 "another than the controller's, answers; /etc/krb5.conf or DNS (SRV "
                 "_kerberos._tcp) says which they are";
}
