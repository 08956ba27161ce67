/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/identity.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/file.h"

#define KEY_SIZE 32
/* Half of the HMAC's bytes: far more than there are people. */
#define SHOWN 16

struct identities {
    identity_form form;
    secret *key; /* NULL but for IDENTITY_HASH */
};

static int make_key(const char *path, secret **ret) {
    _cleanup_(secret_freep) secret *key = NULL;
    int r = secret_new_empty(KEY_SIZE, &key);

    if (r < 0)
        return r;
    if (RAND_priv_bytes((unsigned char *) secret_buffer(key), KEY_SIZE) != 1)
        return -EIO;

    r = file_write_atomically(path, secret_data(key), KEY_SIZE);
    if (r >= 0)
        *ret = TAKE_PTR(key);
    return r;
}

static int read_key(const char *path, secret **ret) {
    _cleanup_(secret_freep) secret *key = NULL;
    int r = file_read(path, KEY_SIZE, &key);

    if (r == -ENOENT)
        return make_key(path, ret);
    if (r == -EFBIG || (r >= 0 && secret_size(key) != KEY_SIZE))
        return -EBADMSG;
    if (r >= 0)
        *ret = TAKE_PTR(key);
    return r;
}

int identities_new(identity_form form, const char *key_path, identities **ret) {
    _cleanup_(identities_freep) identities *i = calloc(1, sizeof(identities));
    int r = 0;

    assert(key_path);
    assert(ret);

    if (!i)
        return -ENOMEM;

    i->form = form;
    if (form == IDENTITY_HASH)
        r = read_key(key_path, &i->key);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(i);
    return 0;
}

identities *identities_free(identities *i) {
    if (!i)
        return NULL;

    (void) secret_free(i->key);
    free(i);
    return NULL;
}

static char *hash(const identities *i, const char *text) {
    _cleanup_free_ char *lower = strdup(text);
    unsigned char mac[EVP_MAX_MD_SIZE];
    char *shown;

    if (!lower)
        return NULL;
    for (char *c = lower; *c; c++)
        *c = (char) tolower((unsigned char) *c);

    shown = calloc(1, 2 * SHOWN + 1);
    if (!shown || !HMAC(EVP_sha256(), secret_data(i->key), KEY_SIZE, (const unsigned char *) lower,
                        strlen(lower), mac, NULL)) {
        free(shown);
        return NULL;
    }
    for (size_t k = 0; k < SHOWN; k++)
        (void) snprintf(shown + 2 * k, 3, "%02x", mac[k]);
    return shown;
}

char *identities_text(const identities *i, const char *name, const char *sid) {
    const char *best;

    assert(i);

    switch (i->form) {
    case IDENTITY_UPN:
        best = name ? name : sid;
        return best ? strdup(best) : NULL;
    case IDENTITY_SID:
        return sid ? strdup(sid) : NULL;
    default:
        best = sid ? sid : name;
        return best ? hash(i, best) : NULL;
    }
}

bool identities_may_name(const identities *i) {
    assert(i);
    return i->form == IDENTITY_UPN;
}

bool identities_are_known(const identities *i) {
    assert(i);
    return i->form != IDENTITY_HASH;
}
