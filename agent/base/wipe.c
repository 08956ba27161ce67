/* SPDX-License-Identifier: Apache-2.0 */
/* Wipes all memory that is freed, by whatever library.
 *
 * libldap builds its messages, passwords and all, in memory of malloc(3), and nothing else can be
 * told to it: LBER_OPT_MEMORY_FNS has no say in what has no context. So malloc(3)'s family wipes.
 * glibc lets a program replace it ("Replacing malloc" in its manual) and keeps its own by another
 * name. The sanitizers replace it, too, and go first. */

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#ifndef WRITEBACK_SANITIZERS

void __libc_free(void *p); /* NOLINT(bugprone-reserved-identifier) */

void free(void *p) {
    if (!p)
        return;

    explicit_bzero(p, malloc_usable_size(p));
    __libc_free(p);
}

/* glibc's own gives back what it cuts off or moves away from by itself, unwiped. */
void *realloc(void *p, size_t size) {
    size_t had = malloc_usable_size(p);
    void *other;

    if (p && size == 0) {
        free(p);
        return NULL;
    }
    if (p && size <= had && size >= had / 2)
        return p;

    other = malloc(size);
    if (other && p) {
        memcpy(other, p, had < size ? had : size);
        free(p);
    }
    return other;
}

#endif
