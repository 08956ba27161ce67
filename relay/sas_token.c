/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/sas_token.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/encoding.h"

char *sas_resource(const char *host, const char *path) {
    char *resource;

    assert(host);
    assert(path);

    return asprintf(&resource, "http://%s/%s/", host, path) < 0 ? NULL : resource;
}

/* All but RFC 3986's unreserved characters; malloc(3)ed, or NULL. */
static char *percent_encode(const char *text) {
    static const char unreserved[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";
    char *encoded = malloc(3 * strlen(text) + 1), *end = encoded;

    if (!encoded)
        return NULL;

    for (; *text; text++) {
        if (strchr(unreserved, *text))
            *end++ = *text;
        else
            end += snprintf(end, 4, "%%%02X", (unsigned) (unsigned char) *text);
    }
    *end = '\0';
    return encoded;
}

/* HMAC-SHA256 of `text` in base64, percent-encoded. */
static int sign(const char *text, const secret *key, char **ret) {
    _cleanup_free_ char *base64 = NULL;
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned size = 0;

    if (!HMAC(EVP_sha256(), secret_data(key), (int) secret_size(key), (const unsigned char *) text,
              strlen(text), mac, &size))
        return -EIO;

    base64 = base64_encode(mac, size);
    if (!base64)
        return -ENOMEM;

    *ret = percent_encode(base64);
    OPENSSL_cleanse(base64, strlen(base64));
    return *ret ? 0 : -ENOMEM;
}

int sas_token_make(const char *resource, const char *key_name, const secret *key, uint64_t expiry,
                   secret **ret) {
    _cleanup_free_ char *sr = NULL, *skn = NULL, *signature = NULL, *text = NULL;
    static const char format[] = "SharedAccessSignature sr=%s&sig=%s&se=%" PRIu64 "&skn=%s";
    _cleanup_(secret_freep) secret *token = NULL;
    int size, r;

    assert(resource);
    assert(key_name);
    assert(key);
    assert(ret);

    sr = percent_encode(resource);
    skn = percent_encode(key_name);
    /* The service checks the signature over `sr` as it stands in the token. */
    if (!sr || !skn || asprintf(&text, "%s\n%" PRIu64, sr, expiry) < 0)
        return -ENOMEM;

    r = sign(text, key, &signature);
    if (r < 0)
        return r;

    size = snprintf(NULL, 0, format, sr, signature, expiry, skn);
    r = size < 0 ? -EIO : secret_new_empty((size_t) size, &token);
    if (r == 0) {
        (void) snprintf(secret_buffer(token), (size_t) size + 1, format, sr, signature, expiry,
                        skn);
        *ret = TAKE_PTR(token);
    }

    OPENSSL_cleanse(signature, strlen(signature));
    return r;
}
