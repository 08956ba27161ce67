/* SPDX-License-Identifier: Apache-2.0 */

/* Preloaded into a lab's controller: the same passwords, six times sooner.
 *
 * A reset costs a Samba controller about 45 ms, nearly all of it PBKDF2-HMAC-SHA1 (4096 rounds for
 * each Kerberos key) on the plain C SHA-1 of its Heimdal. This stands in for Heimdal's
 * hc_PKCS5_PBKDF2_HMAC() with OpenSSL's SHA-1, which uses the processor's instructions. The keys
 * are the same bit for bit (RFC 8018 section 5.2).
 *
 *     cc -O2 -shared -fPIC -Wno-deprecated-declarations -o fast-pbkdf2.so fast-pbkdf2.c -lcrypto */

#include <stddef.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/sha.h>

/* HMAC-SHA1 (RFC 2104) with a fixed key: both hashes as they stand when the padded key has gone in.
 * To begin from a copy of them, not from the key, is what makes the rounds cheap. */
typedef struct {
    SHA_CTX inner, outer;
} hmac_sha1;

static void hmac_key(hmac_sha1 *h, const unsigned char *key, size_t length) {
    unsigned char block[SHA_CBLOCK] = {0}, pad[SHA_CBLOCK];

    if (length > sizeof block)
        SHA1(key, length, block);
    else
        memcpy(block, key, length);

    for (size_t i = 0; i < sizeof pad; i++)
        pad[i] = block[i] ^ 0x36;
    SHA1_Init(&h->inner);
    SHA1_Update(&h->inner, pad, sizeof pad);

    for (size_t i = 0; i < sizeof pad; i++)
        pad[i] = block[i] ^ 0x5c;
    SHA1_Init(&h->outer);
    SHA1_Update(&h->outer, pad, sizeof pad);
}

/* Finishes the hash that `inner` has begun. */
static void hmac_end(const hmac_sha1 *h, SHA_CTX *inner, unsigned char mac[SHA_DIGEST_LENGTH]) {
    SHA_CTX outer = h->outer;

    SHA1_Final(mac, inner);
    SHA1_Update(&outer, mac, SHA_DIGEST_LENGTH);
    SHA1_Final(mac, &outer);
}

/* One block of the key, F(password, salt, rounds, number) of RFC 8018. */
static void pbkdf2_block(const hmac_sha1 *h, const void *salt, size_t salt_length,
                         unsigned long rounds, unsigned number,
                         unsigned char block[SHA_DIGEST_LENGTH]) {
    const unsigned char index[4] = {(unsigned char) (number >> 24), (unsigned char) (number >> 16),
                                    (unsigned char) (number >> 8), (unsigned char) number};
    unsigned char u[SHA_DIGEST_LENGTH];
    SHA_CTX inner = h->inner;

    SHA1_Update(&inner, salt, salt_length);
    SHA1_Update(&inner, index, sizeof index);
    hmac_end(h, &inner, u);
    memcpy(block, u, sizeof u);

    for (unsigned long round = 1; round < rounds; round++) {
        inner = h->inner;
        SHA1_Update(&inner, u, sizeof u);
        hmac_end(h, &inner, u);
        for (size_t i = 0; i < sizeof u; i++)
            block[i] ^= u[i];
    }
}

/* Heimdal's own, in the program that this is preloaded into. */
size_t hc_EVP_MD_size(const void *md) __attribute__((weak));

int hc_PKCS5_PBKDF2_HMAC(const void *password, size_t password_length, const void *salt,
                         size_t salt_length, unsigned long rounds, const void *md,
                         size_t key_length, void *key);

int hc_PKCS5_PBKDF2_HMAC(const void *password, size_t password_length, const void *salt,
                         size_t salt_length, unsigned long rounds, const void *md,
                         size_t key_length, void *key) {
    size_t digest = hc_EVP_MD_size ? hc_EVP_MD_size(md) : SHA_DIGEST_LENGTH;
    unsigned char *next = key;
    hmac_sha1 h;

    /* The newer key types use SHA-2, seldom enough for OpenSSL's own PBKDF2. */
    if (digest != SHA_DIGEST_LENGTH)
        return PKCS5_PBKDF2_HMAC(password, (int) password_length, salt, (int) salt_length,
                                 (int) rounds,
                                 digest == 32   ? EVP_sha256()
                                 : digest == 48 ? EVP_sha384()
                                                : EVP_sha512(),
                                 (int) key_length, key);

    hmac_key(&h, password, password_length);
    for (unsigned number = 1; key_length > 0; number++) {
        unsigned char block[SHA_DIGEST_LENGTH];
        size_t length = key_length < sizeof block ? key_length : sizeof block;

        pbkdf2_block(&h, salt, salt_length, rounds, number, block);
        memcpy(next, block, length);
        next += length;
        key_length -= length;
    }
    return 1;
}
