/* SPDX-License-Identifier: Apache-2.0 */

/* writebackctl check: goes the way of a request, up to but without the reset, and says at each step
 * how it went and what would mend it. Changes nothing. */

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/base/json.h"
#include "agent/base/log.h"
#include "agent/config.h"
#include "agent/ctl/ctl.h"
#include "agent/ctl/text.h"

/* Name, connection, handshake, sign-in and a first look have 10 s each. */
#define CONTROLLERS_PATIENCE (30 * USEC_PER_SEC)
#define CALL_PATIENCE (20 * USEC_PER_SEC)

typedef enum check_stage {
    STAGE_CONFIGURATION,
    STAGE_DIRECTORY,
    STAGE_ACCOUNT,
    STAGE_POLICY_HINTS,
    STAGE_USER,
    STAGE_RIGHTS,
} check_stage;

static const struct {
    const char *name, *title;
    int status;
} stages[] = {
    [STAGE_CONFIGURATION] = {"configuration", "Configuration", CTL_CONFIG},
    [STAGE_DIRECTORY] = {"directory", "Directory", CTL_CHECK_DIRECTORY},
    [STAGE_ACCOUNT] = {"account", "The agent's account", CTL_CHECK_ACCOUNT},
    [STAGE_POLICY_HINTS] = {"policyHints", "Policy hints", CTL_CHECK_POLICY_HINTS},
    [STAGE_USER] = {"user", "User", CTL_CHECK_USER},
    [STAGE_RIGHTS] = {"rights", "Rights of the agent's account", CTL_CHECK_RIGHTS},
};

typedef struct check {
    const ctl_options *options;
    sd_event *event;
    config *config;
    directory **directories;
    int status;        /* of the first stage that failed */
    json_t *steps;     /* NULL: for people */
    const char *title; /* that was printed last */
} check;

/* ---- Telling --------------------------------------------------------------------------------- */

static void tell_people(check *c, check_stage stage, bool ok, const char *text, const char *cure) {
    if (c->title != stages[stage].title)
        printf("%s%s%s\n", ctl_begin(COLOUR_BOLD), stages[stage].title, ctl_end());
    c->title = stages[stage].title;

    printf("  %s%s%s ", ctl_begin(ok ? COLOUR_GREEN : COLOUR_RED), ok ? "✓" : "✗", ctl_end());
    text_put_printable(stdout, text);
    putchar('\n');

    /* Unwrapped: commands are there to be copied. */
    for (const char *line = cure; line && *line;) {
        size_t n = strcspn(line, "\n");
        _cleanup_free_ char *one = strndup(line, n);

        fputs("      → ", stdout);
        text_put_printable(stdout, one ? one : "");
        putchar('\n');
        line += n + (line[n] == '\n');
    }
    (void) fflush(stdout);
}

static void tell_programs(check *c, check_stage stage, bool ok, const char *name, const char *text,
                          const char *cure) {
    json_t *step = json_pack("{s:s, s:b, s:s, s:s}", "stage", stages[stage].name, "ok", ok, "name",
                             name, "text", text);
    json_t *cures = json_array();

    for (const char *line = cure; line && *line;) {
        size_t n = strcspn(line, "\n");

        (void) json_array_append_new(cures, json_stringn(line, n));
        line += n + (line[n] == '\n');
    }
    (void) json_object_set_new(step, "cure", cures);
    (void) json_array_append_new(c->steps, step);
}

/* name   of the controller, domain, user or right that it is about
 * cure   lines; NULL where there is none, and left out where all is well */
static void tell(check *c, check_stage stage, bool ok, const char *name, const char *cure,
                 char *text) {
    _cleanup_free_ char *sentence = text;

    if (!ok && c->status == EXIT_SUCCESS)
        c->status = stages[stage].status;
    if (c->steps)
        tell_programs(c, stage, ok, name, sentence ? sentence : "", ok ? NULL : cure);
    else
        tell_people(c, stage, ok, sentence ? sentence : name, ok ? NULL : cure);
}

static char *_printf_(1, 2) text(const char *format, ...) {
    char *formatted;
    va_list args;
    int n;

    va_start(args, format);
    n = vasprintf(&formatted, format, args);
    va_end(args);
    return n < 0 ? NULL : formatted;
}

static const char *steps_of(outcome o) {
    return o == OUTCOME_INVALID ? NULL : outcome_get(o)->steps;
}

/* ---- Configuration --------------------------------------------------------------------------- */

static int load_configuration(check *c) {
    const char *path = c->options->config ? c->options->config : CONFIG_PATH;
    _cleanup_free_ char *why = NULL;
    const char *cure = "Mend that; writebackd.conf(5) has all settings";
    int r;

    if (!getenv("CREDENTIALS_DIRECTORY") && access(CTL_SERVICE_CREDENTIALS, X_OK) == 0)
        (void) setenv("CREDENTIALS_DIRECTORY", CTL_SERVICE_CREDENTIALS, 0);

    r = config_load(path, &c->config, &why);
    if (r == 0) {
        tell(c, STAGE_CONFIGURATION, true, path, NULL, text("%s is right", path));
        return 0;
    }

    if ((r == -EACCES || r == -ENOENT) && geteuid() != 0)
        cure = "Run it as root: the configuration and the credentials that it names are for the "
               "service and root alone";
    else if (r == -ENOENT && access(path, F_OK) == 0)
        cure = "A credential named without a path is there while the service runs: systemctl start "
               "writebackd";
    tell(c, STAGE_CONFIGURATION, false, path, cure, text("%s", why ? why : strerror(-r)));
    return r;
}

/* ---- Controllers ----------------------------------------------------------------------------- */

static bool all_tried(const check *c) {
    for (size_t i = 0; i < c->config->n_directories; i++)
        for (size_t k = 0; k < directory_n_controllers(c->directories[i]); k++)
            if (directory_controller(c->directories[i], k)->state == CONTROLLER_UNTRIED)
                return false;
    return true;
}

static int open_directories(check *c) {
    usec_t until = now_monotonic() + CONTROLLERS_PATIENCE;
    int r = 0;

    c->directories = calloc(c->config->n_directories + 1, sizeof(directory *));
    if (!c->directories)
        return -ENOMEM;

    for (size_t i = 0; i < c->config->n_directories && r >= 0; i++)
        r = directory_new(c->event, &c->config->directories[i], NULL, NULL, &c->directories[i]);
    while (r >= 0 && !all_tried(c) && now_monotonic() < until)
        r = sd_event_run(c->event, USEC_PER_SEC / 10);
    return r;
}

static void tell_policy_hints(check *c, const controller_status *s, directory_policy_hints wanted) {
    if (wanted == POLICY_HINTS_OFF)
        tell(
            c, STAGE_POLICY_HINTS, true, s->name, NULL,
            text(
                "%s: not asked for (PolicyHints=off), so that history and minimum age do not count",
                s->name));
    else if (s->has_policy_hints)
        tell(c, STAGE_POLICY_HINTS, true, s->name, NULL,
             text("%s enforces history and minimum age at a reset", s->name));
    else if (wanted == POLICY_HINTS_PREFER)
        tell(c, STAGE_POLICY_HINTS, true, s->name, NULL,
             text("%s cannot enforce history and minimum age at a reset, and need not "
                  "(PolicyHints=prefer)",
                  s->name));
    else
        tell(c, STAGE_POLICY_HINTS, false, s->name, steps_of(OUTCOME_POLICY_HINTS_UNAVAILABLE),
             text("%s cannot enforce history and minimum age at a reset, so it is not used for one "
                  "(PolicyHints=require)",
                  s->name));
}

static void tell_connection(check *c, const controller_status *s) {
    char date[RFC3339_MAX];

    if (s->state == CONTROLLER_USABLE || s->is_account_refused)
        tell(c, STAGE_DIRECTORY, true, s->name, NULL,
             s->not_after > 0 ? text("%s is connected; its certificate is good until %s", s->name,
                                     rfc3339_utc(s->not_after, date))
                              : text("%s is connected; its certificate is good", s->name));
    else
        tell(c, STAGE_DIRECTORY, false, s->name, steps_of(s->outcome),
             text("%s: %s", s->name, s->reason ? s->reason : "it did not answer in time"));
}

static void tell_sign_in(check *c, const controller_status *s, const char *account) {
    if (s->state == CONTROLLER_USABLE)
        tell(c, STAGE_ACCOUNT, true, s->name, NULL,
             text("%s is signed in to %s", account, s->name));
    else if (s->is_account_refused)
        tell(c, STAGE_ACCOUNT, false, s->name, steps_of(OUTCOME_SERVICE_ACCOUNT_REFUSED),
             text("%s: %s", s->name, s->reason ? s->reason : "it refuses the agent's account"));
}

/* Stage by stage, so that like stands by like. */
static void tell_controllers(check *c) {
    for (check_stage stage = STAGE_DIRECTORY; stage <= STAGE_POLICY_HINTS; stage++)
        for (size_t i = 0; i < c->config->n_directories; i++) {
            const directory_config *domain = &c->config->directories[i];

            for (size_t k = 0; k < directory_n_controllers(c->directories[i]); k++) {
                const controller_status *s = directory_controller(c->directories[i], k);

                if (stage == STAGE_DIRECTORY)
                    tell_connection(c, s);
                else if (stage == STAGE_ACCOUNT)
                    tell_sign_in(c, s, domain->bind_dn);
                else if (s->state == CONTROLLER_USABLE)
                    tell_policy_hints(c, s, domain->policy_hints);
            }
        }
}

static bool is_usable(directory *d) {
    for (size_t i = 0; i < directory_n_controllers(d); i++)
        if (directory_controller(d, i)->state == CONTROLLER_USABLE)
            return true;
    return false;
}

/* ---- Rights ---------------------------------------------------------------------------------- */

/* A call, waited for. */
typedef struct asked {
    check *check;
    directory *directory;
    directory_account *account; /* found */
    outcome outcome;
    char *detail;
    bool done;
} asked;

static void wait_for(asked *a) {
    while (!a->done && sd_event_run(a->check->event, UINT64_MAX) >= 0)
        ;
}

/* What is missing is told together, since much of it has one cause. */
static void tell_rights(check *c, const char *domain, const directory_rights *rights) {
    for (directory_right r = 0; r < DIRECTORY_RIGHTS_MAX; r++) {
        const char *name = directory_right_name(r);
        bool held = rights->right[r].held;

        if (rights->has_account || r == RIGHT_UNEXPIRE_PASSWORD)
            tell(c, STAGE_RIGHTS, held, name, NULL,
                 text("%s is %s", name, held ? "held" : "missing"));
    }

    if (rights->missing)
        tell(c, STAGE_RIGHTS, false, domain, rights->steps, text("%s", rights->missing));
}

static void on_rights(directory_reply *reply, void *userdata) {
    asked *a = userdata;
    const char *domain = directory_domain(a->directory);

    a->done = true;
    if (reply->rights)
        tell_rights(a->check, domain, reply->rights);
    else
        tell(a->check, STAGE_RIGHTS, false, domain, steps_of(reply->outcome),
             text("%s", reply->detail));
}

/* account   NULL: on the domain only */
static void check_rights(check *c, directory *d, const directory_account *account) {
    asked a = {.check = c, .directory = d};
    directory_call *call;

    if (directory_check_rights(d, account, now_monotonic() + CALL_PATIENCE, on_rights, &a, &call) ==
        0)
        wait_for(&a);
}

/* ---- User ------------------------------------------------------------------------------------ */

static directory_identifier_type guess_type(const char *text) {
    static const directory_identifier_type types[] = {IDENTIFIER_SID, IDENTIFIER_OBJECT_GUID,
                                                      IDENTIFIER_USER_PRINCIPAL_NAME};
    const char *why;

    for (size_t i = 0; i < ELEMENTSOF(types); i++)
        if (directory_identifier_check(&(directory_identifier){types[i], text}, &why) == 0)
            return types[i];
    return IDENTIFIER_SAM_ACCOUNT_NAME;
}

static void on_located(directory_reply *reply, void *userdata) {
    asked *a = userdata;

    a->done = true;
    a->outcome = reply->outcome;
    a->detail = strdup(reply->detail);
    a->account = TAKE_PTR(reply->account);
}

static void tell_account(check *c, const directory_account_info *i) {
    tell(c, STAGE_USER, true, i->dn, NULL,
         text("%s is %s%s%s%s", i->sam_account_name, i->dn, i->locked_out ? ", locked out" : "",
              i->is_privileged ? ", privileged" : "",
              i->must_change ? ", must change the password at the next sign-in" : ""));
    if (!i->enabled)
        tell(c, STAGE_USER, false, i->dn, steps_of(OUTCOME_AD_ACCOUNT_DISABLED),
             text("%s is disabled, and is not given a password", i->sam_account_name));
}

/* Returns whether the domain had something to say of the user. */
static bool check_user_in(check *c, directory *d, const directory_identifier *id) {
    asked a = {.check = c, .directory = d, .outcome = OUTCOME_UNKNOWN_ERROR};
    directory_call *call;

    if (directory_locate(d, id, now_monotonic() + CALL_PATIENCE, on_located, &a, &call) == 0)
        wait_for(&a);

    if (a.account)
        tell_account(c, directory_account_get(a.account));
    else if (a.outcome != OUTCOME_AD_USER_NOT_FOUND)
        tell(c, STAGE_USER, false, id->value, steps_of(a.outcome),
             text("%s in %s: %s", id->value, directory_domain(d), a.detail ? a.detail : "?"));
    check_rights(c, d, a.account);

    directory_account_free(a.account);
    free(a.detail);
    return a.outcome != OUTCOME_AD_USER_NOT_FOUND;
}

static void check_user(check *c, const char *user) {
    const directory_identifier id = {guess_type(user), user};
    const char *why = NULL;
    bool told = false, any_asked = false;

    if (directory_identifier_check(&id, &why) < 0)
        return tell(c, STAGE_USER, false, user,
                    "Give a user principal name, an account name, an objectGUID or a SID",
                    text("%s: %s", user, why));

    for (size_t i = 0; i < c->config->n_directories; i++)
        if (is_usable(c->directories[i])) {
            any_asked = true;
            told |= check_user_in(c, c->directories[i], &id);
        }
    if (any_asked && !told)
        tell(c, STAGE_USER, false, user, steps_of(OUTCOME_AD_USER_NOT_FOUND),
             text("%s is in none of the domains that could be asked", user));
}

/* ---- The command ----------------------------------------------------------------------------- */

static void check_all(check *c) {
    if (load_configuration(c) < 0)
        return;

    if (open_directories(c) < 0)
        return tell(c, STAGE_DIRECTORY, false, "directory", NULL, text("memory is short"));

    tell_controllers(c);
    if (c->options->user)
        return check_user(c, c->options->user);
    for (size_t i = 0; i < c->config->n_directories; i++)
        if (is_usable(c->directories[i]))
            check_rights(c, c->directories[i], NULL);
}

static void print_json(check *c) {
    json_t *document =
        json_pack("{s:s, s:i, s:O}", "status", c->status == EXIT_SUCCESS ? "pass" : "fail",
                  "exitStatus", c->status, "steps", c->steps);

    (void) json_dumpf(document, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(document);
}

int ctl_check(const ctl_options *options) {
    check c = {.options = options, .status = EXIT_SUCCESS};
    int lock_error;

    if (options->n_arguments > 0) {
        fputs("writebackctl: check takes no argument; a user is given with --user\n", stderr);
        return CTL_USAGE;
    }

    /* A controller that hangs up is told as such. What the directory room logs is told here in
     * other words. */
    (void) signal(SIGPIPE, SIG_IGN);
    log_set_max_level(-1);
    if (secret_memory_init(&lock_error) < 0 || sd_event_new(&c.event) < 0) {
        fputs("writebackctl: out of memory\n", stderr);
        return EXIT_FAILURE;
    }

    c.steps = options->json ? json_array() : NULL;
    check_all(&c);
    if (options->json)
        print_json(&c);

    for (size_t i = 0; c.directories && i < c.config->n_directories; i++)
        directory_free(c.directories[i]);
    free(c.directories);
    config_free(c.config);
    sd_event_unref(c.event);
    json_decref(c.steps);
    return c.status;
}
