/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The few words that every file uses: cleanup attributes, ownership transfer, time units. */

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* Microseconds; a deadline is a usec_t of CLOCK_MONOTONIC, a date a usec_t of CLOCK_REALTIME. */
typedef uint64_t usec_t;

#define USEC_PER_MSEC ((usec_t) 1000)
#define USEC_PER_SEC ((usec_t) 1000000)
#define USEC_PER_MINUTE (60 * USEC_PER_SEC)
#define USEC_PER_HOUR (60 * USEC_PER_MINUTE)
#define USEC_PER_DAY (24 * USEC_PER_HOUR)
#define USEC_INFINITY UINT64_MAX

#define _cleanup_(function) __attribute__((__cleanup__(function)))
#define _sentinel_ __attribute__((__sentinel__))
#define _printf_(format, first) __attribute__((__format__(__printf__, format, first)))

#define ELEMENTSOF(array) (sizeof(array) / sizeof((array)[0]))

/* Hands a pointer over: the variable is NULL afterwards. */
#define TAKE_PTR(pointer)                                                                          \
    __extension__({                                                                                \
        __typeof__(pointer) _taken = (pointer);                                                    \
        (pointer) = NULL;                                                                          \
        _taken;                                                                                    \
    })

/* Defines `void functionp(type *p)`, the destructor for `_cleanup_(functionp)`. */
#define DEFINE_CLEANUP(type, function)                                                             \
    static inline void function##p(type *p) {                                                      \
        if (*p)                                                                                    \
            (void) function(*p);                                                                   \
    }                                                                                              \
    struct function##_semicolon_is_swallowed

static inline void freep(void *p) {
    free(*(void **) p);
}

#define _cleanup_free_ _cleanup_(freep)

static inline void closep(int *fd) {
    extern int close(int);
    if (*fd >= 0)
        (void) close(*fd);
}

#define _cleanup_close_ _cleanup_(closep)
