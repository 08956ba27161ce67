#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What `make install` puts in place is complete and safe: the unit is valid and hardened, the folder
# of credentials is root's alone, and an administrator's configuration survives. So are the units that the manuals show.
#
# Runs in the build folder, after the build. Skipped (77) where systemd-analyze is missing.
set -euo pipefail

command -v systemd-analyze >/dev/null || exit 77

source=${srcdir:-.}
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

# The exposure level is told times ten.
max_exposure=15

# `make check` hands its own flags down; here they would only be in the way.
install() { env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS make -s install DESTDIR="$root"; }

check "make install works" install
conf=$(find "$root" -path '*/writeback/writebackd.conf')
unit=$(find "$root" -name writebackd.service)
credentials=$(dirname "$conf")/credentials

is_private() { [ "$(stat -c %a "$credentials")" = 700 ]; }
check "the folder of credentials is closed to others" is_private

survives() {
    echo "[Agent]" >"$conf"
    install && [ "$(cat "$conf")" = "[Agent]" ]
}
check "a configuration that is there is not overwritten" survives

has_files() {
    local name
    for name in system/writebackd-health.socket sysusers.d/writeback.conf catalog/writeback.catalog \
        doc/writeback-agent/openapi.yaml man8/writebackd.8 \
        man5/writebackd.conf.5 man1/writebackctl.1 man7/writeback-events.7; do
        [ -n "$(find "$root" -path "*/$name")" ] || { echo "missing: $name"; return 1; }
    done
}
check "the socket, the sysusers snippet, the catalog and the manual are in place" has_files

has_no_placeholders() { ! grep -n '@[a-z]*dir@' "$unit"; }
check "the unit has no unfilled places" has_no_placeholders

# The program is not installed on this host, so the unit checked here names it where it was built.
built_unit=$root/writebackd.service
sed "s|^ExecStart=[^ ]*|ExecStart=$PWD/writebackd|" "$unit" >"$built_unit"
verify() {
    cp "$(find "$root" -name writebackd-health.socket)" "$root/" &&
        systemd-analyze verify --man=no --recursive-errors=no "$built_unit" "$root/writebackd-health.socket" &&
        ! grep -q "writebackd.service" "$root/output"
}
check "systemd-analyze verify has no complaint" verify

hardened() { systemd-analyze security --offline=yes --threshold="$max_exposure" "$built_unit"; }
check "systemd-analyze security gives at most 1.5" hardened

# Units and drop-ins that the manuals and README.md show, as who copies them gets them: under the name that a comment
# gives, the others as drop-ins of the agent's unit.
extract_units() { # PAGE…
    awk -v folder="$root/shown" '
        function begin() { file = ""; shown = 1 }
        FNR == 1 { shown = 0; is_roff = FILENAME ~ /\.[1-8]$/ }
        is_roff && /^\.EX/ { begin(); next }
        is_roff && /^\.EE/ { shown = 0 }
        !is_roff && !/^    / { shown = 0 }
        !is_roff && /^    / && !shown { begin(); indent = match($0, /[^ ]/) }
        !shown { next }
        is_roff { gsub(/\\-/, "-"); gsub(/\\\(dq/, "\""); gsub(/\\f./, ""); gsub(/\\&/, ""); gsub(/\\e/, "\\") }
        !is_roff { $0 = substr($0, indent) }
        sub(/^# \/etc\/systemd\/system\//, "") { file = folder "/" $0; next }
        /^ *\[(Unit|Service|Socket|Path|Timer)\]/ && file == "" { file = folder "/writebackd.service.d/" ++n ".conf" }
        file != "" { print > file }
    ' "$@"
}
shown_units_are_right() {
    mkdir -p "$root/shown/writebackd.service.d"
    cp "$built_unit" "$root/shown/"
    extract_units "$source"/packaging/man/*.[1-8] "$source/README.md"
    find "$root/shown" -type f
    # Three drop-ins, and those of SHARED KEYS in writebackctl(1).
    (($(find "$root/shown/writebackd.service.d" -name '*.conf' | wc -l) >= 3)) && [ -e "$root/shown/writeback-share.path" ] || return
    systemd-analyze verify --man=no --recursive-errors=no $(find "$root/shown" -maxdepth 1 -type f) >"$root/said" 2>&1 || echo "status $?" >>"$root/said"
    # What is nobody's fault here: other units of this host.
    ! grep -e "$root/shown" -e '^status' -e writeback "$root/said"
}
check "systemd-analyze verify has no complaint of what the manuals show" shown_units_are_right

creates_user() {
    local snippet
    snippet=$(find "$root" -path '*/sysusers.d/writeback.conf')
    mkdir -p "$root/image/etc" && systemd-sysusers --root="$root/image" "$snippet" &&
        grep -q '^writeback:.*:/var/lib/writeback:' "$root/image/etc/passwd"
}
check "systemd-sysusers makes the service's user" creates_user

exit "$failed"
