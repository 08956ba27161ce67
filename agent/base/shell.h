/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Values in commands that people are told to type. Nothing here logs. */

/* The longest value that is put into a command, in bytes. */
#define SHELL_WORD_MAX 1024

/* `value` as one word, or the end of one ("--user=…"), of a POSIX shell (POSIX.1-2017, Shell
 * Command Language, 2.2.2): as it is where nothing in it means anything to a shell, else in single
 * quotes. Whoever sent it, the shell takes it for text.
 *
 * malloc(3)ed. NULL where memory is out, and where there is no such word: it is empty, begins with
 * "-" and would be an option, is longer than SHELL_WORD_MAX, is no valid UTF-8, or holds a control
 * character or a backquote, between which commands stand in our texts. */
char *shell_word(const char *value);

/* Options by which curl(1) goes the way that the agent goes, for a field with FILL_QUOTED
 * (agent/base/fill.h). A proxy's user and password are masked, for the reader to put in.
 *
 * ca_file   NULL: the system's
 * proxy     NULL: none, the environment's neither
 *
 * malloc(3)ed, or NULL where memory is out or a value can be no word. */
char *shell_curl_options(const char *ca_file, const char *proxy);
