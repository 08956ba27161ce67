/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ledger_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/base/clock.h"

/* How long an entry outlives its request. */
#define KEEP_AFTER_EXPIRY USEC_PER_DAY

typedef enum statement {
    FIND,
    INSERT,
    MARK_SENT,
    FINISH,
    DROP_OLD,
    SIZE,
    TOUCH,
    STATEMENT_MAX_,
} statement;

static const char *const sql[] = {
    [FIND] = "SELECT state, fingerprint, status, body, controller FROM request WHERE id = ?1",
    [INSERT] = "INSERT INTO request (id, fingerprint, state, keep_until) VALUES (?1, ?2, ?3, ?4)",
    [MARK_SENT] = "UPDATE request SET state = 'sent', controller = ?2 WHERE id = ?1",
    [FINISH] = "UPDATE request SET state = ?2, status = ?3, body = ?4 WHERE id = ?1",
    /* A few at a time, so that nobody waits for a whole day's entries to go. */
    [DROP_OLD] = "DELETE FROM request WHERE id IN "
                 "(SELECT id FROM request WHERE keep_until < ?1 LIMIT 1000)",
    [SIZE] = "SELECT (page_count - freelist_count) * page_size "
             "FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
    [TOUCH] = "UPDATE ledger SET since = since",
};

/* The lock is held for good: a second agent on the same state directory is refused, and no shared
 * memory file is needed. */
static const char settings[] = "PRAGMA locking_mode = EXCLUSIVE;"
                               "PRAGMA journal_mode = WAL;"
                               "PRAGMA synchronous = FULL;"
                               "PRAGMA secure_delete = ON;"
                               "PRAGMA cell_size_check = ON;"
                               "PRAGMA journal_size_limit = 4194304;";

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS request ("
    "    id TEXT PRIMARY KEY,"
    "    fingerprint BLOB NOT NULL,"
    "    state TEXT NOT NULL CHECK (state IN ('received', 'sent', 'done')),"
    "    status INTEGER,"
    "    body TEXT,"
    "    keep_until INTEGER NOT NULL,"
    "    controller TEXT"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS request_keep_until ON request (keep_until);"
    /* One row: whose it is, and from when on it knows every request. */
    "CREATE TABLE IF NOT EXISTS ledger (host TEXT NOT NULL, since INTEGER NOT NULL) STRICT;";

/* Of a file that an earlier version made, whose entries do not say where they were sent to. */
static const char has_controllers[] =
    "SELECT 1 FROM pragma_table_info('request') WHERE name = 'controller'";
static const char add_controllers[] = "ALTER TABLE request ADD COLUMN controller TEXT";

struct ledger_file {
    char *path;
    char *host; /* may be NULL */
    uint64_t size_max;
    sqlite3 *db; /* NULL: not open */
    sqlite3_stmt *statements[STATEMENT_MAX_];
    bool is_checked; /* has been found whole since the start */
    bool is_first;   /* none was before it */
    usec_t since;    /* what came before may have been in a file that is lost; 0: none is */
    char *why;       /* of the last failure */
};

/* ---- Failures -------------------------------------------------------------------------------- */

static void _printf_(2, 3) set_why(ledger_file *f, const char *format, ...) {
    va_list args;

    free(f->why);
    va_start(args, format);
    if (vasprintf(&f->why, format, args) < 0)
        f->why = NULL;
    va_end(args);
}

static int errno_from_sqlite(int result) {
    switch (result & 0xff) {
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return -EUCLEAN;
    case SQLITE_BUSY:
        return -EBUSY;
    case SQLITE_NOMEM:
        return -ENOMEM;
    default:
        return -EIO;
    }
}

/* What SQLite says, as an errno, with the words kept. */
static int fail(ledger_file *f, int result) {
    int system_error = f->db ? sqlite3_system_errno(f->db) : 0;
    int r = errno_from_sqlite(result);

    if (r == -EBUSY)
        set_why(f, "%s is in use by another process", f->path);
    else
        set_why(f, "%s: %s%s%s", f->path,
                f->db ? sqlite3_errmsg(f->db) : sqlite3_errstr(result), /* */
                system_error ? ": " : "", system_error ? strerror(system_error) : "");
    return r;
}

/* Ends a transaction that is open, too, as if it had not been begun. */
static void close_file(ledger_file *f) {
    for (size_t i = 0; i < STATEMENT_MAX_; i++) {
        (void) sqlite3_finalize(f->statements[i]);
        f->statements[i] = NULL;
    }
    (void) sqlite3_close_v2(f->db);
    f->db = NULL;
}

/* ---- Statements ------------------------------------------------------------------------------ */

static int execute(ledger_file *f, const char *text) {
    int r = sqlite3_exec(f->db, text, NULL, NULL, NULL);

    return r == SQLITE_OK ? 0 : fail(f, r);
}

static void bind_text(sqlite3_stmt *s, int index, const char *text) {
    (void) sqlite3_bind_text(s, index, text, -1, SQLITE_STATIC);
}

/* The statement, with nothing bound but the id. Ready since the file was opened. */
static sqlite3_stmt *statement_for(ledger_file *f, statement which, const char *id) {
    sqlite3_stmt *s = f->statements[which];

    (void) sqlite3_clear_bindings(s);
    if (id)
        bind_text(s, 1, id);
    return s;
}

/* Runs a statement that gives no rows. */
static int run(ledger_file *f, sqlite3_stmt *s) {
    int r = sqlite3_step(s);

    r = r == SQLITE_DONE ? 0 : fail(f, r);
    (void) sqlite3_reset(s);
    return r;
}

/* ---- The file -------------------------------------------------------------------------------- */

/* SQLite would make it readable to others where the umask lets it. */
static int make_file(ledger_file *f) {
    _cleanup_close_ int fd = open(f->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd >= 0)
        return 0;

    set_why(f, "%s: %s", f->path, strerror(errno));
    return errno == ENOSPC || errno == EDQUOT ? -ENOSPC : -EIO;
}

static int check_file(ledger_file *f) {
    sqlite3_stmt *s = NULL;
    int r = sqlite3_prepare_v2(f->db, "PRAGMA quick_check(1)", -1, &s, NULL);

    if (r != SQLITE_OK)
        return fail(f, r);

    r = sqlite3_step(s);
    if (r != SQLITE_ROW) {
        r = fail(f, r);
    } else if (strcmp((const char *) sqlite3_column_text(s, 0), "ok") != 0) {
        set_why(f, "%s: %s", f->path, (const char *) sqlite3_column_text(s, 0));
        r = -EUCLEAN;
    } else {
        f->is_checked = true;
        r = 0;
    }
    (void) sqlite3_finalize(s);
    return r;
}

static int bring_up_to_date(ledger_file *f) {
    sqlite3_stmt *s = NULL;
    int r = sqlite3_prepare_v2(f->db, has_controllers, -1, &s, NULL);

    if (r != SQLITE_OK)
        return fail(f, r);

    r = sqlite3_step(s);
    (void) sqlite3_finalize(s);
    if (r == SQLITE_ROW)
        return 0;
    return r == SQLITE_DONE ? execute(f, add_controllers) : fail(f, r);
}

static int sign_file(ledger_file *f) {
    sqlite3_stmt *s = NULL;
    int r = sqlite3_prepare_v2(f->db,
                               "INSERT INTO ledger (host, since) SELECT ?1, ?2 "
                               "WHERE NOT EXISTS (SELECT 1 FROM ledger)",
                               -1, &s, NULL);

    if (r != SQLITE_OK)
        return fail(f, r);

    bind_text(s, 1, f->host ? f->host : "");
    (void) sqlite3_bind_int64(s, 2, f->is_first ? 0 : (sqlite3_int64) now_realtime());
    r = run(f, s);
    (void) sqlite3_finalize(s);
    return r;
}

/* Whose is it, and from when? */
static int read_signature(ledger_file *f) {
    sqlite3_stmt *s = NULL;
    int r = sqlite3_prepare_v2(f->db, "SELECT host, since FROM ledger", -1, &s, NULL);
    const char *host;

    if (r != SQLITE_OK)
        return fail(f, r);

    r = sqlite3_step(s);
    if (r != SQLITE_ROW) {
        r = fail(f, r == SQLITE_DONE ? SQLITE_CORRUPT : r);
        (void) sqlite3_finalize(s);
        return r;
    }

    r = 0;
    host = (const char *) sqlite3_column_text(s, 0);
    f->since = (usec_t) sqlite3_column_int64(s, 1);
    /* Whatever comes after it is not. */
    f->is_first = false;
    if (f->host && *host && strcmp(host, f->host) != 0) {
        set_why(f,
                "%s was copied from another host, and one request could be carried out on both; "
                "where that host never runs the agent again, remove the file here, else give this "
                "host an empty state directory",
                f->path);
        r = -EXDEV;
    }
    (void) sqlite3_finalize(s);
    return r;
}

static int prepare_statements(ledger_file *f) {
    for (size_t i = 0; i < STATEMENT_MAX_; i++) {
        int r = sqlite3_prepare_v3(f->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &f->statements[i],
                                   NULL);

        if (r != SQLITE_OK)
            return fail(f, r);
    }
    return 0;
}

static int open_file(ledger_file *f) {
    int r;

    if (f->db)
        return 0;

    r = make_file(f);
    if (r < 0)
        return r;

    r = sqlite3_open_v2(f->path, &f->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);
    if (r == SQLITE_OK)
        r = sqlite3_busy_timeout(f->db, 1000);
    if (r != SQLITE_OK)
        return fail(f, r);

    r = execute(f, settings);
    if (r >= 0 && !f->is_checked)
        r = check_file(f);
    if (r >= 0)
        r = execute(f, schema);
    if (r >= 0)
        r = bring_up_to_date(f);
    if (r >= 0)
        r = sign_file(f);
    if (r >= 0)
        r = read_signature(f);
    if (r >= 0)
        r = prepare_statements(f);
    return r;
}

/* ---- A damaged file -------------------------------------------------------------------------- */

static int rename_with_suffix(const char *from, const char *to, const char *suffix) {
    _cleanup_free_ char *old = NULL, *new = NULL;

    if (asprintf(&old, "%s%s", from, suffix) < 0 || asprintf(&new, "%s%s", to, suffix) < 0)
        return -ENOMEM;

    return rename(old, new) < 0 && errno != ENOENT ? -errno : 0;
}

/* The write-ahead log first: beside a new file it would be taken for that one's. */
static int set_aside(ledger_file *f, char **ret_name) {
    _cleanup_free_ char *name = NULL;
    char date[32];
    time_t seconds = (time_t) (now_realtime() / USEC_PER_SEC);
    struct tm utc;
    int r;

    (void) strftime(date, sizeof(date), "%Y%m%dT%H%M%SZ", gmtime_r(&seconds, &utc));
    if (asprintf(&name, "%s.damaged-%s", f->path, date) < 0)
        return -ENOMEM;

    r = rename_with_suffix(f->path, name, "-wal");
    if (r >= 0)
        r = rename_with_suffix(f->path, name, "");
    if (r < 0) {
        set_why(f, "%s is damaged and cannot be set aside: %s", f->path, strerror(-r));
        return r;
    }

    f->is_first = false;
    free(*ret_name);
    *ret_name = TAKE_PTR(name);
    return 0;
}

/* ---- Steps ----------------------------------------------------------------------------------- */

static void refuse_step(ledger_step *s, int r, const char *why) {
    s->entry.r = r;
    s->why = strdup(why);
}

static bool is_status_of_an_answer(int status) {
    for (outcome o = 0; o < OUTCOME_MAX_; o++)
        if (status > 0 && outcome_get(o)->http == status)
            return true;
    return false;
}

/* A disk may give back something else than it took, and SQLite does not see all of that. Where an
 * entry says nothing that was ever written, anything may have been done. */
static int read_entry(ledger_step *s, sqlite3_stmt *found) {
    const char *state = (const char *) sqlite3_column_text(found, 0);
    const void *fingerprint = sqlite3_column_blob(found, 1);
    int status = sqlite3_column_int(found, 2);
    const char *body = (const char *) sqlite3_column_text(found, 3);
    const char *controller = (const char *) sqlite3_column_text(found, 4);

    if (!fingerprint || sqlite3_column_bytes(found, 1) != REQUEST_FINGERPRINT_SIZE ||
        memcmp(fingerprint, s->fingerprint, REQUEST_FINGERPRINT_SIZE) != 0) {
        s->entry.state = LEDGER_CONFLICT;
        return 0;
    }

    if (state && strcmp(state, "received") == 0) {
        s->entry.state = LEDGER_RECEIVED;
        return 0;
    }
    if (!state || strcmp(state, "done") != 0 || !body || !is_status_of_an_answer(status)) {
        s->entry.state = LEDGER_SENT;
        s->known_controller = controller ? strdup(controller) : NULL;
        return controller && !s->known_controller ? -ENOMEM : 0;
    }

    s->entry.state = LEDGER_DONE;
    s->entry.status = status;
    s->known_body = strdup(body);
    return s->known_body ? 0 : -ENOMEM;
}

/* Returns 1 where the id is known. */
static int find(ledger_file *f, ledger_step *s) {
    sqlite3_stmt *found = statement_for(f, FIND, s->id);
    int r = sqlite3_step(found);

    if (r == SQLITE_ROW)
        r = read_entry(s, found) < 0 ? fail(f, SQLITE_NOMEM) : 1;
    else
        r = r == SQLITE_DONE ? 0 : fail(f, r);
    (void) sqlite3_reset(found);
    return r;
}

static bool is_full(ledger_file *f) {
    sqlite3_stmt *s = f->statements[SIZE];
    bool full = sqlite3_step(s) == SQLITE_ROW && sqlite3_column_int64(s, 0) >= 0 &&
                (uint64_t) sqlite3_column_int64(s, 0) >= f->size_max;

    (void) sqlite3_reset(s);
    return full;
}

static const char is_full_text[] =
    "the ledger has reached its size; it empties as entries become a day old";

/* By the clock of who asked, which may be ahead. */
static bool may_have_come_before(const ledger_file *f, usec_t issued) {
    return f->since > 0 && issued < f->since + REQUEST_CLOCK_SKEW;
}

static int insert(ledger_file *f, ledger_step *s) {
    usec_t keep_until = s->expires + KEEP_AFTER_EXPIRY;
    bool may_be_lost = may_have_come_before(f, s->issued);
    sqlite3_stmt *into;

    /* Only what is new is refused: what was begun is always recorded to its end. */
    if (is_full(f)) {
        refuse_step(s, -EDQUOT, is_full_text);
        return 0;
    }

    into = statement_for(f, INSERT, s->id);
    (void) sqlite3_bind_blob(into, 2, s->fingerprint, REQUEST_FINGERPRINT_SIZE, SQLITE_STATIC);
    bind_text(into, 3, may_be_lost ? "sent" : "received");
    (void) sqlite3_bind_int64(into, 4, (sqlite3_int64) keep_until);
    s->entry.state = may_be_lost ? LEDGER_SENT : LEDGER_NEW;
    return run(f, into);
}

static int drop_old_entries(ledger_file *f, usec_t now) {
    sqlite3_stmt *s = statement_for(f, DROP_OLD, NULL);

    (void) sqlite3_bind_int64(s, 1, (sqlite3_int64) now);
    return run(f, s);
}

static int begin(ledger_file *f, ledger_step *s) {
    int r = drop_old_entries(f, s->now);

    if (r >= 0)
        r = find(f, s);
    return r == 0 ? insert(f, s) : r;
}

/* Of an entry that was begun; it can only be missing where the file was set aside meanwhile. */
static int update(ledger_file *f, ledger_step *s, sqlite3_stmt *change, ledger_state state) {
    int r = run(f, change);

    s->entry.state = state;
    if (r >= 0 && sqlite3_changes(f->db) == 0)
        refuse_step(s, -ENOENT, "the record of this request was lost with a damaged ledger");
    return r;
}

static int run_step(ledger_file *f, ledger_step *s) {
    sqlite3_stmt *change;

    switch (s->kind) {
    case STEP_BEGIN:
        return begin(f, s);
    case STEP_MARK_SENT:
        change = statement_for(f, MARK_SENT, s->id);
        bind_text(change, 2, s->controller);
        return update(f, s, change, LEDGER_SENT);
    case STEP_FINISH:
        change = statement_for(f, FINISH, s->id);
        bind_text(change, 2, "done");
        (void) sqlite3_bind_int(change, 3, s->status);
        bind_text(change, 4, s->body);
        return update(f, s, change, LEDGER_DONE);
    default:
        change = statement_for(f, FINISH, s->id);
        bind_text(change, 2, "received");
        return update(f, s, change, LEDGER_RECEIVED);
    }
}

/* Nothing is to be done: proves that something could be. */
static int touch(ledger_file *f) {
    int r = is_full(f) ? drop_old_entries(f, now_realtime()) : 0;

    return r >= 0 ? run(f, f->statements[TOUCH]) : r;
}

/* ---- Transactions ---------------------------------------------------------------------------- */

static void forget_result(ledger_step *s) {
    free(s->why);
    free(s->known_body);
    free(s->known_controller);
    s->why = s->known_body = s->known_controller = NULL;
    s->entry = (ledger_entry){};
}

static int try_transaction(ledger_file *f, ledger_step *first, size_t n) {
    ledger_step *s = first;
    int r = open_file(f);

    if (r >= 0)
        r = execute(f, "BEGIN IMMEDIATE");
    if (r >= 0 && n == 0)
        r = touch(f);
    for (size_t i = 0; i < n && r >= 0; i++, s = s->next) {
        forget_result(s);
        r = run_step(f, s);
    }
    if (r >= 0)
        r = execute(f, "COMMIT");
    /* Opened again next time: the disk may have been mended by then. */
    if (r < 0)
        close_file(f);
    return r;
}

static int commit(ledger_file *f, ledger_step *first, size_t n, char **ret_set_aside) {
    ledger_step *s = first;
    int r = try_transaction(f, first, n);

    if (r == -EUCLEAN) {
        r = set_aside(f, ret_set_aside);
        if (r >= 0)
            r = try_transaction(f, first, n);
    }
    if (r >= 0)
        return r;

    for (size_t i = 0; i < n; i++, s = s->next) {
        forget_result(s);
        refuse_step(s, r, f->why ? f->why : "out of memory");
    }
    return r;
}

int ledger_file_commit(ledger_file *f, ledger_step *steps, char **ret_set_aside, char **ret_why) {
    size_t n = 0;
    int r;

    assert(f);
    assert(ret_set_aside);
    assert(ret_why);

    for (ledger_step *s = steps; s; s = s->next)
        n++;

    r = commit(f, steps, n, ret_set_aside);
    if (r < 0 && n > 1) {
        r = 0;
        for (ledger_step *s = steps; s; s = s->next) {
            int one = commit(f, s, 1, ret_set_aside);

            r = one < 0 ? one : r;
        }
    }

    for (ledger_step *s = steps; s; s = s->next) {
        s->entry.why = s->why ? s->why : "out of memory";
        s->entry.body = s->known_body;
        s->entry.controller = s->known_controller;
    }
    if (r >= 0 && is_full(f)) {
        set_why(f, "%s", is_full_text);
        r = -EDQUOT;
    }
    if (r < 0)
        *ret_why = TAKE_PTR(f->why);
    return r;
}

/* ---- Life ------------------------------------------------------------------------------------ */

int ledger_file_new(const ledger_config *config, ledger_file **ret) {
    _cleanup_(ledger_file_freep) ledger_file *f = NULL;

    assert(config);
    assert(ret);

    f = calloc(1, sizeof(ledger_file));
    if (!f)
        return -ENOMEM;

    f->size_max = config->size_max;
    f->is_first = config->is_first;
    f->path = strdup(config->path);
    f->host = config->host ? strdup(config->host) : NULL;
    if (!f->path || (config->host && !f->host))
        return -ENOMEM;

    *ret = TAKE_PTR(f);
    return 0;
}

ledger_file *ledger_file_free(ledger_file *f) {
    if (!f)
        return NULL;

    close_file(f);
    free(f->path);
    free(f->host);
    free(f->why);
    free(f);
    return NULL;
}
