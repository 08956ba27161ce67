/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/run_ctl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "tests/unit/command.h"

void run_shell(ctl_run *r, const char *line) {
    FILE *f = popen(line, "r");
    size_t n;
    int status;

    assert_non_null(f);
    n = fread(r->text, 1, sizeof(r->text) - 1, f);
    r->text[n] = '\0';
    status = pclose(f);
    assert_true(WIFEXITED(status));
    r->status = WEXITSTATUS(status);
}

void run_ctl(ctl_run *r, const char *arguments) {
    _cleanup_free_ char *line = format("./writebackctl %s", arguments);

    run_shell(r, line);
}

void assert_says(const ctl_run *r, const char *what) {
    if (!strstr(r->text, what))
        fail_msg("it does not say \"%s\" but:\n%s", what, r->text);
}

void assert_says_in_order(const ctl_run *r, const char *first, const char *second,
                          const char *third) {
    const char *all[] = {first, second, third}, *from = r->text;

    for (size_t i = 0; i < ELEMENTSOF(all); i++) {
        const char *found = strstr(from, all[i]);

        if (!found)
            fail_msg("it does not say \"%s\" there but:\n%s", all[i], r->text);
        else
            from = found + strlen(all[i]);
    }
}
