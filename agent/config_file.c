/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/config_file.h"

#include <dirent.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* inih cuts a longer line in two without a word, so such lines are refused before it sees them. */
#define LINE_MAX_BYTES 198

#define NOT_A_LINE "this is neither a section ([Agent]) nor a setting (Key=value)"

/* One file while it is read; inih calls back once for the reader and once for each value. */
typedef struct parser {
    config_file *into;
    const char *path;
    FILE *stream;
    char *line;
    size_t capacity;
    int number;         /* of the line read last */
    int section_number; /* of the section header read last */
    bool continues;     /* the line read last begins with white space */
    config_setting *last;
    int r;
    char *why;
} parser;

static void _printf_(3, 4) fail(parser *p, int line, const char *format, ...) {
    _cleanup_free_ char *text = NULL;
    va_list args;
    int r;

    if (p->r < 0)
        return;

    p->r = -EINVAL;
    va_start(args, format);
    r = vasprintf(&text, format, args);
    va_end(args);
    if (r < 0 || asprintf(&p->why, "%s:%d: %s", p->path, line, text) < 0)
        p->why = NULL;
}

static void fail_for_memory(parser *p) {
    if (p->r == 0)
        p->r = -ENOMEM;
}

/* What inih takes: an empty line, a comment, a section, a setting, or more of the setting before.
 */
static bool has_form(const char *line) {
    return line[0] == '\0' || strchr(";#[ \t", line[0]) || strpbrk(line, "=:");
}

static void look_at_line(parser *p, size_t length) {
    if (length > LINE_MAX_BYTES)
        fail(
            p, p->number,
            "the line has %zu characters, at most %d are allowed; continue it on the next line, which "
            "begins with a space",
            length, LINE_MAX_BYTES);
    if (strlen(p->line) != length)
        fail(p, p->number, "the line holds a NUL character");
    if (!has_form(p->line))
        fail(p, p->number, NOT_A_LINE);
    if (p->line[0] == '[')
        p->section_number = p->number;
    p->continues = p->line[0] == ' ' || p->line[0] == '\t';
}

static char *read_line(char *buffer, int size, void *userdata) {
    parser *p = userdata;
    ssize_t n;

    if (p->r < 0)
        return NULL;

    n = getline(&p->line, &p->capacity, p->stream);
    if (n < 0)
        return NULL;

    p->number++;
    if (n > 0 && p->line[n - 1] == '\n')
        p->line[--n] = '\0';
    look_at_line(p, (size_t) n);
    if (p->r < 0)
        return NULL;

    (void) snprintf(buffer, (size_t) size, "%s", p->line);
    return buffer;
}

static int set_place(const parser *p, int line, config_place *ret) {
    ret->file = strdup(p->path);
    ret->line = line;
    return ret->file ? 0 : -ENOMEM;
}

static bool same_text(const char *a, const char *b) {
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static config_section *find_section(config_file *f, const char *type, const char *name) {
    for (size_t i = 0; i < f->n_sections; i++)
        if (same_text(f->sections[i].type, type) && same_text(f->sections[i].name, name))
            return &f->sections[i];

    return NULL;
}

static config_section *add_section(parser *p, const char *type, const char *name) {
    config_file *f = p->into;
    config_section *larger, *s;

    larger = reallocarray(f->sections, f->n_sections + 1, sizeof(config_section));
    if (!larger)
        return NULL;

    f->sections = larger;
    s = &f->sections[f->n_sections++];
    *s = (config_section){.type = strdup(type), .name = name ? strdup(name) : NULL};
    if (!s->type || (name && !s->name) || set_place(p, p->section_number, &s->place) < 0)
        return NULL;

    return s;
}

/* Splits `Relay "primary"` into type and name, in place. */
static int split_header(char *header, char **ret_name) {
    char *quote = strchr(header, '"');
    char *end;

    *ret_name = NULL;
    if (!quote)
        return 0;

    end = strchr(quote + 1, '"');
    if (!end || end == quote + 1 || end[1] != '\0' || quote == header || quote[-1] != ' ')
        return -EINVAL;

    *end = '\0';
    *ret_name = quote + 1;
    while (quote > header && quote[-1] == ' ')
        quote--;
    *quote = '\0';
    return 0;
}

static config_section *section_of(parser *p, const char *header) {
    _cleanup_free_ char *copy = strdup(header);
    config_section *s;
    char *name;

    if (!copy) {
        fail_for_memory(p);
        return NULL;
    }
    if (*copy == '\0') {
        fail(p, p->number, "a setting stands before the first section; begin with [Agent]");
        return NULL;
    }
    if (split_header(copy, &name) < 0) {
        fail(p, p->section_number, "[%s] is no section header; write [Type] or [Type \"name\"]",
             header);
        return NULL;
    }

    s = find_section(p->into, copy, name);
    if (!s)
        s = add_section(p, copy, name);
    if (!s)
        fail_for_memory(p);
    return s;
}

static int continue_value(config_setting *s, const char *value) {
    char *joined;

    if (asprintf(&joined, "%s\n%s", s->value, value) < 0)
        return -ENOMEM;

    free(s->value);
    s->value = joined;
    return 0;
}

static void setting_done(config_setting *s) {
    free(s->key);
    free(s->value);
    free(s->place.file);
}

/* Drops what earlier files said of this key: a later file replaces it. */
static void forget_earlier_files(const parser *p, config_section *section, const char *key) {
    size_t kept = 0;

    for (size_t i = 0; i < section->n_settings; i++) {
        config_setting *s = &section->settings[i];

        if (strcmp(s->key, key) == 0 && strcmp(s->place.file, p->path) != 0)
            setting_done(s);
        else
            section->settings[kept++] = *s;
    }
    section->n_settings = kept;
}

static int add_setting(parser *p, config_section *section, const char *key, const char *value) {
    config_setting *larger, *s;

    larger = reallocarray(section->settings, section->n_settings + 1, sizeof(config_setting));
    if (!larger)
        return -ENOMEM;

    section->settings = larger;
    s = &section->settings[section->n_settings++];
    *s = (config_setting){.key = strdup(key), .value = strdup(value)};
    p->last = s;
    return s->key && s->value ? set_place(p, p->number, &s->place) : -ENOMEM;
}

static int on_value(void *userdata, const char *header, const char *key, const char *value) {
    parser *p = userdata;
    config_section *section;
    int r;

    if (p->r < 0)
        return 0;

    section = section_of(p, header);
    if (!section)
        return 0;

    if (p->continues && p->last && strcmp(p->last->key, key) == 0) {
        r = continue_value(p->last, value);
    } else {
        forget_earlier_files(p, section, key);
        r = add_setting(p, section, key, value);
    }
    if (r < 0)
        fail_for_memory(p);
    return p->r == 0;
}

static int read_one(config_file *into, const char *path, char **ret_why) {
    parser p = {.into = into, .path = path};
    int line;

    p.stream = fopen(path, "re");
    if (!p.stream) {
        int r = -errno;

        if (asprintf(ret_why, "%s: cannot be read: %s", path, strerror(-r)) < 0)
            *ret_why = NULL;
        return r;
    }

    line = ini_parse_stream(read_line, &p, on_value, &p);
    if (p.r == 0 && ferror(p.stream))
        p.r = -EIO;
    if (p.r == 0 && line != 0)
        fail(&p, line, NOT_A_LINE);

    fclose(p.stream);
    free(p.line);
    if (p.r < 0)
        *ret_why = p.why;
    return p.r;
}

static int is_drop_in(const struct dirent *entry) {
    const char *dot = strrchr(entry->d_name, '.');

    return entry->d_name[0] != '.' && dot && strcmp(dot, ".conf") == 0;
}

static int read_drop_ins(config_file *into, const char *path, char **ret_why) {
    _cleanup_free_ char *folder = NULL;
    struct dirent **entries = NULL;
    int n, r = 0;

    if (asprintf(&folder, "%s.d", path) < 0)
        return -ENOMEM;

    n = scandir(folder, &entries, is_drop_in, alphasort);
    if (n < 0)
        return errno == ENOENT ? 0 : -errno;

    for (int i = 0; i < n; i++) {
        _cleanup_free_ char *file = NULL;

        if (r == 0)
            r = asprintf(&file, "%s/%s", folder, entries[i]->d_name) < 0
                    ? -ENOMEM
                    : read_one(into, file, ret_why);
        free(entries[i]);
    }
    free(entries);
    return r;
}

int config_file_read(const char *path, config_file *ret, char **ret_why) {
    config_file f = {};
    int r;

    assert(path);
    assert(ret);
    assert(ret_why);

    *ret_why = NULL;
    r = read_one(&f, path, ret_why);
    if (r == 0)
        r = read_drop_ins(&f, path, ret_why);
    if (r < 0) {
        config_file_done(&f);
        return r;
    }

    *ret = f;
    return 0;
}

void config_file_done(config_file *f) {
    assert(f);

    for (size_t i = 0; i < f->n_sections; i++) {
        config_section *s = &f->sections[i];

        for (size_t k = 0; k < s->n_settings; k++)
            setting_done(&s->settings[k]);
        free(s->settings);
        free(s->type);
        free(s->name);
        free(s->place.file);
    }
    free(f->sections);
    *f = (config_file){};
}
