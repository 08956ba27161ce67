/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ctl/keys_share.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/base/file.h"

static _printf_(3, 4) int fail(int r, char **ret_why, const char *format, ...) {
    va_list ap;

    va_start(ap, format);
    if (vasprintf(ret_why, format, ap) < 0)
        *ret_why = NULL;
    va_end(ap);
    return r;
}

/* A file that the shell has just made has whatever mode the umask left. */
static int check_output(char **ret_why) {
    struct stat st;

    if (isatty(STDOUT_FILENO))
        return fail(-EINVAL, ret_why,
                    "standard output is a terminal, and private keys must not be seen there; send "
                    "them to the other agent: writebackctl keys export --private | ssh root@HOST "
                    "writebackctl keys import -");
    if (fstat(STDOUT_FILENO, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & (S_IRWXG | S_IRWXO)))
        return fail(-EPERM, ret_why,
                    "standard output is a file that is open to others than its owner (mode %04o), "
                    "and nothing was written to it; chmod 600 it first, or: umask 077",
                    st.st_mode & 07777U);
    return 0;
}

int keys_share_write(const agent_keys_options *options, char **ret_why) {
    _cleanup_(secret_freep) secret *text = NULL;
    int r;

    r = check_output(ret_why);
    if (r == 0)
        r = agent_keys_export(options, &text, ret_why);
    if (r < 0)
        return r;

    fprintf(
        stderr,
        "writebackctl: these are the agent's keys with their private halves, %s.\n"
        "Whoever can open them reads requests that are sealed to them, and signs receipts. Send "
        "them over ssh,\nand to agents on the same hybrid connection only. A file of them has "
        "mode 600 and is deleted when it was imported.\n",
        options->seal ? "sealed with the credential of SealCredential=" : "in the clear");

    /* No copy of them stays behind in a buffer. */
    (void) setvbuf(stdout, NULL, _IONBF, 0);
    if (fwrite(secret_data(text), 1, secret_size(text), stdout) != secret_size(text) ||
        putchar('\n') == EOF)
        return fail(-EIO, ret_why, "they cannot be written: %m");
    return 0;
}

int keys_share_read(const char *path, secret **ret, char **ret_why) {
    bool is_input = strcmp(path, "-") == 0;
    int r;

    r = is_input ? file_read_descriptor(STDIN_FILENO, AGENT_KEYS_FILE_MAX, ret)
                 : file_read(path, AGENT_KEYS_FILE_MAX, ret);
    if (r < 0)
        return fail(r, ret_why, "%s cannot be read: %s", is_input ? "standard input" : path,
                    r == -EFBIG ? "more than 64 KiB are no agent's keys" : strerror(-r));
    return 0;
}
