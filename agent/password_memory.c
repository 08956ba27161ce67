/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/password_memory.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <string.h>

#define KEY_SIZE 32
#define FINGERPRINT_SIZE 32
#define ID_SIZE 65
/* Far more than one agent sets in a request's life of ten minutes. */
#define ENTRIES 4096

typedef struct entry {
    char id[ID_SIZE];
    unsigned char fingerprint[FINGERPRINT_SIZE];
} entry;

struct password_memory {
    secret *key;
    entry entries[ENTRIES]; /* a ring */
    size_t next;
};

int password_memory_new(password_memory **ret) {
    _cleanup_(password_memory_freep) password_memory *m = NULL;
    int r;

    assert(ret);

    m = secret_calloc(1, sizeof(password_memory));
    if (!m)
        return -ENOMEM;

    r = secret_new_empty(KEY_SIZE, &m->key);
    if (r < 0)
        return r;
    if (RAND_priv_bytes((unsigned char *) secret_buffer(m->key), KEY_SIZE) != 1)
        return -EIO;

    *ret = TAKE_PTR(m);
    return 0;
}

password_memory *password_memory_free(password_memory *m) {
    if (!m)
        return NULL;

    (void) secret_free(m->key);
    secret_mfree(m);
    return NULL;
}

static entry *find(password_memory *m, const char *id) {
    for (size_t i = 0; i < ENTRIES; i++)
        if (strcmp(m->entries[i].id, id) == 0)
            return &m->entries[i];

    return NULL;
}

bool password_memory_agrees(password_memory *m, const char *id, const secret *password) {
    unsigned char fingerprint[FINGERPRINT_SIZE];
    entry *e;

    assert(m);
    assert(id);
    assert(password);

    if (!HMAC(EVP_sha256(), secret_data(m->key), KEY_SIZE,
              (const unsigned char *) secret_data(password), secret_size(password), fingerprint,
              NULL))
        return false;

    e = find(m, id);
    if (e)
        return CRYPTO_memcmp(e->fingerprint, fingerprint, FINGERPRINT_SIZE) == 0;

    e = &m->entries[m->next++ % ENTRIES];
    (void) strncpy(e->id, id, ID_SIZE - 1);
    memcpy(e->fingerprint, fingerprint, FINGERPRINT_SIZE);
    return true;
}
