/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger: each request is recorded once, and what was answered is told again; whatever the disk
 * does. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "agent/base/clock.h"
#include "agent/host.h"
#include "agent/ledger.h"

/* ---- A disk that can be watched -------------------------------------------------------------- */

static atomic_uint syncs;
static atomic_bool disk_loses_writes;

/* In place of the C library's, SQLite's too. */
int fdatasync(int fd) {
    if (disk_loses_writes) {
        errno = EIO;
        return -1;
    }
    syncs++;
    return (int) syscall(SYS_fdatasync, fd);
}

int fsync(int fd) {
    return fdatasync(fd);
}

/* ---- A ledger and what it tells -------------------------------------------------------------- */

static char folder[] = "/tmp/test-ledger-XXXXXX";
static bool may_mount;
static sd_event *event;
static size_t outstanding;

typedef struct told {
    int r;
    ledger_state state;
    int status;
    char body[64];
    char controller[64];
    char why[256];
    unsigned syncs; /* that there had been when it was told */
} told;

static void on_told(const ledger_entry *entry, void *userdata) {
    told *t = userdata;

    *t = (told){.r = entry->r, .state = entry->state, .status = entry->status, .syncs = syncs};
    (void) snprintf(t->body, sizeof(t->body), "%s", entry->body ? entry->body : "");
    (void) snprintf(t->controller, sizeof(t->controller), "%s",
                    entry->controller ? entry->controller : "");
    (void) snprintf(t->why, sizeof(t->why), "%s", entry->r < 0 ? entry->why : "");
    outstanding--;
}

static void wait_for_it(void) {
    while (outstanding > 0)
        assert_true(sd_event_run(event, UINT64_MAX) >= 0);
}

static int set_up(void **state) {
    (void) state;

    /* A small disk of our own; not everywhere is that allowed. */
    may_mount = (unshare(CLONE_NEWNS) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) &&
                mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
    return mkdtemp(folder) && sd_event_new(&event) >= 0 ? 0 : -1;
}

static int tear_down(void **state) {
    _cleanup_free_ char *command = NULL;

    (void) state;
    event = sd_event_unref(event);
    return asprintf(&command, "rm -rf %s", folder) < 0 || system(command) != 0;
}

static char *path_of(const char *file) {
    char *path;

    assert_true(asprintf(&path, "%s/%s", folder, file) > 0);
    return path;
}

static ledger *open_with(const char *file, const ledger_config *more) {
    _cleanup_free_ char *path = path_of(file);
    ledger_config config = *more;
    ledger *l;

    config.path = path;
    if (config.size_max == 0)
        config.size_max = LEDGER_SIZE_MAX;
    assert_int_equal(ledger_new(event, &config, &l), 0);
    return l;
}

static ledger *open_ledger(const char *file) {
    return open_with(file, &(const ledger_config){.is_first = true});
}

typedef enum step { BEGIN, MARK_SENT, FINISH, FINISH_FOR_NOW } step;

static const char answer[] = "{\"id\":1}";
static const char *sent_to = "dc1.corp.example:636";

static void start(ledger *l, step what, const request *q, usec_t now, told *t) {
    int r = -EINVAL;

    switch (what) {
    case BEGIN:
        r = ledger_begin(l, q, now, on_told, t);
        break;
    case MARK_SENT:
        r = ledger_mark_sent(l, q->id, sent_to, on_told, t);
        break;
    case FINISH:
        r = ledger_finish(l, q->id, true, 200, answer, on_told, t);
        break;
    case FINISH_FOR_NOW:
        r = ledger_finish(l, q->id, false, 503, "{}", on_told, t);
        break;
    }
    assert_int_equal(r, 0);
    outstanding++;
}

static told ask(ledger *l, step what, const request *q, usec_t now) {
    told t;

    start(l, what, q, now, &t);
    wait_for_it();
    return t;
}

/* One step by a ledger of its own: whatever is told comes from the disk. */
static told run(const char *file, step what, const request *q, usec_t now) {
    _cleanup_(ledger_freep) ledger *l = open_ledger(file);

    return ask(l, what, q, now);
}

#define ISSUED (500 * USEC_PER_SEC)
#define EXPIRES (1000 * USEC_PER_SEC)

static request some_request(const char *id) {
    return (request){.id = (char *) (uintptr_t) id,
                     .issued = ISSUED,
                     .expires = EXPIRES,
                     .fingerprint = {1, 2, 3}};
}

/* Many requests, each with an id of its own. */
typedef struct crowd {
    char id[64];
    request q;
    told t;
} crowd;

static crowd *new_crowd(size_t n) {
    crowd *c = calloc(n, sizeof(crowd));

    assert_non_null(c);
    for (size_t i = 0; i < n; i++) {
        (void) snprintf(c[i].id, sizeof(c[i].id), "one-of-many-%zu", i);
        c[i].q = some_request(c[i].id);
    }
    return c;
}

/* ---- What is recorded ------------------------------------------------------------------------ */

static void a_request_is_new_once_and_its_answer_comes_again(void **state) {
    const request q = some_request("request-1");
    told t;

    (void) state;

    assert_int_equal(run("a", BEGIN, &q, 0).state, LEDGER_NEW);
    assert_int_equal(run("a", BEGIN, &q, 0).state, LEDGER_RECEIVED);
    assert_int_equal(run("a", MARK_SENT, &q, 0).r, 0);
    assert_int_equal(run("a", BEGIN, &q, 0).state, LEDGER_SENT);
    assert_int_equal(run("a", FINISH, &q, 0).r, 0);
    t = run("a", BEGIN, &q, 0);
    assert_int_equal(t.state, LEDGER_DONE);
    assert_int_equal(t.status, 200);
    assert_string_equal(t.body, answer);
}

static void where_it_was_sent_to_is_known_again(void **state) {
    const request q = some_request("request-14");
    told t;

    (void) state;

    assert_int_equal(run("p", BEGIN, &q, 0).state, LEDGER_NEW);
    assert_int_equal(run("p", MARK_SENT, &q, 0).r, 0);
    t = run("p", BEGIN, &q, 0);
    assert_int_equal(t.state, LEDGER_SENT);
    assert_string_equal(t.controller, "dc1.corp.example:636");

    /* That one has not done it, and it goes to another. */
    sent_to = "dc2.corp.example:636";
    assert_int_equal(run("p", MARK_SENT, &q, 0).r, 0);
    sent_to = "dc1.corp.example:636";
    t = run("p", BEGIN, &q, 0);
    assert_int_equal(t.state, LEDGER_SENT);
    assert_string_equal(t.controller, "dc2.corp.example:636");
}

static void other_content_under_the_same_id_is_a_conflict(void **state) {
    request q = some_request("request-2");

    (void) state;

    assert_int_equal(run("b", BEGIN, &q, 0).state, LEDGER_NEW);
    q.fingerprint[31] = 9;
    assert_int_equal(run("b", BEGIN, &q, 0).state, LEDGER_CONFLICT);
}

static void an_answer_that_may_change_is_not_kept(void **state) {
    const request q = some_request("request-3");

    (void) state;

    assert_int_equal(run("c", BEGIN, &q, 0).state, LEDGER_NEW);
    assert_int_equal(run("c", MARK_SENT, &q, 0).r, 0);
    assert_int_equal(run("c", FINISH_FOR_NOW, &q, 0).r, 0);
    assert_int_equal(run("c", BEGIN, &q, 0).state, LEDGER_RECEIVED);
}

static void an_entry_lives_a_day_longer_than_its_request(void **state) {
    const request q = some_request("request-4");
    usec_t end = EXPIRES + USEC_PER_DAY;

    (void) state;

    assert_int_equal(run("d", BEGIN, &q, 0).state, LEDGER_NEW);
    assert_int_equal(run("d", BEGIN, &q, end).state, LEDGER_RECEIVED);
    assert_int_equal(run("d", BEGIN, &q, end + 1).state, LEDGER_NEW);
}

/* ---- When it is told ------------------------------------------------------------------------- */

static void nothing_is_told_before_it_is_on_the_disk(void **state) {
    static const step steps[] = {BEGIN, MARK_SENT, FINISH};
    const request q = some_request("request-5");
    _cleanup_(ledger_freep) ledger *l = open_ledger("e");

    (void) state;

    assert_int_equal(ask(l, BEGIN, &(const request){.id = (char *) (uintptr_t) "warm"}, 0).r, 0);
    for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
        unsigned before = syncs;

        assert_true(ask(l, steps[i], &q, 0).syncs > before);
    }
}

static void what_the_disk_did_not_take_is_not_told_as_recorded(void **state) {
    const request q = some_request("request-6");
    _cleanup_(ledger_freep) ledger *l = open_ledger("f");

    (void) state;

    assert_int_equal(ask(l, BEGIN, &q, 0).state, LEDGER_NEW);
    disk_loses_writes = true;
    assert_int_equal(ask(l, MARK_SENT, &q, 0).r, -EIO);
    disk_loses_writes = false;
    assert_int_equal(ask(l, MARK_SENT, &q, 0).r, 0);
    assert_int_equal(ask(l, BEGIN, &q, 0).state, LEDGER_SENT);
}

static void those_that_wait_share_a_commit_and_each_is_told_its_own(void **state) {
    enum { MANY = 200 };
    _cleanup_free_ crowd *c = new_crowd(MANY);
    _cleanup_(ledger_freep) ledger *l = open_ledger("g");
    unsigned before;

    (void) state;

    assert_int_equal(ask(l, BEGIN, &c[7].q, 0).state, LEDGER_NEW);
    assert_int_equal(ask(l, FINISH, &c[7].q, 0).r, 0);
    assert_int_equal(ask(l, BEGIN, &c[8].q, 0).state, LEDGER_NEW);
    c[8].q.fingerprint[0] = 9;

    before = syncs;
    for (size_t i = 0; i < MANY; i++)
        start(l, BEGIN, &c[i].q, 0, &c[i].t);
    wait_for_it();

    /* The first alone, the others together. */
    assert_in_range(syncs - before, 1, 4);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(c[i].t.state, i == 7   ? LEDGER_DONE
                                       : i == 8 ? LEDGER_CONFLICT
                                                : LEDGER_NEW);
}

static void the_queue_has_an_end(void **state) {
    enum { MANY = 2000 };
    _cleanup_free_ crowd *c = new_crowd(MANY);
    _cleanup_(ledger_freep) ledger *l = open_ledger("h");
    size_t taken = 0;

    (void) state;

    for (size_t i = 0; i < MANY; i++) {
        int r = ledger_begin(l, &c[i].q, 0, on_told, &c[i].t);

        assert_true(r == 0 || r == -EBUSY);
        taken += r == 0;
        outstanding += r == 0;
    }
    assert_in_range(taken, 1024, 1024 + 256);
    wait_for_it();
}

/* A child that is killed has recorded whatever it was told that it had. */
static void what_was_told_survives_a_kill(void **state) {
    (void) state;

    for (unsigned round = 0; round < 10; round++) {
        char file[32];
        char id[64];
        int told_ids[2], status;
        size_t last = 0;
        pid_t child;

        (void) snprintf(file, sizeof(file), "killed-%u", round);
        assert_int_equal(pipe(told_ids), 0);
        child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            ledger *l;

            if (sd_event_new(&event) < 0)
                _exit(1);
            l = open_ledger(file);
            for (size_t i = 1;; i++) {
                request q;

                (void) snprintf(id, sizeof(id), "told-%zu", i);
                q = some_request(id);
                (void) ask(l, BEGIN, &q, 0);
                (void) ask(l, FINISH, &q, 0);
                if (write(told_ids[1], &i, sizeof(i)) != sizeof(i))
                    _exit(1);
            }
        }

        (void) close(told_ids[1]);
        for (unsigned i = 0; i < 1 + round * 3; i++)
            assert_int_equal(read(told_ids[0], &last, sizeof(last)), sizeof(last));
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        while (read(told_ids[0], &last, sizeof(last)) == sizeof(last))
            ;
        (void) close(told_ids[0]);

        _cleanup_(ledger_freep) ledger *l = open_ledger(file);
        for (size_t i = 1; i <= last; i++) {
            request q;

            (void) snprintf(id, sizeof(id), "told-%zu", i);
            q = some_request(id);
            assert_int_equal(ask(l, BEGIN, &q, 0).state, LEDGER_DONE);
        }
    }
}

/* ---- Trouble --------------------------------------------------------------------------------- */

static void a_disk_that_cannot_be_written_is_told(void **state) {
    const request q = some_request("request-7");
    told t = run("nowhere/i", BEGIN, &q, 0);

    (void) state;

    assert_int_equal(t.r, -EIO);
    assert_non_null(strstr(t.why, "nowhere/i: No such file or directory"));
}

static void a_ledger_is_one_process_s(void **state) {
    const request q = some_request("request-8");
    _cleanup_(ledger_freep) ledger *l = open_ledger("j");
    told t;

    (void) state;

    assert_int_equal(ask(l, BEGIN, &q, 0).state, LEDGER_NEW);
    t = run("j", BEGIN, &q, 0);
    assert_int_equal(t.r, -EBUSY);
    assert_non_null(strstr(t.why, "in use by another process"));
}

static void a_full_disk_refuses_and_comes_back_by_itself(void **state) {
    enum { MANY = 20000 };
    static const char plenty[256 * 1024];
    _cleanup_free_ char *disk = path_of("disk"), *filler = path_of("disk/filler");
    _cleanup_free_ char *big = calloc(1, 300 * 1024);
    _cleanup_free_ crowd *c = new_crowd(MANY);
    size_t refused = 2;
    ledger *l;
    int fd;

    (void) state;

    assert_non_null(big);
    assert_int_equal(mkdir(disk, 0700), 0);
    if (!may_mount || mount("none", disk, "tmpfs", 0, "size=1m") < 0)
        skip();

    l = open_ledger("disk/k");
    assert_int_equal(ask(l, BEGIN, &c[0].q, 0).state, LEDGER_NEW);
    assert_int_equal(ask(l, BEGIN, &c[1].q, 0).state, LEDGER_NEW);

    /* What does not fit takes nothing with it that does. */
    memset(big, 'x', 300 * 1024 - 1);
    fd = open(filler, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(write(fd, plenty, sizeof(plenty)), sizeof(plenty));
    start(l, BEGIN, &c[0].q, 0, &c[0].t);
    assert_int_equal(ledger_finish(l, c[0].id, true, 200, big, on_told, &c[0].t), 0);
    outstanding++;
    start(l, FINISH, &c[1].q, 0, &c[1].t);
    wait_for_it();
    assert_int_equal(c[0].t.r, -ENOSPC);
    assert_int_equal(c[1].t.r, 0);

    /* Until the file has used up what it had, too. */
    while (write(fd, plenty, 512) > 0)
        ;
    while (refused < MANY && ask(l, BEGIN, &c[refused].q, 0).r == 0)
        refused++;
    assert_in_range(refused, 2, MANY - 1);
    assert_int_equal(ask(l, BEGIN, &c[refused].q, 0).r, -ENOSPC);

    assert_int_equal(unlink(filler), 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(ask(l, BEGIN, &c[refused].q, 0).state, LEDGER_NEW);
    assert_int_equal(ask(l, BEGIN, &c[1].q, 0).state, LEDGER_DONE);

    assert_null(ledger_free(l));
    assert_int_equal(umount(disk), 0);
}

static void health_follows_the_disk(int r, const char *why, void *userdata) {
    assert_true((r < 0) == (why != NULL));
    *(int *) userdata = r;
}

static void a_full_ledger_takes_nothing_new_until_it_empties_and_health_says_so(void **state) {
    enum { MANY = 3000 };
    _cleanup_free_ crowd *c = new_crowd(MANY);
    const usec_t now = now_realtime();
    request late = some_request("request-late");
    int health = 1;
    _cleanup_(ledger_freep) ledger *l =
        open_with("l", &(const ledger_config){.is_first = true,
                                              .size_max = (uint64_t) 64 * 1024,
                                              .on_health = health_follows_the_disk,
                                              .userdata = &health});
    size_t n = 0;
    told t = {};

    (void) state;

    for (size_t i = 0; i < MANY; i++)
        c[i].q.expires = now + USEC_PER_HOUR;
    while (n < MANY && t.r == 0)
        t = ask(l, BEGIN, &c[n++].q, now);
    assert_int_equal(t.r, -EDQUOT);
    assert_non_null(strstr(t.why, "has reached its size"));
    assert_int_equal(health, -EDQUOT);

    /* What was begun is recorded to its end, and there is no more room for it. */
    assert_int_equal(ask(l, MARK_SENT, &c[0].q, now).r, 0);
    assert_int_equal(health, -EDQUOT);
    assert_int_equal(ask(l, FINISH, &c[0].q, now).r, 0);
    assert_int_equal(ask(l, BEGIN, &c[0].q, now).state, LEDGER_DONE);
    assert_int_equal(health, -EDQUOT);

    late.expires = now + USEC_PER_DAY + 2 * USEC_PER_HOUR;
    assert_int_equal(ask(l, BEGIN, &late, now + USEC_PER_DAY + USEC_PER_HOUR + 1).state,
                     LEDGER_NEW);
    assert_int_equal(health, 0);
}

static void overwrite(const char *file, off_t at, size_t size) {
    _cleanup_free_ char *path = path_of(file);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

    for (size_t i = 0; i < size; i++)
        assert_int_equal(pwrite(fd, "\xa5", 1, at + (off_t) i), 1);
}

/* What no agent does to its own file. */
static void meddle(const char *file, const char *sql) {
    _cleanup_free_ char *path = path_of(file);
    sqlite3 *db;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static size_t count_files(const char *prefix) {
    DIR *d = opendir(folder);
    size_t n = 0;

    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        n += strncmp(e->d_name, prefix, strlen(prefix)) == 0;
    (void) closedir(d);
    return n;
}

static void a_damaged_file_is_set_aside_and_a_new_one_begun(void **state) {
    static const struct {
        const char *file;
        off_t at;
        size_t size;
    } damages[] = {
        {"damaged-head", 0, 100},
        {"damaged-page", 4096, 4096},
        /* Where nobody looks who asks for these. */
        {"damaged-elsewhere", 20 * 4096, 64},
    };
    _cleanup_free_ crowd *c = new_crowd(1000);

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(damages); i++) {
        _cleanup_free_ char *aside = NULL;
        const request old = some_request("request-old");
        const request lost = some_request("request-lost");
        request ahead = some_request("request-of-a-clock-that-is-ahead");
        request recent = some_request("request-recent");

        ledger *l = open_ledger(damages[i].file);

        for (size_t k = 0; k < 1000; k++)
            start(l, BEGIN, &c[k].q, 0, &c[k].t);
        wait_for_it();
        assert_null(ledger_free(l));

        recent.issued = now_realtime() + USEC_PER_HOUR;
        ahead.issued = now_realtime() + REQUEST_CLOCK_SKEW - USEC_PER_SEC;
        assert_int_equal(run(damages[i].file, BEGIN, &old, 0).state, LEDGER_NEW);
        overwrite(damages[i].file, damages[i].at, damages[i].size);

        /* It was there before, but nobody can know. */
        assert_int_equal(run(damages[i].file, BEGIN, &lost, 0).state, LEDGER_SENT);
        assert_int_equal(run(damages[i].file, BEGIN, &ahead, 0).state, LEDGER_SENT);
        assert_int_equal(run(damages[i].file, BEGIN, &recent, 0).state, LEDGER_NEW);
        assert_true(asprintf(&aside, "%s.damaged-", damages[i].file) > 0);
        assert_int_equal(count_files(aside), 1);
    }
}

static void what_a_file_that_is_gone_may_have_held_is_not_new(void **state) {
    const ledger_config later = {.is_first = false};
    _cleanup_free_ char *path = path_of("gone");
    const request old = some_request("request-12");
    request recent = some_request("request-13");
    ledger *l = open_ledger("gone");

    (void) state;

    assert_int_equal(ask(l, BEGIN, &old, 0).state, LEDGER_NEW);
    assert_null(ledger_free(l));
    assert_int_equal(unlink(path), 0);
    recent.issued = now_realtime() + USEC_PER_HOUR;

    l = open_with("gone", &later);
    assert_int_equal(ask(l, BEGIN, &old, 0).state, LEDGER_SENT);
    assert_int_equal(ask(l, BEGIN, &recent, 0).state, LEDGER_NEW);

    /* While it runs, too. */
    assert_int_equal(unlink(path), 0);
    disk_loses_writes = true;
    assert_int_equal(ask(l, MARK_SENT, &recent, 0).r, -EIO);
    disk_loses_writes = false;
    assert_int_equal(ask(l, BEGIN, &old, 0).state, LEDGER_SENT);
    assert_null(ledger_free(l));
}

/* As they were before it was recorded where something was sent to. */
static void an_older_file_is_brought_up_to_date(void **state) {
    static const char old_form[] =
        "CREATE TABLE request (id TEXT PRIMARY KEY, fingerprint BLOB NOT NULL,"
        "    state TEXT NOT NULL CHECK (state IN ('received', 'sent', 'done')),"
        "    status INTEGER, body TEXT, keep_until INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
        "CREATE TABLE ledger (host TEXT NOT NULL, since INTEGER NOT NULL) STRICT;"
        "INSERT INTO ledger VALUES ('', 0);"
        "INSERT INTO request VALUES ('request-15',"
        "    x'0102030000000000000000000000000000000000000000000000000000000000', 'sent', NULL, NULL,"
        "    9000000000000000)";
    const request q = some_request("request-15");
    told t;

    (void) state;

    meddle("old", old_form);
    t = run("old", BEGIN, &q, 0);
    assert_int_equal(t.state, LEDGER_SENT);
    assert_string_equal(t.controller, "");
    assert_int_equal(run("old", MARK_SENT, &q, 0).r, 0);
    assert_string_equal(run("old", BEGIN, &q, 0).controller, sent_to);
}

static void an_entry_that_says_nonsense_may_have_been_sent(void **state) {
    static const char *const nonsense[] = {
        "UPDATE request SET status = 77",
        "UPDATE request SET status = 1200",
        "UPDATE request SET status = 504", /* which the relay uses itself */
        "UPDATE request SET status = NULL",
        "UPDATE request SET body = NULL",
        "PRAGMA ignore_check_constraints = ON; UPDATE request SET state = 'dond'",
    };
    const request q = some_request("request-11");

    (void) state;

    for (size_t i = 0; i < ELEMENTSOF(nonsense); i++) {
        char file[32];
        ledger *l;

        (void) snprintf(file, sizeof(file), "nonsense-%zu", i);
        l = open_ledger(file);
        assert_int_equal(ask(l, BEGIN, &q, 0).state, LEDGER_NEW);
        assert_int_equal(ask(l, FINISH, &q, 0).r, 0);
        assert_null(ledger_free(l));

        meddle(file, nonsense[i]);
        assert_int_equal(run(file, BEGIN, &q, 0).state, LEDGER_SENT);
    }
}

static void damage_while_it_runs_refuses_what_was_lost_with_it(void **state) {
    _cleanup_free_ crowd *c = new_crowd(600);
    _cleanup_(ledger_freep) ledger *l = open_ledger("m");
    told t;

    (void) state;

    for (size_t i = 0; i < 600; i++)
        start(l, BEGIN, &c[i].q, 0, &c[i].t);
    wait_for_it();
    assert_null(ledger_free(l));
    l = open_ledger("m");
    assert_int_equal(ask(l, MARK_SENT, &c[0].q, 0).r, 0);
    for (off_t at = 4096; at < 20 * 4096; at += 4096)
        overwrite("m", at, 64);

    /* So that it is read from the disk again, not from memory. */
    disk_loses_writes = true;
    assert_int_equal(ask(l, MARK_SENT, &c[1].q, 0).r, -EIO);
    disk_loses_writes = false;
    for (size_t i = 1; i < 600; i++) {
        t = ask(l, MARK_SENT, &c[i].q, 0);
        if (t.r < 0)
            break;
    }
    assert_int_equal(t.r, -ENOENT);
    assert_int_equal(ask(l, BEGIN, &c[0].q, 0).state, LEDGER_SENT);
}

static void another_host_s_ledger_is_refused(void **state) {
    const request q = some_request("request-9");
    ledger *l = open_with("n", &(const ledger_config){.host = "this-host", .is_first = true});
    told t;

    (void) state;

    assert_int_equal(ask(l, BEGIN, &q, 0).state, LEDGER_NEW);
    assert_null(ledger_free(l));

    l = open_with("n", &(const ledger_config){.host = "another-host", .is_first = true});
    t = ask(l, BEGIN, &q, 0);
    assert_int_equal(t.r, -EXDEV);
    assert_non_null(strstr(t.why, "was copied from another host"));
    assert_null(ledger_free(l));

    l = open_with("n", &(const ledger_config){.host = "this-host", .is_first = true});
    assert_int_equal(ask(l, BEGIN, &q, 0).state, LEDGER_RECEIVED);
    assert_null(ledger_free(l));
}

static void a_state_directory_is_claimed_once(void **state) {
    _cleanup_free_ char *path = path_of("host.id");

    (void) state;

    assert_int_equal(host_claim(path, "this-host"), 0);
    assert_int_equal(host_claim(path, "this-host"), 0);
    assert_int_equal(host_claim(path, "that-host"), -EXDEV);
    assert_int_equal(host_claim(path, "this-host-"), -EXDEV);
}

static void health_is_told_at_once_and_on_change(void **state) {
    _cleanup_(ledger_freep) ledger *l = NULL;
    const request q = some_request("request-10");
    int health = 1;

    (void) state;

    l = open_with(
        "o", &(const ledger_config){.on_health = health_follows_the_disk, .userdata = &health});
    while (health == 1)
        assert_true(sd_event_run(event, UINT64_MAX) >= 0);
    assert_int_equal(health, 0);

    disk_loses_writes = true;
    (void) ask(l, BEGIN, &q, 0);
    disk_loses_writes = false;
    assert_int_equal(health, -EIO);
    (void) ask(l, BEGIN, &q, 0);
    assert_int_equal(health, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_new_once_and_its_answer_comes_again),
        cmocka_unit_test(where_it_was_sent_to_is_known_again),
        cmocka_unit_test(other_content_under_the_same_id_is_a_conflict),
        cmocka_unit_test(an_answer_that_may_change_is_not_kept),
        cmocka_unit_test(an_entry_lives_a_day_longer_than_its_request),
        cmocka_unit_test(nothing_is_told_before_it_is_on_the_disk),
        cmocka_unit_test(what_the_disk_did_not_take_is_not_told_as_recorded),
        cmocka_unit_test(those_that_wait_share_a_commit_and_each_is_told_its_own),
        cmocka_unit_test(the_queue_has_an_end),
        cmocka_unit_test(what_was_told_survives_a_kill),
        cmocka_unit_test(a_disk_that_cannot_be_written_is_told),
        cmocka_unit_test(a_ledger_is_one_process_s),
        cmocka_unit_test(a_full_disk_refuses_and_comes_back_by_itself),
        cmocka_unit_test(a_full_ledger_takes_nothing_new_until_it_empties_and_health_says_so),
        cmocka_unit_test(a_damaged_file_is_set_aside_and_a_new_one_begun),
        cmocka_unit_test(what_a_file_that_is_gone_may_have_held_is_not_new),
        cmocka_unit_test(an_older_file_is_brought_up_to_date),
        cmocka_unit_test(an_entry_that_says_nonsense_may_have_been_sent),
        cmocka_unit_test(damage_while_it_runs_refuses_what_was_lost_with_it),
        cmocka_unit_test(another_host_s_ledger_is_refused),
        cmocka_unit_test(a_state_directory_is_claimed_once),
        cmocka_unit_test(health_is_told_at_once_and_on_change),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
