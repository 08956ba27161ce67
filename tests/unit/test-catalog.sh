#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What is generated from the table of events can be read by those it is made for: the journal takes
# the catalog, with an entry for every event and its @FIELD@ places kept, and the manual has no
# warning.
#
# Runs in the build folder, after the build. Skipped (77) where journalctl is missing.
set -euo pipefail

command -v journalctl >/dev/null || exit 77

source=${srcdir:-.}
catalog=packaging/writeback.catalog
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

failed=0
check() { # WHAT COMMAND...
    local what=$1
    shift
    if "$@" >"$root/output" 2>&1; then
        echo "ok      $what"
    else
        echo "FAILED  $what"
        sed 's/^/        /' "$root/output"
        failed=1
    fi
}

takes() {
    mkdir -p "$root/usr/lib/systemd/catalog" "$root/var/lib/systemd/catalog"
    cp "$catalog" "$root/usr/lib/systemd/catalog/"
    journalctl --update-catalog --root="$root" && [ -s "$root/var/lib/systemd/catalog/database" ]
}
check "the journal compiles the catalog" takes

has_every_event() {
    journalctl --root="$root" --dump-catalog >"$root/dump"
    grep -o '^EVENT([A-Z_0-9]*, [0-9]*' "$source/agent/base/outcome.def" | grep -o '[0-9]*$' |
        while read -r number; do
            grep -q "^-- [0-9a-f]*$number\$" "$root/dump" || { echo "no entry: $number"; exit 1; }
        done
}
check "every event has an entry" has_every_event

keeps_fields() {
    grep -q '@WRITEBACK_USER@ was reset on @WRITEBACK_DC@' "$root/dump" &&
        grep -q '^Documentation: man:writeback-events(7)' "$root/dump" &&
        grep -q '^Defined-By: writeback-agent' "$root/dump" && grep -q '^ 1\. ' "$root/dump"
}
check "an entry has its fields, its manual and its steps" keeps_fields

# Commands stand whole on lines of their own, since they are there to be copied.
is_narrow() { ! awk 'length > 100 || (length > 80 && !/^        [^ ]/ && !/^Subject: /)' "$catalog" | grep -v '^        '; }
check "its lines fit a terminal, but for commands" is_narrow

has_no_warnings() {
    local page warnings
    command -v man >/dev/null || return 0
    for page in packaging/man/writeback-events.7 "$source"/packaging/man/*.[158]; do
        warnings=$(MANROFFOPT='' man --warnings -E UTF-8 -l "$page" 2>&1 >/dev/null)
        [ -z "$warnings" ] || { echo "$page: $warnings"; return 1; }
    done
}
check "the manual has no warnings" has_no_warnings

# A path that only a step knows is one that nobody has.
knows_paths() {
    sed 's/\\-/-/g' "$source"/packaging/man/*.[158] >"$root/manuals"
    grep -oh '/etc/[a-z./-]*[a-z]' "$catalog" | sort -u | while read -r path; do
        case $path in /etc/writeback* | /etc/credstore*) ;; *) continue ;; esac
        grep -qF -e "$path" "$root/manuals" || { echo "in no manual: $path"; exit 1; }
    done
}
check "a manual knows each path that steps name" knows_paths

# The manual names each setting that the sample configuration has, and the other way round.
settings_agree() {
    diff <(grep -o '^#\?[A-Z][A-Za-z]*=' "$source/packaging/writebackd.conf" | tr -d '#' | sort -u) \
        <(grep -o '^\.B[IR] [A-Z][A-Za-z]*=' "$source/packaging/man/writebackd.conf.5" |
            cut -d' ' -f2 | sort -u)
}
check "manual and sample configuration have the same settings" settings_agree

exit "$failed"
