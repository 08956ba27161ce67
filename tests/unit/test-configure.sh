#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Whoever lacks a library is told by configure which package brings it, each of them at once; and a libcurl that cannot
# reach a relay is refused, with the way to a better one.
set -euo pipefail

srcdir=$(cd "${srcdir:-.}" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

failed=0
check() { # WHAT COMMAND...
    local what=$1
    shift
    if "$@"; then
        echo "ok      $what"
    else
        echo "FAILED  $what"
        sed 's/^/        /' configure.log
        failed=1
    fi
}

# configure SETTING…: it must end with an error, which is in configure.log.
configure_fails() {
    ! env -u PKG_CONFIG_PATH -u CONFIG_SITE "$@" "$srcdir/configure" >configure.log 2>&1
}

mkdir empty
check "configure does not go on without its libraries" configure_fails PKG_CONFIG_LIBDIR="$scratch/empty"

names_packages() {
    local package n=0
    while read -r package; do
        grep -q "^    $package (" configure.log && grep -q "^Install them:  apt install .*$package" configure.log || {
            echo "not named: $package"
            return 1
        }
        ((++n))
    done < <(sed -n 's/^WRITEBACK_NEED(.*\[\([a-z0-9-]*\)\])$/\1/p' "$srcdir/configure.ac")
    ((n > 10))
}
check "each missing library's package is named" names_packages

cat >curl.c <<'C'
#include <curl/curl.h>

curl_version_info_data *curl_version_info(CURLversion version) {
    static const char *const protocols[] = {"http", "https", "ws", NULL};
    static curl_version_info_data info = {.protocols = protocols};

    (void) version;
    return &info;
}
C
${CC:-cc} -c curl.c -o curl.o
mkdir other
cat >other/libcurl.pc <<PC
Name: libcurl
Description: as Debian 12 has it
Version: 99
Libs: $scratch/curl.o
PC
check "a libcurl without wss is refused" configure_fails PKG_CONFIG_PATH="$scratch/other"

says_what_to_do() {
    grep -q 'this libcurl does not speak wss' configure.log &&
        grep -q 'bookworm-backports libcurl4-openssl-dev' configure.log
}
check "and what to install is said" says_what_to_do

exit "$failed"
