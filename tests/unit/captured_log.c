/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/captured_log.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/base/log.h"

void captured_log_begin(captured_log *l) {
    l->file = tmpfile();
    l->stderr_fd = dup(STDERR_FILENO);
    if (!l->file || l->stderr_fd < 0 || dup2(fileno(l->file), STDERR_FILENO) < 0)
        abort();
    log_set_target(LOG_TARGET_STDERR);
}

void captured_log_end(captured_log *l) {
    if (dup2(l->stderr_fd, STDERR_FILENO) < 0)
        abort();
    (void) close(l->stderr_fd);
    (void) fclose(l->file);
}

int captured_log_count(const captured_log *l, const char *text) {
    char *line = NULL;
    size_t size = 0;
    int n = 0;

    rewind(l->file);
    while (getline(&line, &size, l->file) >= 0)
        n += strstr(line, text) != NULL;
    free(line);
    if (fseek(l->file, 0, SEEK_END) < 0)
        abort();
    return n;
}
