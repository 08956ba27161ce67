/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/key_seal.h"

#include <errno.h>
#include <jose/b64.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>

#include "relay/compact.h"
#include "relay/relay.h"

enum { HEADER, ENCRYPTED_KEY, IV, CIPHERTEXT, TAG, PARTS };

#define IV_SIZE 12
#define TAG_SIZE 16

/* {"alg":"dir","enc":"A256GCM"} */
static const char header[] = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0";

DEFINE_CLEANUP(EVP_CIPHER_CTX *, EVP_CIPHER_CTX_free);

static const unsigned char *bytes(const secret *s) {
    return (const unsigned char *) secret_data(s);
}

/* Ready for the text, the header authenticated. */
static EVP_CIPHER_CTX *begin(const secret *key, const unsigned char *iv, int encrypt) {
    _cleanup_(EVP_CIPHER_CTX_freep) EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int n;

    assert(secret_size(key) == AGENT_KEYS_SEAL_SIZE);

    if (!c || !EVP_CipherInit_ex(c, EVP_aes_256_gcm(), NULL, bytes(key), iv, encrypt) ||
        !EVP_CipherUpdate(c, NULL, &n, (const unsigned char *) header, (int) strlen(header)))
        return NULL;
    return TAKE_PTR(c);
}

static bool is_encrypted(EVP_CIPHER_CTX *c, const secret *plain, unsigned char *cipher,
                         unsigned char tag[static TAG_SIZE]) {
    int n;

    return EVP_CipherUpdate(c, cipher, &n, bytes(plain), (int) secret_size(plain)) &&
           EVP_CipherFinal_ex(c, cipher + n, &n) &&
           EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG_SIZE, tag);
}

/* Writes ".BASE64URL" and returns its end. */
static char *put(char *to, const void *data, size_t size) {
    size_t length = jose_b64_enc_buf(NULL, size, NULL, 0);

    *to++ = '.';
    (void) jose_b64_enc_buf(data, size, to, length);
    return to + length;
}

int key_seal(const secret *key, const secret *plain, secret **ret) {
    size_t size = secret_size(plain);
    _cleanup_(EVP_CIPHER_CTX_freep) EVP_CIPHER_CTX *c = NULL;
    _cleanup_(secret_freep) secret *text = NULL;
    unsigned char iv[IV_SIZE], tag[TAG_SIZE];
    _cleanup_free_ unsigned char *cipher = malloc(size);
    char *end;
    int r;

    assert(ret);

    r = secret_new_empty(strlen(header) + 2 * size + 64, &text);
    if (r < 0)
        return r;
    if (!cipher || RAND_bytes(iv, sizeof(iv)) != 1)
        return -ENOMEM;

    c = begin(key, iv, 1);
    if (!c || !is_encrypted(c, plain, cipher, tag))
        return -ENOMEM;

    end = stpcpy(secret_buffer(text), header);
    end = put(end, "", 0);
    end = put(end, iv, sizeof(iv));
    end = put(end, cipher, size);
    end = put(end, tag, sizeof(tag));
    secret_truncate(text, (size_t) (end - secret_buffer(text)));
    *ret = TAKE_PTR(text);
    return 0;
}

static bool is_of_our_making(const compact_part parts[static PARTS]) {
    return parts[HEADER].length == strlen(header) &&
           memcmp(parts[HEADER].text, header, strlen(header)) == 0 &&
           parts[ENCRYPTED_KEY].length == 0 && compact_part_size(&parts[IV]) == IV_SIZE &&
           compact_part_size(&parts[TAG]) == TAG_SIZE;
}

int key_unseal(const secret *key, const char *text, size_t size, secret **ret) {
    _cleanup_(secret_freep) secret *iv = NULL, *cipher = NULL, *tag = NULL, *plain = NULL;
    _cleanup_(EVP_CIPHER_CTX_freep) EVP_CIPHER_CTX *c = NULL;
    compact_part parts[PARTS];
    unsigned char *to;
    int n;

    assert(ret);

    if (compact_split(text, size, parts, PARTS) < 0 || !is_of_our_making(parts))
        return -EBADMSG;
    if (compact_decode(&parts[IV], &iv) < 0 || compact_decode(&parts[CIPHERTEXT], &cipher) < 0 ||
        compact_decode(&parts[TAG], &tag) < 0 || secret_new_empty(secret_size(cipher), &plain) < 0)
        return -ENOMEM;

    c = begin(key, bytes(iv), 0);
    if (!c)
        return -ENOMEM;

    to = (unsigned char *) secret_buffer(plain);
    if (!EVP_CipherUpdate(c, to, &n, bytes(cipher), (int) secret_size(cipher)) ||
        !EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG_SIZE, secret_buffer(tag)) ||
        !EVP_CipherFinal_ex(c, to + n, &n))
        return -EKEYREJECTED;

    *ret = TAKE_PTR(plain);
    return 0;
}
