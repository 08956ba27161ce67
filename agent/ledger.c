/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ledger.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/base/worker.h"

/* How long an entry outlives its request. */
#define KEEP_AFTER_EXPIRY USEC_PER_DAY

struct ledger {
    worker *worker;
    char *path;
    sqlite3 *db; /* the thread's alone */
};

/* One transaction: made on the loop, worked on in the thread, told on the loop. */
typedef struct job {
    ledger *ledger;
    void (*run)(struct job *job);
    char *id;
    unsigned char fingerprint[REQUEST_FINGERPRINT_SIZE];
    usec_t now, expires;
    bool is_final;
    ledger_entry entry;
    char *why;
    char *body;
    ledger_done_fn done;
    void *userdata;
} job;

/* ---- In the thread
 * -------------------------------------------------------------------------------- */

static const char schema[] =
    "PRAGMA journal_mode = WAL;"
    "PRAGMA synchronous = FULL;"
    "PRAGMA secure_delete = ON;"
    "CREATE TABLE IF NOT EXISTS request ("
    "    id TEXT PRIMARY KEY,"
    "    fingerprint BLOB NOT NULL,"
    "    state TEXT NOT NULL CHECK (state IN ('received', 'sent', 'done')),"
    "    status INTEGER,"
    "    body TEXT,"
    "    keep_until INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS request_keep_until ON request (keep_until);";

static int fail(job *j, int sqlite_result) {
    ledger *l = j->ledger;
    const char *text = l->db ? sqlite3_errmsg(l->db) : sqlite3_errstr(sqlite_result);

    j->entry.r = sqlite_result == SQLITE_FULL ? -ENOSPC : -EIO;
    if (asprintf(&j->why, "%s: %s", l->path, text) < 0)
        j->why = NULL;

    /* Opened again by the next job: the disk may have been mended by then. */
    (void) sqlite3_close_v2(l->db);
    l->db = NULL;
    return j->entry.r;
}

static int open_database(job *j) {
    ledger *l = j->ledger;
    int r;

    if (l->db)
        return 0;

    r = sqlite3_open_v2(l->path, &l->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                            SQLITE_OPEN_NOFOLLOW,
                        NULL);
    if (r == SQLITE_OK)
        r = sqlite3_busy_timeout(l->db, 5000);
    if (r == SQLITE_OK)
        r = sqlite3_exec(l->db, schema, NULL, NULL, NULL);
    return r == SQLITE_OK ? 0 : fail(j, r);
}

static sqlite3_stmt *prepare(job *j, const char *sql) {
    sqlite3_stmt *statement = NULL;
    int r = sqlite3_prepare_v2(j->ledger->db, sql, -1, &statement, NULL);

    if (r != SQLITE_OK)
        (void) fail(j, r);
    return statement;
}

/* Runs a statement that gives no rows. */
static void finish_statement(job *j, sqlite3_stmt *statement) {
    int r = sqlite3_step(statement);

    (void) sqlite3_finalize(statement);
    if (r != SQLITE_DONE)
        (void) fail(j, r);
}

static void drop_old_entries(job *j) {
    sqlite3_stmt *s = prepare(j, "DELETE FROM request WHERE keep_until < ?1");

    if (!s)
        return;

    (void) sqlite3_bind_int64(s, 1, (sqlite3_int64) j->now);
    finish_statement(j, s);
}

static void read_entry(job *j, sqlite3_stmt *s) {
    const char *state = (const char *) sqlite3_column_text(s, 0);
    const void *fingerprint = sqlite3_column_blob(s, 1);
    const char *body = (const char *) sqlite3_column_text(s, 3);

    if (sqlite3_column_bytes(s, 1) != REQUEST_FINGERPRINT_SIZE || !fingerprint ||
        memcmp(fingerprint, j->fingerprint, REQUEST_FINGERPRINT_SIZE) != 0) {
        j->entry.state = LEDGER_CONFLICT;
        return;
    }

    if (strcmp(state, "done") == 0) {
        j->entry.state = LEDGER_DONE;
        j->entry.status = sqlite3_column_int(s, 2);
        j->body = strdup(body ? body : "");
        if (!j->body)
            j->entry.r = -ENOMEM;
    } else {
        j->entry.state = strcmp(state, "sent") == 0 ? LEDGER_SENT : LEDGER_RECEIVED;
    }
}

/* True where the id is known. */
static bool find_entry(job *j) {
    sqlite3_stmt *s =
        prepare(j, "SELECT state, fingerprint, status, body FROM request WHERE id = ?1");
    int r;

    if (!s)
        return false;

    (void) sqlite3_bind_text(s, 1, j->id, -1, SQLITE_STATIC);
    r = sqlite3_step(s);
    if (r == SQLITE_ROW)
        read_entry(j, s);
    (void) sqlite3_finalize(s);

    if (r != SQLITE_ROW && r != SQLITE_DONE)
        (void) fail(j, r);
    return r == SQLITE_ROW;
}

static void run_begin(job *j) {
    usec_t keep_until = j->expires + KEEP_AFTER_EXPIRY;
    sqlite3_stmt *s;

    drop_old_entries(j);
    if (j->entry.r < 0 || find_entry(j) || j->entry.r < 0)
        return;

    s = prepare(j, "INSERT INTO request (id, fingerprint, state, keep_until) "
                   "VALUES (?1, ?2, 'received', ?3)");
    if (!s)
        return;

    (void) sqlite3_bind_text(s, 1, j->id, -1, SQLITE_STATIC);
    (void) sqlite3_bind_blob(s, 2, j->fingerprint, REQUEST_FINGERPRINT_SIZE, SQLITE_STATIC);
    (void) sqlite3_bind_int64(s, 3, (sqlite3_int64) keep_until);
    finish_statement(j, s);
    j->entry.state = LEDGER_NEW;
}

static void run_mark_sent(job *j) {
    sqlite3_stmt *s = prepare(j, "UPDATE request SET state = 'sent' WHERE id = ?1");

    if (!s)
        return;

    (void) sqlite3_bind_text(s, 1, j->id, -1, SQLITE_STATIC);
    finish_statement(j, s);
    j->entry.state = LEDGER_SENT;
}

static void run_finish(job *j) {
    sqlite3_stmt *s =
        prepare(j, "UPDATE request SET state = ?2, status = ?3, body = ?4 WHERE id = ?1");

    if (!s)
        return;

    (void) sqlite3_bind_text(s, 1, j->id, -1, SQLITE_STATIC);
    (void) sqlite3_bind_text(s, 2, j->is_final ? "done" : "received", -1, SQLITE_STATIC);
    if (j->is_final) {
        (void) sqlite3_bind_int(s, 3, j->entry.status);
        (void) sqlite3_bind_text(s, 4, j->body, -1, SQLITE_STATIC);
    }
    finish_statement(j, s);
    j->entry.state = j->is_final ? LEDGER_DONE : LEDGER_RECEIVED;
}

static void run_job(void *userdata) {
    job *j = userdata;

    if (open_database(j) == 0)
        j->run(j);
}

/* ---- On the loop
 * ---------------------------------------------------------------------------------- */

static void tell_job(void *userdata) {
    job *j = userdata;

    j->entry.why = j->why ? j->why : "out of memory";
    j->entry.body = j->body;
    if (j->done)
        j->done(&j->entry, j->userdata);
}

static void free_job(void *userdata) {
    job *j = userdata;

    free(j->id);
    free(j->why);
    free(j->body);
    free(j);
}

static job *new_job(ledger *l, void (*run)(job *), const char *id, ledger_done_fn done,
                    void *userdata) {
    job *j = calloc(1, sizeof(job));

    if (!j)
        return NULL;

    *j = (job){.ledger = l, .run = run, .done = done, .userdata = userdata, .id = strdup(id)};
    if (!j->id) {
        free(j);
        return NULL;
    }
    return j;
}

static int submit(job *j) {
    int r = worker_submit(j->ledger->worker, run_job, tell_job, free_job, j, NULL);

    if (r < 0)
        free_job(j);
    return r;
}

int ledger_begin(ledger *l, const request *q, usec_t now, ledger_done_fn done, void *userdata) {
    job *j;

    assert(l);
    assert(q);

    j = new_job(l, run_begin, q->id, done, userdata);
    if (!j)
        return -ENOMEM;

    memcpy(j->fingerprint, q->fingerprint, sizeof(j->fingerprint));
    j->now = now;
    j->expires = q->expires;
    return submit(j);
}

int ledger_mark_sent(ledger *l, const char *id, ledger_done_fn done, void *userdata) {
    job *j;

    assert(l);
    assert(id);

    j = new_job(l, run_mark_sent, id, done, userdata);
    return j ? submit(j) : -ENOMEM;
}

int ledger_finish(ledger *l, const char *id, bool is_final, int status, const char *body,
                  ledger_done_fn done, void *userdata) {
    job *j;

    assert(l);
    assert(id);
    assert(body);

    j = new_job(l, run_finish, id, done, userdata);
    if (!j)
        return -ENOMEM;

    j->is_final = is_final;
    j->entry.status = status;
    j->body = strdup(body);
    if (!j->body) {
        free_job(j);
        return -ENOMEM;
    }
    return submit(j);
}

int ledger_new(sd_event *event, const char *path, ledger **ret) {
    _cleanup_(ledger_freep) ledger *l = NULL;
    int r;

    assert(event);
    assert(path);
    assert(ret);

    l = calloc(1, sizeof(ledger));
    if (!l)
        return -ENOMEM;

    l->path = strdup(path);
    if (!l->path)
        return -ENOMEM;

    r = worker_new(event, "ledger", &l->worker);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(l);
    return 0;
}

ledger *ledger_free(ledger *l) {
    if (!l)
        return NULL;

    (void) worker_free(l->worker);
    (void) sqlite3_close_v2(l->db);
    free(l->path);
    free(l);
    return NULL;
}
