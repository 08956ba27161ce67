/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's keys, beside a running agent or without one: it sees the file change. */

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/base/encoding.h"
#include "agent/base/file.h"
#include "agent/base/log.h"
#include "agent/config.h"
#include "agent/config_file.h"
#include "agent/ctl/ctl.h"
#include "agent/ctl/keys_share.h"
#include "agent/ctl/say.h"
#include "agent/ctl/text.h"

/* What is known of the keys before they are read. */
typedef struct place {
    config_file file;
    char *folder, *path;
    secret *seal, *imported;
    agent_keys_options options;
} place;

static void place_done(place *p) {
    config_file_done(&p->file);
    free(p->folder);
    free(p->path);
    (void) secret_free(p->seal);
    (void) secret_free(p->imported);
}

/* ---- Where they are -------------------------------------------------------------------------- */

/* Of what stands twice, and of a wrong value, writebackd itself tells. */
static const char *setting(const place *p, const char *section, const char *key) {
    for (size_t i = 0; i < p->file.n_sections; i++) {
        const config_section *s = &p->file.sections[i];

        for (size_t k = 0; strcmp(s->type, section) == 0 && k < s->n_settings; k++)
            if (strcmp(s->settings[k].key, key) == 0 && *s->settings[k].value)
                return s->settings[k].value;
    }
    return NULL;
}

static int get_duration(const place *p, const char *key, usec_t fallback, usec_t *ret) {
    const char *text = setting(p, "Keys", key);

    *ret = fallback;
    return text ? usec_parse(text, ret) : 0;
}

static int read_config(place *p, const char *path) {
    _cleanup_free_ char *why = NULL;
    const char *folder, *renew;

    if (!path)
        path = CONFIG_PATH;
    if (config_file_read(path, &p->file, &why) < 0)
        return ctl_complain(CTL_CONFIG, "%s", why ? why : "out of memory");

    folder = setting(p, "Agent", "StateDirectory");
    p->folder = strdup(folder ? folder : CONFIG_STATE_DIRECTORY);
    if (!p->folder || asprintf(&p->path, "%s/keys.json", p->folder) < 0)
        return ctl_complain(EXIT_FAILURE, "out of memory");

    renew = setting(p, "Keys", "Renew");
    p->options.path = p->path;
    p->options.renewed_elsewhere = renew && strcmp(renew, "no") == 0;
    if (get_duration(p, "Lifetime", AGENT_KEYS_LIFETIME, &p->options.lifetime) < 0 ||
        get_duration(p, "RollAfter", AGENT_KEYS_ROLL_AFTER, &p->options.roll_after) < 0 ||
        get_duration(p, "Grace", AGENT_KEYS_GRACE, &p->options.grace) < 0)
        return ctl_complain(CTL_CONFIG,
                            "%s: [Keys] is wrong; writebackd --check-config names the line", path);
    return EXIT_SUCCESS;
}

/* Before this process becomes the service's user: the credential is root's to read as well. */
static int read_seal(place *p) {
    const char *name = setting(p, "Keys", "SealCredential");
    _cleanup_(secret_freep) secret *text = NULL;
    _cleanup_free_ char *path = NULL;
    size_t size = 0;
    int r;

    (void) setenv("CREDENTIALS_DIRECTORY", CTL_SERVICE_CREDENTIALS, 0);
    r = credential_read(name ? name : CONFIG_SEAL_CREDENTIAL, &text, &path);
    if (r == -ENOENT)
        return EXIT_SUCCESS;
    if (r < 0)
        return ctl_complain(EXIT_FAILURE, "%s cannot be read: %s", path ? path : "the credential",
                            strerror(-r));

    if (secret_new_empty(AGENT_KEYS_SEAL_SIZE, &p->seal) < 0)
        return ctl_complain(EXIT_FAILURE, "out of memory");
    if (base64_decode(secret_data(text), secret_size(text), secret_buffer(p->seal),
                      AGENT_KEYS_SEAL_SIZE, &size) < 0 ||
        size != AGENT_KEYS_SEAL_SIZE)
        return ctl_complain(CTL_CONFIG, "%s does not hold 32 bytes in base64", path);

    p->options.seal = p->seal;
    return EXIT_SUCCESS;
}

static const char *name_of(uid_t user) {
    const struct passwd *entry = getpwuid(user);

    return entry ? entry->pw_name : "the service's user";
}

static int find_owner(const place *p, struct stat *ret) {
    if (stat(p->folder, ret) < 0)
        return ctl_complain(EXIT_FAILURE, "%s: %s%s", p->folder, strerror(errno),
                            errno == EACCES
                                ? "; only root and the service's user may look at the keys"
                                : "; has the agent run yet?");
    if (geteuid() != 0 && geteuid() != ret->st_uid)
        return ctl_complain(EXIT_FAILURE, "only root and %s may look at the keys in %s",
                            name_of(ret->st_uid), p->folder);
    return EXIT_SUCCESS;
}

/* What is written must be the service's own, so root becomes the owner of the state directory. */
static int become(const struct stat *owner) {
    if (geteuid() == owner->st_uid)
        return EXIT_SUCCESS;
    if (setgroups(0, NULL) < 0 || setresgid(owner->st_gid, owner->st_gid, owner->st_gid) < 0 ||
        setresuid(owner->st_uid, owner->st_uid, owner->st_uid) < 0)
        return ctl_complain(EXIT_FAILURE, "cannot become %s: %s", name_of(owner->st_uid),
                            strerror(errno));
    return EXIT_SUCCESS;
}

/* ---- What is shown --------------------------------------------------------------------------- */

static const char *state_of(const agent_key_info *key, usec_t now) {
    if (now >= key->ends)
        return "expired";
    return key->is_current ? "current" : "replaced";
}

static int list_json(const agent_keys *keys, usec_t now) {
    json_t *array = json_array();
    char made[RFC3339_MAX], ends[RFC3339_MAX];

    for (size_t i = 0; i < agent_keys_count(keys); i++) {
        agent_key_info key = agent_keys_get(keys, i);

        if (json_array_append_new(array, json_pack("{s:s, s:s, s:s, s:s, s:s}", "kid", key.kid,
                                                   "use", key.use, "state", state_of(&key, now),
                                                   "made", rfc3339_utc(key.made, made), "ends",
                                                   rfc3339_utc(key.ends, ends))) < 0) {
            json_decref(array);
            return ctl_print_json(NULL);
        }
    }
    return ctl_print_json(array);
}

static int list(const agent_keys *keys, bool json) {
    usec_t now = now_realtime();
    char made[RFC3339_MAX], ends[RFC3339_MAX];

    if (json)
        return list_json(keys, now);

    printf("%s%-43s  use  state     made                  ends%s\n", ctl_begin(COLOUR_BOLD), "key",
           ctl_end());
    for (size_t i = 0; i < agent_keys_count(keys); i++) {
        agent_key_info key = agent_keys_get(keys, i);

        printf("%-43s  %s  %-8s  %s  %s\n", key.kid, key.use, state_of(&key, now),
               rfc3339_utc(key.made, made), rfc3339_utc(key.ends, ends));
    }
    return EXIT_SUCCESS;
}

/* ---- Commands -------------------------------------------------------------------------------- */

typedef enum command {
    LIST,
    ROTATE,
    RETIRE,
    EXPORT,
    IMPORT,
} command;

static int find_command(const ctl_options *options, command *ret) {
    static const struct {
        const char *name, *takes;
        int n_arguments; /* its own name included */
    } commands[] = {
        [LIST] = {"list", "no arguments", 1},
        [ROTATE] = {"rotate", "no arguments", 1},
        [RETIRE] = {"retire", "one key", 2},
        [EXPORT] = {"export", "no arguments", 1},
        [IMPORT] = {"import", "one file (- is standard input)", 2},
    };

    for (size_t i = 0; options->n_arguments > 0 && i < ELEMENTSOF(commands); i++) {
        if (strcmp(commands[i].name, options->arguments[0]) != 0)
            continue;
        if (options->n_arguments != commands[i].n_arguments)
            return ctl_complain(CTL_USAGE, "keys %s takes %s", commands[i].name, commands[i].takes);
        if (options->with_private && i != EXPORT)
            return ctl_complain(CTL_USAGE, "--private goes with keys export alone");
        *ret = (command) i;
        return EXIT_SUCCESS;
    }
    return ctl_complain(CTL_USAGE,
                        "keys list, rotate, retire, export or import? (see writebackctl --help)");
}

/* Before this process becomes the service's user: the file is whoever's it is. */
static int read_imported(place *p, const char *path) {
    _cleanup_free_ char *why = NULL;

    if (keys_share_read(path, &p->imported, &why) < 0)
        return ctl_complain(EXIT_FAILURE, "%s", why ? why : "out of memory");
    return EXIT_SUCCESS;
}

static int export_private(const place *p) {
    _cleanup_free_ char *why = NULL;

    if (keys_share_write(&p->options, &why) < 0)
        return ctl_complain(EXIT_FAILURE, "%s", why ? why : "out of memory");
    return EXIT_SUCCESS;
}

/* Two agents that renew the same keys would each make others. */
static void warn_of_two(const place *p) {
    if (!p->options.renewed_elsewhere)
        (void) ctl_complain(
            0, "this agent renews its keys by itself, and would have others than the "
               "agent that these are of; set Renew=no in [Keys] of writebackd.conf(5)");
}

static int run(command what, const place *p, const ctl_options *options) {
    _cleanup_(agent_keys_freep) agent_keys *keys = NULL;
    _cleanup_free_ char *why = NULL;
    int r;

    if (options->with_private)
        return export_private(p);
    if (what == ROTATE)
        r = agent_keys_rotate(&p->options, now_realtime(), &keys, &why);
    else if (what == RETIRE)
        r = agent_keys_retire(&p->options, options->arguments[1], &keys, &why);
    else if (what == IMPORT)
        r = agent_keys_import(&p->options, p->imported, now_realtime(), &keys, &why);
    else
        r = agent_keys_read(&p->options, &keys, &why);
    if (r < 0)
        return ctl_complain(EXIT_FAILURE, "%s", why ? why : strerror(-r));
    if (what == IMPORT)
        warn_of_two(p);

    if (what == EXPORT)
        return ctl_print_json(json_deep_copy(agent_keys_public(keys)));
    return list(keys, options->json);
}

int ctl_keys(const ctl_options *options) {
    _cleanup_(place_done) place p = {0};
    struct stat owner = {0};
    command what = LIST;
    int status, lock_error;

    status = find_command(options, &what);
    if (status != EXIT_SUCCESS)
        return status;
    if (secret_memory_init(&lock_error) < 0)
        return ctl_complain(EXIT_FAILURE, "memory for secrets cannot be set up");

    /* Who changed the keys stands in the journal, beside what the agent says. */
    log_set_target(LOG_TARGET_JOURNAL);

    status = read_config(&p, options->config);
    if (status == EXIT_SUCCESS)
        status = find_owner(&p, &owner);
    if (status == EXIT_SUCCESS)
        status = read_seal(&p);
    if (status == EXIT_SUCCESS && what == IMPORT)
        status = read_imported(&p, options->arguments[1]);
    if (status == EXIT_SUCCESS)
        status = become(&owner);
    return status == EXIT_SUCCESS ? run(what, &p, options) : status;
}
