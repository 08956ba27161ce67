/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ctl/redact.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/ctl/setting_line.h"

static void put_piece(const char *text, size_t size, bool is_secret, void *userdata) {
    if (is_secret)
        fputs(REDACTED, userdata);
    else
        (void) fwrite(text, 1, size, userdata);
}

/* *shown tells from then on whether the lines that continue it may be seen. */
static void put_setting(FILE *f, const setting_line *s, bool *shown) {
    *shown = false;
    if (s->kind == SETTING_UNKNOWN) {
        fputs("# (masked: no setting of writebackd.conf)", f);
        return;
    }
    fprintf(f, "%s=", s->key);
    if (s->kind == SETTING_CREDENTIAL) {
        fputs(!*s->value || is_credential_name(s->value) ? s->value : REDACTED, f);
        return;
    }
    /* An address may be split anywhere, so the whole of it stands here; a connection string too,
     * also within a key's name. */
    *shown = s->kind != SETTING_ADDRESS && strcmp(s->key, "ConnectionString") != 0;
    setting_value_split(s->kind, s->kind == SETTING_ADDRESS ? s->value : s->first, put_piece, f);
}

static void put_line(FILE *f, const char *line, size_t n, bool *shown) {
    const char *bracket = memchr(line, ']', n);
    _cleanup_(setting_line_done) setting_line s = {0};

    if (n == 0)
        return;
    if (is_comment_line(line)) {
        fputc('#', f);
    } else if (isspace((unsigned char) *line)) {
        _cleanup_free_ char *more = setting_trim(line, n);

        if (more && *more) {
            fputs("    ", f);
            setting_value_split(SETTING_OTHER, *shown ? more : REDACTED, put_piece, f);
        }
    } else if (*line == '[' && bracket) {
        *shown = false;
        fwrite(line, 1, (size_t) (bracket + 1 - line), f);
    } else if (setting_line_read(line, &s)) {
        put_setting(f, &s, shown);
    } else {
        *shown = false;
        fputs("# " REDACTED, f);
    }
}

char *redact_config(const char *text) {
    bool shown = false;
    char *redacted = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&redacted, &size);

    if (!f)
        return NULL;
    while (*text) {
        size_t n = strcspn(text, "\n");

        put_line(f, text, n, &shown);
        fputc('\n', f);
        text += n + (text[n] == '\n');
    }
    if (fclose(f) != 0) {
        free(redacted);
        return NULL;
    }
    return redacted;
}
