# SPDX-License-Identifier: Apache-2.0

# WRITEBACK_NEED(VARIABLE, MODULE, VERSION, DEBIAN-PACKAGE)
# Like PKG_CHECK_MODULES, but missing ones are collected, so that configure names them all at once.
AC_DEFUN([WRITEBACK_NEED], [
    AC_MSG_CHECKING([for $2 >= $3])
    AS_IF([$PKG_CONFIG --exists "$2 >= $3" 2>/dev/null], [
        $1_CFLAGS=`$PKG_CONFIG --cflags "$2"`
        $1_LIBS=`$PKG_CONFIG --libs "$2"`
        AC_MSG_RESULT([`$PKG_CONFIG --modversion "$2"`])
    ], [
        AS_IF([$PKG_CONFIG --exists "$2" 2>/dev/null],
              [writeback_found="`$PKG_CONFIG --modversion "$2"` is too old"],
              [writeback_found="no"])
        AC_MSG_RESULT([$writeback_found])
        writeback_missing="$writeback_missing
    $4 ($2 >= $3: $writeback_found)"
        writeback_packages="$writeback_packages $4"
    ])
    AC_SUBST([$1_CFLAGS])
    AC_SUBST([$1_LIBS])
])

# WRITEBACK_FAIL_IF_MISSING
# Ends with the list of what WRITEBACK_NEED did not find.
AC_DEFUN([WRITEBACK_FAIL_IF_MISSING], [
    AS_IF([test -n "$writeback_missing"], [
        AC_MSG_ERROR([these libraries are missing; the Debian package stands first:
$writeback_missing

Install them:  apt install$writeback_packages
On Debian 12 libcurl4-openssl-dev comes from bookworm-backports:  apt install -t bookworm-backports libcurl4-openssl-dev])
    ])
])

# WRITEBACK_CURL_SPEAKS_WSS
# Debian 12's own libcurl has the WebSocket functions but not the protocol: linking passes, running
# fails. So ask the library itself.
AC_DEFUN([WRITEBACK_CURL_SPEAKS_WSS], [
    AC_MSG_CHECKING([whether libcurl speaks wss])
    writeback_save_CFLAGS="$CFLAGS"
    writeback_save_LIBS="$LIBS"
    CFLAGS="$CFLAGS $CURL_CFLAGS"
    LIBS="$CURL_LIBS $LIBS"
    AC_RUN_IFELSE([AC_LANG_PROGRAM([[
#include <curl/curl.h>
#include <string.h>
]], [[
        const char *const *p = curl_version_info(CURLVERSION_NOW)->protocols;
        for (; *p; p++)
            if (strcmp(*p, "wss") == 0)
                return 0;
        return 1;
]])], [AC_MSG_RESULT([yes])], [
        AC_MSG_RESULT([no])
        AC_MSG_ERROR([this libcurl does not speak wss (WebSocket over TLS), without which no relay can be reached.
Debian 12:  apt install -t bookworm-backports libcurl4-openssl-dev
Debian 13:  apt install libcurl4-openssl-dev])
    ], [AC_MSG_RESULT([cross-compiling: the daemon checks it when it starts])])
    CFLAGS="$writeback_save_CFLAGS"
    LIBS="$writeback_save_LIBS"
])

# WRITEBACK_ADD_FLAGS(VARIABLE, FLAGS)
# Adds each flag that the compiler knows.
AC_DEFUN([WRITEBACK_ADD_FLAGS], [
    for writeback_flag in m4_normalize([$2]); do
        writeback_save_CFLAGS="$CFLAGS"
        CFLAGS="$CFLAGS -Werror $writeback_flag"
        AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])], [$1="$$1 $writeback_flag"])
        CFLAGS="$writeback_save_CFLAGS"
    done
    AC_SUBST([$1])
])
