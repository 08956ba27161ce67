/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ctl/ctl.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* https://no-color.org */
static bool has_colours(void) {
    const char *no_colour = getenv("NO_COLOR");
    const char *terminal = getenv("TERM");

    return isatty(STDOUT_FILENO) && !(no_colour && *no_colour) && terminal &&
           strcmp(terminal, "dumb") != 0;
}

const char *ctl_begin(ctl_colour colour) {
    static const char *const sequences[] = {
        [COLOUR_NONE] = "",          [COLOUR_BOLD] = "\x1b[1m",    [COLOUR_FAINT] = "\x1b[2m",
        [COLOUR_GREEN] = "\x1b[32m", [COLOUR_YELLOW] = "\x1b[33m", [COLOUR_RED] = "\x1b[31m",
    };

    return has_colours() ? sequences[colour] : "";
}

const char *ctl_end(void) {
    return has_colours() ? "\x1b[0m" : "";
}

size_t ctl_width(void) {
    struct winsize size;

    if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
        return 80;
    if (size.ws_col < 40)
        return 40;
    return size.ws_col > 100 ? 100 : size.ws_col;
}
