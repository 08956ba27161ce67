/* SPDX-License-Identifier: Apache-2.0 */

/* Preloaded into a lab's controller: a clock that is $CLOCK_OFFSET seconds ahead of the host's.
 *
 *     cc -O2 -shared -fPIC -o other-clock.so other-clock.c */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long offset(void) {
    const char *text = getenv("CLOCK_OFFSET");

    return text ? atol(text) : 0;
}

int clock_gettime(clockid_t id, struct timespec *ret) {
    static int (*real)(clockid_t, struct timespec *);
    int r;

    if (!real)
        *(void **) &real = dlsym(RTLD_NEXT, "clock_gettime");

    r = real(id, ret);
    if (r == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        ret->tv_sec += offset();
    return r;
}

int gettimeofday(struct timeval *restrict ret, void *restrict zone) {
    struct timespec now;
    int r = clock_gettime(CLOCK_REALTIME, &now);

    (void) zone;
    *ret = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return r;
}

time_t time(time_t *ret) {
    struct timespec now;

    (void) clock_gettime(CLOCK_REALTIME, &now);
    if (ret)
        *ret = now.tv_sec;
    return now.tv_sec;
}
