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

static size_t size_of(const secret *s) {
    return s ? secret_size(s) : 0;
}

/* Over the new password's size and both passwords, so that no two pairs are the same text. */
static bool fingerprint(const password_memory *m, const request *q,
                        unsigned char ret[FINGERPRINT_SIZE]) {
    size_t new_size = size_of(q->new_password), current_size = size_of(q->current_password);
    _cleanup_(secret_freep) secret *both = NULL;
    char *place;

    if (secret_new_empty(sizeof(size_t) + new_size + current_size, &both) < 0)
        return false;

    place = secret_buffer(both);
    memcpy(place, &new_size, sizeof(size_t));
    if (new_size > 0)
        memcpy(place + sizeof(size_t), secret_data(q->new_password), new_size);
    if (current_size > 0)
        memcpy(place + sizeof(size_t) + new_size, secret_data(q->current_password), current_size);

    return HMAC(EVP_sha256(), secret_data(m->key), KEY_SIZE, (const unsigned char *) place,
                secret_size(both), ret, NULL) != NULL;
}

bool password_memory_agrees(password_memory *m, const request *q) {
    unsigned char now[FINGERPRINT_SIZE];
    entry *e;

    assert(m);
    assert(q);

    if (!fingerprint(m, q, now))
        return false;

    e = find(m, q->id);
    if (e)
        return CRYPTO_memcmp(e->fingerprint, now, FINGERPRINT_SIZE) == 0;

    e = &m->entries[m->next++ % ENTRIES];
    (void) strncpy(e->id, q->id, ID_SIZE - 1);
    memcpy(e->fingerprint, now, FINGERPRINT_SIZE);
    return true;
}
