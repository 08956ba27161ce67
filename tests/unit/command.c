/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/encoding.h"

static char folder[64];

static void die(const char *what, const char *which) {
    (void) fprintf(stderr, "%s: %s\n", what, which);
    abort();
}

static char *vformat(const char *pattern, va_list ap) {
    char *text;

    if (vasprintf(&text, pattern, ap) < 0)
        die("out of memory", pattern);
    return text;
}

char *format(const char *pattern, ...) {
    va_list ap;
    char *text;

    va_start(ap, pattern);
    text = vformat(pattern, ap);
    va_end(ap);
    return text;
}

const char *scratch(void) {
    if (!folder[0]) {
        const char *parent = getenv("TMPDIR");

        (void) snprintf(folder, sizeof(folder), "%.40s/writeback-XXXXXX", parent ? parent : "/tmp");
        if (!mkdtemp(folder))
            die("no folder can be made", folder);
    }
    return folder;
}

void scratch_remove(void) {
    if (folder[0])
        free(command("rm -rf '%s'", folder));
    folder[0] = '\0';
}

char *scratch_path(const char *name) {
    return format("%s/%s", scratch(), name);
}

void scratch_write(const char *name, const char *text) {
    _cleanup_free_ char *path = scratch_path(name);
    FILE *file = fopen(path, "we");

    if (!file || fputs(text, file) < 0 || fclose(file) != 0)
        die("cannot be written", path);
}

char *command(const char *pattern, ...) {
    _cleanup_free_ char *line = NULL, *whole = NULL;
    char *output = NULL;
    size_t size = 0;
    FILE *pipe, *memory;
    va_list ap;
    int c;

    va_start(ap, pattern);
    line = vformat(pattern, ap);
    va_end(ap);

    whole = format("cd '%s' && %s", scratch(), line);
    pipe = popen(whole, "re");
    memory = open_memstream(&output, &size);
    if (!pipe || !memory)
        die("cannot be started", line);

    while ((c = getc(pipe)) != EOF)
        (void) putc(c, memory);
    if (fclose(memory) != 0 || pclose(pipe) != 0)
        die("failed", line);
    return output;
}

char *base64url(const char *text) {
    char *encoded = base64_encode(text, strlen(text));

    if (!encoded)
        die("out of memory", text);

    for (char *p = encoded; *p; p++) {
        if (*p == '+')
            *p = '-';
        else if (*p == '/')
            *p = '_';
        else if (*p == '=')
            *p = '\0';
    }
    return encoded;
}
