/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/password_memory.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdint.h>
#include <string.h>

#define KEY_SIZE 32
#define FINGERPRINT_SIZE 32
#define ID_SIZE 65
/* 3000 a minute, for a request's life of ten minutes, and the minute that clocks may differ by at
 * each end. */
#define ENTRIES ((size_t) 3000 * 12)

#define CHAINS 8192

typedef struct entry {
    struct entry *next; /* of the same chain */
    char id[ID_SIZE];
    unsigned char fingerprint[FINGERPRINT_SIZE];
} entry;

/* Without the key the entries tell nothing. */
struct password_memory {
    secret *key;
    entry entries[ENTRIES]; /* a ring */
    size_t next;
    entry *chains[CHAINS];
};

int password_memory_new(password_memory **ret) {
    _cleanup_(password_memory_freep) password_memory *m = NULL;
    int r;

    assert(ret);

    m = calloc(1, sizeof(password_memory));
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
    free(m);
    return NULL;
}

/* FNV-1a. */
static entry **chain_of(password_memory *m, const char *id) {
    uint32_t hash = 2166136261U;

    for (; *id; id++)
        hash = (hash ^ (unsigned char) *id) * 16777619U;
    return &m->chains[hash % CHAINS];
}

static entry *find(password_memory *m, const char *id) {
    entry *e = *chain_of(m, id);

    while (e && strcmp(e->id, id) != 0)
        e = e->next;
    return e;
}

/* In place of the oldest. */
static entry *add(password_memory *m, const char *id) {
    entry *e = &m->entries[m->next++ % ENTRIES], **p;

    if (*e->id) {
        p = chain_of(m, e->id);
        while (*p != e)
            p = &(*p)->next;
        *p = e->next;
    }

    *e = (entry){};
    (void) strncpy(e->id, id, ID_SIZE - 1);
    p = chain_of(m, e->id);
    e->next = *p;
    *p = e;
    return e;
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

int password_memory_compare(password_memory *m, const request *q) {
    unsigned char now[FINGERPRINT_SIZE];
    entry *e;

    assert(m);
    assert(q);

    if (!fingerprint(m, q, now))
        return -ENOMEM;

    e = find(m, q->id);
    if (e)
        return CRYPTO_memcmp(e->fingerprint, now, FINGERPRINT_SIZE) == 0 ? 0 : -EBADMSG;

    e = add(m, q->id);
    memcpy(e->fingerprint, now, FINGERPRINT_SIZE);
    return 0;
}
