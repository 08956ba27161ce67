/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever stands in a request as the asker's token. */

#include "relay/issuer_keys.h"
#include "relay/token.h"

/* The public halves of the keys that the corpus is signed with. */
static const char key_set[] =
    "{\"keys\":[{\"crv\":\"P-256\",\"kid\":\"ec\",\"kty\":\"EC\",\"x\":\"zbJtY6nD1texHJ7yIa"
    "vcUf-BXelU1ZBZmqEqvCwrLBk\",\"y\":\"_nl_Mg9B_K4AYZxR3dXuwXSG3o3jfVJg3jCwVnPisCQ\"},{\""
    "kty\":\"RSA\",\"kid\":\"rsa\",\"n\":\"jS8dlZWxzZAMAMxvdCXGFeWiSfSGbaVleKA2XTZkpHc-0x9f"
    "N80jevshjzSn0pEKPDX_kZOu1tcQA4QCb8QQYTBrPI1jizN50hU5XQBnrfQaeCZVlpXo34KSR-67ts3f6j4coG"
    "lRSmcBF0RGAjxDODHmlPz-eSNIWclUf3DIiNb0zWXymK2kAnirteUzB8NPzfDPjv6jNiImxOgzU5P4FwNPUgdv"
    "hL3w5XxoTQvJCMV6YBd2C1_bPNTkJxwpanZ8h3NZs1CNeYlDafwOKLkaUbY6rXU0aspn9SKPr2cxncNmn4h75G"
    "Yg4_n668JqmzkK44eXP2H8rlM0ri9tm4Buew\",\"e\":\"AQAB\"}]}";

static char url[] = "https://issuer.example", audience[] = "api://agent", tenant[] = "t";
static char *audiences[] = {audience, NULL};
static const issuer_config config = {.url = url, .audiences = audiences, .tenant = tenant};

#define NOW ((usec_t) 1700000000 * USEC_PER_SEC)

static int check(const token *t, const json_t *keys, char **ret_why) {
    const json_t *jwk = json_object_get(keys, t->kid);
    int r;

    r = token_check_claims(t, &config, NOW, ret_why);
    if (r < 0 || !jwk)
        return r;
    return token_check_signature(t, jwk, ret_why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static json_t *keys;
    const char *text = (const char *) data, *parse_why = NULL;
    _cleanup_(token_claims_done) token_claims claims = {0};
    _cleanup_free_ char *why = NULL, *iss = NULL;
    _cleanup_(token_done) token t = {0};
    int r;

    if (!keys && issuer_keys_parse(key_set, sizeof(key_set) - 1, NULL, &keys, &parse_why) < 0)
        abort();

    (void) token_peek_issuer(text, size, &iss);
    r = token_parse(text, size, &t, &why);
    if (r == 0)
        r = check(&t, keys, &why);
    if (r < 0 && !why)
        abort();
    if (!t.claims)
        return 0;

    token_take_claims(&t, &claims);
    (void) token_claims_has_role(&claims, "Password.Reset.All");
    (void) token_claims_has_directory_role(&claims, "w");
    return 0;
}
