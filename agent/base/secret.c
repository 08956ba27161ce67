/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/secret.h"

#include <errno.h>
#include <jansson.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>

/* Sixteen requests of 256 KiB at once and their JSON; a power of two, as OpenSSL wants it. */
#define SECURE_HEAP_SIZE ((size_t) 16 * 1024 * 1024)
#define SECURE_HEAP_MIN 32

struct secret {
    size_t size;
    char data[];
};

/* ---- Set-up ---------------------------------------------------------------------------------- */

int secret_memory_init(int *ret_lock_error) {
    assert(ret_lock_error);

    if (prctl(PR_SET_DUMPABLE, 0) < 0)
        return -errno;

    /* Not secret_malloc(): libjose gives what jansson allocated to plain free(3). */
    json_set_alloc_funcs(malloc, secret_mfree);

    /* Libraries hold copies for a moment in memory that is not ours, so lock it all. */
    *ret_lock_error = mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0 ? -errno : 0;

#ifndef WRITEBACK_SANITIZERS
    /* The sanitizers see nothing inside OpenSSL's heap; there the ordinary one stays in use. */
    if (CRYPTO_secure_malloc_init(SECURE_HEAP_SIZE, SECURE_HEAP_MIN) == 0)
        return -ENOMEM;
#endif

    return 0;
}

/* ---- The secure heap ------------------------------------------------------------------------- */

static void *secret_malloc(size_t size) {
    return CRYPTO_secure_malloc_initialized() ? OPENSSL_secure_malloc(size) : malloc(size);
}

void *secret_calloc(size_t n, size_t size) {
    void *p;

    if (size != 0 && n > SIZE_MAX / size)
        return NULL;

    p = secret_malloc(n * size);
    if (p)
        memset(p, 0, n * size);
    return p;
}

void secret_mfree(void *p) {
    if (!p)
        return;

    if (CRYPTO_secure_allocated(p)) {
        OPENSSL_secure_clear_free(p, CRYPTO_secure_actual_size(p));
        return;
    }

    OPENSSL_cleanse(p, malloc_usable_size(p));
    free(p);
}

/* ---- A secret -------------------------------------------------------------------------------- */

int secret_new_empty(size_t size, secret **ret) {
    secret *s;

    assert(ret);

    if (size > SIZE_MAX - sizeof(secret) - 1)
        return -ENOMEM;

    s = secret_calloc(1, sizeof(secret) + size + 1);
    if (!s)
        return -ENOMEM;

    s->size = size;
    *ret = s;
    return 0;
}

int secret_new(const void *data, size_t size, secret **ret) {
    secret *s;
    int r;

    assert(data || size == 0);
    assert(ret);

    r = secret_new_empty(size, &s);
    if (r < 0)
        return r;

    if (size > 0)
        memcpy(s->data, data, size);
    *ret = s;
    return 0;
}

secret *secret_free(secret *s) {
    secret_mfree(s);
    return NULL;
}

const char *secret_data(const secret *s) {
    assert(s);
    return s->data;
}

size_t secret_size(const secret *s) {
    assert(s);
    return s->size;
}

char *secret_buffer(secret *s) {
    assert(s);
    return s->data;
}

void secret_truncate(secret *s, size_t size) {
    assert(s);
    assert(size <= s->size);

    OPENSSL_cleanse(s->data + size, s->size - size);
    s->size = size;
}

bool secret_equal(const secret *a, const secret *b) {
    assert(a);
    assert(b);

    return a->size == b->size && CRYPTO_memcmp(a->data, b->data, a->size) == 0;
}
