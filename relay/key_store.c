/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's keys on disk. */

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/base/file.h"
#include "agent/base/log.h"
#include "relay/key_life.h"
#include "relay/key_seal.h"
#include "relay/key_share.h"
#include "relay/keys.h"

/* What is being done to the file. */
typedef struct store {
    const agent_keys_options *options;
    json_t *set;
    agent_keys *keys;   /* as they stand in the file; NULL: there is none yet */
    bool needs_sealing; /* they stand there in the clear, and shall not */
    char *why;
} store;

static _printf_(3, 4) int explain(store *s, int r, const char *format, ...) {
    va_list ap;

    free(TAKE_PTR(s->why));
    va_start(ap, format);
    if (vasprintf(&s->why, format, ap) < 0) {
        s->why = NULL;
        r = -ENOMEM;
    }
    va_end(ap);
    return r;
}

static void store_done(store *s) {
    json_decref(s->set);
    (void) agent_keys_free(s->keys);
    free(s->why);
}

/* ---- Reading --------------------------------------------------------------------------------- */

static int look_at(store *s) {
    const char *path = s->options->path;
    struct stat st;

    if (stat(path, &st) < 0)
        return errno == ENOENT ? -ENOENT : explain(s, -errno, "%s cannot be read: %m", path);
    if (!S_ISREG(st.st_mode))
        return explain(s, -EINVAL, "%s is not a file", path);
    if (st.st_mode & (S_IRWXG | S_IRWXO))
        return explain(s, -EPERM,
                       "%s is open to others than its owner (mode %04o); make sure that nobody has "
                       "copied it, then: chmod 600 %s",
                       path, st.st_mode & 07777U, path);
    return 0;
}

/* Takes the seal off, where there is one. */
static int unseal(store *s, secret **text) {
    const agent_keys_options *o = s->options;
    secret *plain = NULL;
    int r;

    if (secret_size(*text) == 0 || secret_data(*text)[0] != 'e') {
        s->needs_sealing = o->seal;
        return 0;
    }
    if (!o->seal)
        return explain(
            s, -ENOKEY,
            "%s is sealed, and the credential that opens it was not given to the service "
            "(LoadCredentialEncrypted=; see SealCredential= in writebackd.conf(5))",
            o->path);

    r = key_unseal(o->seal, secret_data(*text), secret_size(*text), &plain);
    if (r == -EKEYREJECTED)
        return explain(
            s, r,
            "%s was sealed with another credential than the one that the service is given, "
            "or was changed: it may be another host's. It is left as it is: give the service "
            "the credential of then, or move the file away to have new keys made",
            o->path);
    if (r < 0)
        return r;

    (void) secret_free(*text);
    *text = plain;
    return 0;
}

static int parse(store *s, const secret *text) {
    const char *why = NULL;
    int r;

    r = json_parse(secret_data(text), secret_size(text), AGENT_KEYS_FILE_MAX, &s->set, &why);
    if (r == 0)
        r = agent_keys_from_json(s->set, s->options->lifetime, &s->keys, &why);
    if (r < 0 && r != -ENOMEM)
        return explain(
            s, -EBADMSG,
            "%s does not hold the agent's keys: %s. It is left as it is: restore it from "
            "a backup, or move it away to have new keys made",
            s->options->path, why);
    return r;
}

/* -ENOENT without a text where there is no file. */
static int read_file(store *s) {
    _cleanup_(secret_freep) secret *text = NULL;
    int r;

    r = look_at(s);
    if (r < 0)
        return r;

    r = file_read(s->options->path, AGENT_KEYS_FILE_MAX, &text);
    if (r < 0)
        return explain(s, r, "%s cannot be read: %s", s->options->path, strerror(-r));

    r = unseal(s, &text);
    if (r == -EBADMSG)
        return explain(s, r,
                       "%s does not hold the agent's keys: it is neither JSON nor sealed by the "
                       "agent. It is left as it is: restore it from a backup, or move it away to "
                       "have new keys made",
                       s->options->path);
    return r < 0 ? r : parse(s, text);
}

/* ---- Writing --------------------------------------------------------------------------------- */

static int to_text(const store *s, secret **ret) {
    size_t size = json_dumpb(s->set, NULL, 0, JSON_INDENT(2));
    _cleanup_(secret_freep) secret *plain = NULL;
    int r;

    if (size == 0)
        return -ENOMEM;

    r = secret_new_empty(size, &plain);
    if (r < 0)
        return r;
    (void) json_dumpb(s->set, secret_buffer(plain), size, JSON_INDENT(2));

    if (s->options->seal)
        return key_seal(s->options->seal, plain, ret);
    *ret = TAKE_PTR(plain);
    return 0;
}

static int write_file(store *s) {
    _cleanup_(secret_freep) secret *text = NULL;
    int r;

    r = to_text(s, &text);
    if (r < 0)
        return r;

    r = file_write_atomically(s->options->path, secret_data(text), secret_size(text));
    if (r < 0)
        return explain(s, r, "%s cannot be written: %s", s->options->path, strerror(-r));
    return 0;
}

static bool has(const agent_keys *k, const char *kid) {
    for (size_t i = 0; k && i < agent_keys_count(k); i++)
        if (strcmp(agent_keys_get(k, i).kid, kid) == 0)
            return true;
    return false;
}

/* Logs every key that `k` has and `other` has not. */
static void log_difference(outcome event, const agent_keys *k, const agent_keys *other) {
    for (size_t i = 0; k && i < agent_keys_count(k); i++) {
        agent_key_info key = agent_keys_get(k, i);

        if (!has(other, key.kid))
            log_event(event, {"WRITEBACK_KEY_ID", key.kid},
                      {"WRITEBACK_KEY_USE", agent_key_purpose(key.use)});
    }
}

/* The set was changed: makes that the keys, on disk first. `how` is the event of a key that is new.
 */
static int commit(store *s, outcome how) {
    _cleanup_(agent_keys_freep) agent_keys *fresh = NULL;
    const char *why = NULL;
    int r;

    if (json_array_size(json_object_get(s->set, "keys")) > KEYS_MAX)
        return explain(s, -E2BIG,
                       "there are %d keys already; drop some that were replaced: writebackctl keys "
                       "retire",
                       KEYS_MAX);

    r = agent_keys_from_json(s->set, s->options->lifetime, &fresh, &why);
    if (r < 0)
        return explain(s, r, "keys cannot be made: %s", why ? why : strerror(-r));

    r = write_file(s);
    if (r < 0)
        return r;

    log_difference(how, fresh, s->keys);
    log_difference(OUTCOME_KEY_DROPPED, s->keys, fresh);
    (void) agent_keys_free(s->keys);
    s->keys = TAKE_PTR(fresh);
    return 0;
}

/* ---- The door -------------------------------------------------------------------------------- */

/* Whoever changes the file holds this: the folder's lock, which ends with the descriptor. */
static int lock_folder(store *s, int *ret_fd) {
    _cleanup_free_ char *copy = strdup(s->options->path);
    const char *folder;
    int fd;

    if (!copy)
        return -ENOMEM;

    folder = dirname(copy);
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return explain(s, -errno, "%s cannot be opened: %m", folder);
    if (flock(fd, LOCK_EX) < 0) {
        int r = explain(s, -errno, "%s cannot be locked: %m", folder);

        (void) close(fd);
        return r;
    }

    *ret_fd = fd;
    return 0;
}

static int make(store *s, usec_t now) {
    int r;

    log_event(OUTCOME_ONBOARDING_START, {"WRITEBACK_PATH", s->options->path});

    s->set = json_pack("{s:[]}", "keys");
    r = s->set ? key_life_tend(s->set, s->options, now, false) : -ENOMEM;
    if (r >= 0)
        r = commit(s, OUTCOME_KEY_PAIR_CREATED);
    if (r >= 0)
        log_event(OUTCOME_ONBOARDING_SUCCESS, {"WRITEBACK_PATH", s->options->path});
    return r;
}

/* Keys that are good stay in use where those that shall follow cannot be written. */
static int tend(store *s, usec_t now) {
    int r;

    r = key_life_tend(s->set, s->options, now, false);
    if (r > 0 || s->needs_sealing)
        (void) commit(s, OUTCOME_KEY_PAIR_CREATED);
    if (r >= 0 && !s->why && s->options->renewed_elsewhere &&
        key_life_is_due(s->set, s->options, now))
        (void) explain(s, 0,
                       "another agent renews them (Renew=no), and its new ones have not been "
                       "imported");
    return r == -ENOMEM ? r : 0;
}

/* Hands over what came of it: keys, or a text, or both. */
static int end(store *s, int r, agent_keys **ret, char **ret_why) {
    if (r < 0 && !s->why)
        (void) explain(s, r, "%s: %s", s->options->path, strerror(-r));
    if (r == 0)
        *ret = TAKE_PTR(s->keys);
    *ret_why = TAKE_PTR(s->why);
    return r;
}

static int open_keys(const agent_keys_options *options, usec_t now, bool may_make, agent_keys **ret,
                     char **ret_why) {
    _cleanup_(store_done) store s = {.options = options};
    _cleanup_close_ int lock = -1;
    int r;

    assert(options);
    assert(ret);
    assert(ret_why);

    r = lock_folder(&s, &lock);
    if (r == 0)
        r = read_file(&s);
    if (r == 0)
        r = tend(&s, now);
    else if (r == -ENOENT && !s.why && may_make)
        r = make(&s, now);
    else if (r == -ENOENT && !s.why)
        (void) explain(&s, r,
                       "%s has gone: put it back; at its next start the agent makes new keys, and "
                       "portals must fetch those",
                       options->path);
    return end(&s, r, ret, ret_why);
}

int agent_keys_open(const agent_keys_options *options, usec_t now, agent_keys **ret,
                    char **ret_why) {
    return open_keys(options, now, true, ret, ret_why);
}

int agent_keys_tend(const agent_keys_options *options, usec_t now, agent_keys **ret,
                    char **ret_why) {
    return open_keys(options, now, false, ret, ret_why);
}

int agent_keys_read(const agent_keys_options *options, agent_keys **ret, char **ret_why) {
    _cleanup_(store_done) store s = {.options = options};

    assert(options);
    assert(ret);
    assert(ret_why);

    return end(&s, read_file(&s), ret, ret_why);
}

int agent_keys_rotate(const agent_keys_options *options, usec_t now, agent_keys **ret,
                      char **ret_why) {
    _cleanup_(store_done) store s = {.options = options};
    _cleanup_close_ int lock = -1;
    int r;

    assert(options);
    assert(ret);
    assert(ret_why);

    r = lock_folder(&s, &lock);
    if (r == 0)
        r = read_file(&s);
    if (r == 0)
        r = key_life_tend(s.set, options, now, true);
    if (r > 0)
        r = commit(&s, OUTCOME_KEY_PAIR_CREATED);
    return end(&s, r, ret, ret_why);
}

int agent_keys_retire(const agent_keys_options *options, const char *kid, agent_keys **ret,
                      char **ret_why) {
    _cleanup_(store_done) store s = {.options = options};
    _cleanup_close_ int lock = -1;
    int r;

    assert(options);
    assert(kid);
    assert(ret);
    assert(ret_why);

    r = lock_folder(&s, &lock);
    if (r == 0)
        r = read_file(&s);
    if (r == 0) {
        r = key_life_retire(s.set, kid);
        if (r == -ENOENT)
            (void) explain(&s, r, "there is no key %s", kid);
        else if (r == -EBUSY)
            (void) explain(&s, r, "key %s is in use; rotate the keys first", kid);
        else
            r = commit(&s, OUTCOME_KEY_PAIR_CREATED);
    }
    return end(&s, r, ret, ret_why);
}

int agent_keys_export(const agent_keys_options *options, secret **ret, char **ret_why) {
    _cleanup_(store_done) store s = {.options = options};
    _cleanup_(agent_keys_freep) agent_keys *keys = NULL;
    int r;

    assert(options);
    assert(ret);
    assert(ret_why);

    r = read_file(&s);
    if (r == 0)
        r = to_text(&s, ret);
    if (r == 0)
        log_event(OUTCOME_KEYS_EXPORTED, {"WRITEBACK_PATH", options->path});
    return end(&s, r, &keys, ret_why);
}

/* Reads the keys that are there; there need not be any. */
static int read_file_if_any(store *s) {
    int r = read_file(s);

    if (r != -ENOENT || s->why)
        return r;
    s->set = json_pack("{s:[]}", "keys");
    return s->set ? 0 : -ENOMEM;
}

int agent_keys_import(const agent_keys_options *options, const secret *text, usec_t now,
                      agent_keys **ret, char **ret_why) {
    _cleanup_(store_done) store s = {.options = options};
    _cleanup_(json_freep) json_t *theirs = NULL;
    _cleanup_close_ int lock = -1;
    const char *why = NULL;
    int r;

    assert(options);
    assert(text);
    assert(ret);
    assert(ret_why);

    r = key_share_read(text, options, now, &theirs, &why);
    if (r < 0 && why)
        (void) explain(&s, r, "nothing was imported: %s", why);
    if (r == 0)
        r = lock_folder(&s, &lock);
    if (r == 0)
        r = read_file_if_any(&s);
    if (r == 0)
        r = key_life_adopt(s.set, theirs, options, now);
    if (r > 0 || (r == 0 && s.needs_sealing))
        r = commit(&s, OUTCOME_KEY_TAKEN_OVER);
    return end(&s, r, ret, ret_why);
}
