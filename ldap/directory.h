/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Active Directory as this agent sees it: find an account, look at it, set its password.
 *
 * Every call is asynchronous and runs on the caller's loop; nothing here blocks. A call ends
 * exactly once, in `done`, never from inside the call that began it, and no later than its
 * deadline. Freeing the call first cancels it; what becomes of a modify that has left this host is
 * then not looked into: that its answer came late, or was lost, is logged, and that is all. The
 * process must ignore SIGPIPE. */

#include <systemd/sd-event.h>

#include "agent/base/clock.h"
#include "agent/base/outcome.h"
#include "agent/base/secret.h"

typedef struct directory directory;
typedef struct directory_call directory_call;

typedef enum directory_policy_hints {
    POLICY_HINTS_REQUIRE, /* a controller without the control is not used for resets */
    POLICY_HINTS_PREFER,  /* sent where the controller has it */
    POLICY_HINTS_OFF,
} directory_policy_hints;

typedef enum directory_bind_method {
    BIND_SIMPLE,
    BIND_KERBEROS,
} directory_bind_method;

/* Of one domain. */
#define DIRECTORY_CONTROLLERS_MAX 64

/* One domain. Strings are owned by the config. */
typedef struct directory_config {
    char *domain;       /* "corp.example" */
    char **controllers; /* host names with an optional :port (636), NULL-terminated, in order of
                           preference; may be NULL where DNS is asked */
    bool discovers;     /* DNS is asked too (SRV) */
    char *site;         /* whose controllers DNS is asked for first; NULL: found by the directory's
                           subnets */
    bool prefers_pdc;   /* the PDC emulator before all others */
    char *base_dn;      /* where accounts are looked for; NULL: the domain's (rootDSE) */
    directory_bind_method bind_method;
    char *bind_dn; /* DN or userPrincipalName of the agent's own account; by Kerberos its principal,
                      with the realm */
    secret *bind_password; /* not by Kerberos */
    char *keytab;          /* by Kerberos: an absolute path. Read anew for each bind */
    char *ca_file;         /* NULL and no ca_directory: the system's */
    char *ca_directory;
    directory_policy_hints policy_hints;
    char **privileged_groups; /* DNs; members, nested too, are privileged beside adminCount=1; may
                                 be NULL */
    /* DNs of units (what is below them is meant), groups (their members, nested too) or single
     * accounts; may be NULL. What is denied is denied; where anything is allowed, only that is. */
    char **allowed_targets, **denied_targets;
} directory_config;

void directory_config_done(directory_config *c);

/* Whether it is one of `controllers`: a host name or an address with an optional :port, "[…]:port"
 * for IPv6. Not looked up. */
bool directory_controller_check(const char *text);

/* Whether the keytab has a key of the principal. Reads files. Returns 0; -EINVAL with a malloc(3)ed
 * text that says what is wrong; -ENOMEM. */
int directory_keytab_check(const char *keytab, const char *principal, char **ret_why);

typedef enum controller_state {
    CONTROLLER_UNTRIED,
    CONTROLLER_USABLE,
    CONTROLLER_UNUSABLE,
    CONTROLLER_GONE, /* it is none of the domain's any more, or none that can be chosen: to be
                        forgotten */
} controller_state;

/* One controller, for health and metrics. Strings are borrowed until the next change. */
typedef struct controller_status {
    const char *name;
    controller_state state;
    usec_t since;       /* CLOCK_REALTIME */
    const char *reason; /* why it cannot be used, for people: "it bears a certificate that …" */
    outcome outcome; /* the same as a word: OUTCOME_AD_NOT_REACHABLE, OUTCOME_AD_CONFIGURATION …;
                        OUTCOME_CONTROLLERS_NOT_FOUND where it stands for DNS */
    bool is_account_refused; /* it, or another one before it, refuses the agent's account */
    bool has_policy_hints;
    usec_t not_after;    /* of its certificate, CLOCK_REALTIME; 0: unknown */
    usec_t latency;      /* of the last answer; 0: none */
    clock_reading clock; /* the controller's */
} controller_status;

typedef void (*directory_state_fn)(directory *d, void *userdata);

/* Keeps `config` (borrowed: must live as long). Connects to every controller and stays connected; a
 * call goes to the first in the list that can be used. Tries again by itself what fails. Logs
 * 35031, 35032, 35033, 35034, 35044 on change, and 35039 once, when the agent's account turns out
 * to lack a right on the domain. `on_state` is called when a controller's status changes, or which
 * controllers there are; it may begin and free calls, but not free the directory; it may be NULL.
 * Returns 0; -EINVAL where the configuration lacks domain, controllers, bind DN, or bind password
 * or keytab, or a controller's name is none; -E2BIG for more than DIRECTORY_CONTROLLERS_MAX; or
 * another negative errno. */
int directory_new(sd_event *event, const directory_config *config, directory_state_fn on_state,
                  void *userdata, directory **ret);

/* Frees what calls are left, without an end; not to be called from a `done`. Takes NULL, returns
 * NULL. */
directory *directory_free(directory *d);

const char *directory_domain(const directory *d);
/* PolicyHints=require. */
bool directory_needs_policy_hints(const directory *d);

/* Whether they are required and none of the controllers that can be used now has them, so that
 * whatever sets a password would end in OUTCOME_POLICY_HINTS_UNAVAILABLE. Then *ret_why says so of
 * each controller: malloc(3)ed, or NULL where memory is out. */
bool directory_lacks_policy_hints(directory *d, char **ret_why);

/* Where DNS is asked for controllers, the last one stands for DNS, and is gone as soon as it knows
 * of some. */
size_t directory_n_controllers(const directory *d);
const controller_status *directory_controller(directory *d, size_t index);

/* ---- Who is meant ---------------------------------------------------------------------------- */

typedef enum directory_identifier_type {
    IDENTIFIER_IMMUTABLE_ID, /* base64 of 16 bytes: mS-DS-ConsistencyGuid, else objectGUID */
    IDENTIFIER_OBJECT_GUID,  /* dashed, as text */
    IDENTIFIER_SID,          /* "S-1-5-21-…" */
    IDENTIFIER_USER_PRINCIPAL_NAME,
    IDENTIFIER_SAM_ACCOUNT_NAME, /* in this domain */
} directory_identifier_type;

typedef struct directory_identifier {
    directory_identifier_type type;
    const char *value; /* UTF-8, from the request; escaped here */
} directory_identifier;

/* Whether the text has the form that its type needs. Returns 0 or -EINVAL with a static text. */
int directory_identifier_check(const directory_identifier *id, const char **ret_why);

/* Whether the text is a distinguished name (RFC 4514). */
bool directory_dn_check(const char *text);

/* ---- An account, as found -------------------------------------------------------------------- */

typedef struct directory_account directory_account;

/* What allowed_targets and denied_targets say of an account. */
typedef enum directory_scope {
    SCOPE_INSIDE,
    SCOPE_NOT_ALLOWED,
    SCOPE_DENIED,
} directory_scope;

typedef struct directory_account_info {
    const char *dn;
    const char *guid;                /* dashed, lower case */
    const char *sid;                 /* "S-1-5-21-…" */
    const char *user_principal_name; /* NULL where it has none */
    const char *sam_account_name;
    const char *controller; /* that told it */
    bool enabled;
    bool locked_out;    /* msDS-User-Account-Control-Computed, so that an expired lockout is none */
    bool must_change;   /* pwdLastSet is 0 and the password may expire */
    bool is_protected;  /* adminCount=1 */
    bool is_privileged; /* is_protected, or member (nested) of a configured group */
    directory_scope scope;
    usec_t password_last_set; /* CLOCK_REALTIME; 0: never or must change */
} directory_account_info;

const directory_account_info *directory_account_get(const directory_account *a);
directory_account *directory_account_free(directory_account *a);

/* ---- Calls ----------------------------------------------------------------------------------- */

/* A rule of the password policy that the refusal names, with the figure it asks for where it has
 * one. */
typedef struct directory_policy_reason {
    const char *rule; /* "minimumPasswordLength", "passwordComplexity", "passwordHistory",
                         "minimumPasswordAge", "passwordFilter", "userCannotChangePassword" */
    unsigned long long required; /* characters, passwords remembered, seconds; 0: no figure */
} directory_policy_reason;

#define DIRECTORY_REASONS_MAX 8

/* The rights that the agent's own account needs, MS-ADTS 5.1.3.2. */
typedef enum directory_right {
    RIGHT_RESET_PASSWORD,     /* on the account */
    RIGHT_WRITE_LOCKOUT_TIME, /* to unlock it */
    RIGHT_WRITE_PWD_LAST_SET, /* to have its password changed at the next sign-in */
    RIGHT_UNEXPIRE_PASSWORD,  /* on the domain; else a reset leaves "must change" behind (MS-SAMR
                                 3.1.1.8.7) */
    DIRECTORY_RIGHTS_MAX,
} directory_right;

/* Where it was asked for one account, of that and of the domain; else of the domain alone. */
typedef struct directory_rights {
    char *agent;             /* its account, as dsacls takes it: "CORP\svc-writeback" */
    bool has_account;        /* the rights on an account were looked at */
    bool is_inheriting;      /* the account takes over permissions of the unit that it is in */
    bool is_admin_protected; /* by AdminSDHolder: adminCount=1, and not inheriting */
    struct {
        bool held;
        char *denied_to; /* SID whose entry denies the right; NULL: none does */
        char *dsacls;    /* the command that grants it; NULL where it is held, and out of memory */
        char *ace;       /* the same as an entry in SDDL */
    } right[DIRECTORY_RIGHTS_MAX];
    char *missing; /* "CORP\svc-writeback lacks Reset Password on CN=…"; NULL: nothing is missing */
    char *steps;   /* what to do, lines separated by \n; NULL where nothing is missing */
} directory_rights;

/* "Reset Password". Static. */
const char *directory_right_name(directory_right r);

/* How a call ended. Strings are borrowed until `done` returns. */
typedef struct directory_reply {
    outcome outcome;        /* OUTCOME_INVALID: it succeeded */
    const char *detail;     /* for people: what went wrong, with the directory's own words */
    const char *controller; /* that answered, or was tried last; NULL: none */
    int ldap_result;        /* of the directory; -1: none came */
    uint32_t ad_error;      /* the first eight hex digits of its diagnostic text; 0: none */
    bool sent;              /* the modify has left this host */

    directory_account *account; /* locate: the callee's to take with TAKE_PTR */

    /* check_rights; and a reset that was refused for a missing right, where they could be seen */
    const directory_rights *rights;

    usec_t password_last_set;  /* reset, change: read back; 0: could not be read */
    bool account_unlocked;     /* reset, unlock: of an account that was locked */
    bool account_still_locked; /* reset: without unlockAccount on a locked account */
    bool must_change;          /* reset: must change at next sign-in was set */
    bool
        must_change_failed; /* reset: was asked for and refused; the password is set all the same */
    bool must_change_unknown;  /* reset: was asked for, and not answered; the password is set */
    bool history_not_enforced; /* reset: done without policy hints */
    bool answer_lost; /* the modify was not answered; that it was done has been found by looking */
    bool already_set; /* reset, change: an earlier attempt of the request had set the password */

    directory_policy_reason reasons[DIRECTORY_REASONS_MAX]; /* of OUTCOME_AD_PASSWORD_POLICY */
    size_t n_reasons;
} directory_reply;

typedef void (*directory_done_fn)(directory_reply *reply, void *userdata);

/* Finds one account and looks at it. OUTCOME_AD_USER_NOT_FOUND, OUTCOME_AD_MULTI_MATCH, and the
 * outcomes of an unusable directory. Returns 0; -EINVAL where directory_identifier_check() would
 * refuse the identifier; or another negative errno. Logs nothing. */
int directory_locate(directory *d, const directory_identifier *id, usec_t deadline,
                     directory_done_fn done, void *userdata, directory_call **ret);

/* The modify is about to leave for this controller (borrowed), and for no other. It waits for
 * directory_call_go_on(), which may be called at once; its deadline waits too. Called anew where it
 * was not done there and goes to another one. */
typedef void (*directory_sending_fn)(const char *controller, void *userdata);

/* An attempt to carry out a request of somebody's. */
typedef struct directory_attempt {
    usec_t issued;       /* CLOCK_REALTIME: when it was asked for; 0: unknown */
    bool sent_before;    /* an earlier attempt may have sent its modify, and what came of it is not
                            known: that is settled first */
    const char *sent_to; /* by that one, as on_sending() told it; NULL: not known. Borrowed until
                            done */
    usec_t deadline;     /* CLOCK_MONOTONIC */
    directory_sending_fn on_sending; /* with the call's userdata; NULL: it is sent at once */
} directory_attempt;

/* After on_sending(). refusal: OUTCOME_INVALID: it may leave; else the call ends with that, and
 * nothing is sent. why: for people; copied. */
void directory_call_go_on(directory_call *call, outcome refusal, const char *why);

typedef enum directory_reset_flags {
    RESET_UNLOCK = 1 << 0,      /* also lockoutTime=0, in the same modify */
    RESET_MUST_CHANGE = 1 << 1, /* pwdLastSet=0, a second modify after the first succeeded */
} directory_reset_flags;

/* Sets a password as an administrator (MS-ADTS 3.1.1.3.1.5.1) under the domain's policy (policy
 * hints, MS-ADTS 3.1.1.3.4.1.27), on the controller that the account was found on.
 *
 * account    where directory_locate() found it; borrowed until done
 * password   UTF-8; borrowed until done; see directory_password_check()
 * done       in reply: controller, password_last_set, and the flags that tell what else was done
 *
 * A modify that was sent and not answered is never repeated. What became of it is found out by
 * looking: at pwdLastSet, and where a password was set, by one bind as the user with the new one.
 * It ends in success (answer_lost); in OUTCOME_AD_NOT_REACHABLE where it was certainly not done; or
 * in OUTCOME_OUTCOME_UNKNOWN where that cannot be told by the deadline. Any controller may say that
 * it was done, as soon as it has heard of it. Only the one that the modify was sent to may say that
 * it was not (where that is not known: all together); while it is away, or if it is none of the
 * domain's any more, that stays unknown. Nothing is sent in the last three seconds before the
 * deadline: that too is OUTCOME_AD_NOT_REACHABLE.
 *
 * A password that is refused for its history, its age or no rule that can be told, set since the
 * request was issued, and with which the user can sign in, was set by this request before: it
 * succeeds (already_set).
 *
 * Returns 0, or -ENOMEM. Logs nothing. */
int directory_reset(directory *d, const directory_account *account, const secret *password,
                    directory_reset_flags flags, const directory_attempt *attempt,
                    directory_done_fn done, void *userdata, directory_call **ret);

/* Looks at what the agent's own account may do, and changes nothing: the verdict is the one that a
 * controller comes to from the same access lists (MS-ADTS 5.1.3.3). Membership in groups counts as
 * it was when the agent signed in.
 *
 * account    where directory_locate() found it; borrowed until done; NULL: rights on the domain
 * only done       reply->rights; NULL with OUTCOME_AD_PERMISSIONS where the agent's account may not
 * read the permissions, so that nothing is known
 *
 * Returns 0, or -ENOMEM. Logs nothing. */
int directory_check_rights(directory *d, const directory_account *account, usec_t deadline,
                           directory_done_fn done, void *userdata, directory_call **ret);
/* Changes a password as its owner does: the current one is deleted and the new one added in one
 * modify (MS-ADTS 3.1.1.3.1.5.1), which needs no right but Change Password, and which the directory
 * refuses where the current one is wrong (OUTCOME_AD_INCORRECT_PASSWORD; it counts towards lockout)
 * or the account is locked (OUTCOME_AD_ACCOUNT_LOCKED_OUT). The domain's whole policy holds.
 *
 * account, passwords, done, return value: as directory_reset(). */
int directory_change(directory *d, const directory_account *account, const secret *current_password,
                     const secret *new_password, const directory_attempt *attempt,
                     directory_done_fn done, void *userdata, directory_call **ret);

/* Clears a lockout: lockoutTime=0. Succeeds on an account that is not locked too. In reply:
 * account_unlocked tells whether it was. Otherwise as directory_reset(). */
int directory_unlock(directory *d, const directory_account *account,
                     const directory_attempt *attempt, directory_done_fn done, void *userdata,
                     directory_call **ret);

/* Whether a password can be put into unicodePwd at all: valid UTF-8, no NUL, 1 to 256 UTF-16 units.
 * Returns 0; -EINVAL with a static text that tells why and quotes nothing; -ENOMEM. */
int directory_password_check(const secret *password, const char **ret_why);

/* Cancels; `done` is not called. Takes NULL, returns NULL. */
directory_call *directory_call_free(directory_call *call);

DEFINE_CLEANUP(directory *, directory_free);
DEFINE_CLEANUP(directory_account *, directory_account_free);
