/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/https_server.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/base/json.h"
#include "tests/unit/command.h"

static FILE *to, *from;
static pid_t pid;
static json_int_t port, proxy_port;

static void die(const char *what) {
    perror(what);
    abort();
}

static json_t *read_reply(void) {
    json_t *reply = json_loadf(from, JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK, NULL);

    if (!reply)
        die("https-server.js does not reply");
    return reply;
}

static json_int_t read_number(void) {
    _cleanup_(json_freep) json_t *reply = read_reply();

    return json_integer_value(reply);
}

static void run_node(int in, int out) {
    if (chdir(scratch()) < 0 || dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0)
        _exit(127);
    (void) execlp("node", "node", UNIT_TESTS "/https-server.js", NULL);
    perror("node");
    _exit(127);
}

void https_server_start(void) {
    int orders[2], replies[2];

    free(command("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
                 "-subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout server.key "
                 "-out server.pem 2>&1"));

    if (pipe2(orders, O_CLOEXEC) < 0 || pipe2(replies, O_CLOEXEC) < 0)
        die("pipe");
    pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0)
        run_node(orders[0], replies[1]);

    (void) close(orders[0]);
    (void) close(replies[1]);
    to = fdopen(orders[1], "w");
    from = fdopen(replies[0], "r");
    if (!to || !from)
        die("fdopen");

    proxy_port = read_number();
    port = read_number();
}

void https_server_stop(void) {
    (void) fclose(to);
    (void) fclose(from);
    (void) waitpid(pid, NULL, 0);
}

char *https_server_url(const char *path) {
    return format("https://localhost:%" JSON_INTEGER_FORMAT "%s", port, path);
}

char *https_server_proxy(void) {
    return format("http://127.0.0.1:%" JSON_INTEGER_FORMAT, proxy_port);
}

json_t *https_server_order(const char *pattern, ...) {
    _cleanup_(json_freep) json_t *order = NULL;
    va_list ap;

    va_start(ap, pattern);
    order = json_vpack_ex(NULL, 0, pattern, ap);
    va_end(ap);

    if (!order || json_dumpf(order, to, JSON_COMPACT) < 0 || fputc('\n', to) == EOF ||
        fflush(to) != 0)
        die("https-server.js cannot be told");
    return read_reply();
}

void https_server_answer(const char *path, int status, const char *body) {
    json_decref(
        https_server_order("{s:s, s:i, s:s}", "answer", path, "status", status, "body", body));
}

json_int_t https_server_count(const char *path) {
    _cleanup_(json_freep) json_t *count = https_server_order("{s:s}", "count", path);

    return json_integer_value(count);
}

void https_server_set_up(bool up) {
    json_decref(https_server_order("{s:b}", "up", up));
}
