/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a sender puts into the body of a request. */

#include "relay/keys.h"

/* Keys that protect nothing: with them the corpus is sealed, so that the way in is open to the end.
 */
static const char key_set[] =
    "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"FzMt0x67bwNcSjMogD4OY5Zxwo1ZAaAkN"
    "iyoqMwQAOc\",\"y\":\"gRsIhFaeeJv-NihkU5b43zyaOzBATl_b62e6fdf8XKw\",\"d\":\"9h0BozeO-nx"
    "SoXAPS1YuKsP9jSwYYR3D-LB652PDQd4\",\"use\":\"enc\",\"alg\":\"ECDH-ES+A256KW\",\"iat\":"
    "1795445974,\"kid\":\"9EewjIT2A2b3h8HBOAeytwc5PNF-waJ1CILahZBREK0\"},{\"kty\":\"EC\",\""
    "crv\":\"P-256\",\"x\":\"s6EkUZIQo3CWpZMDOr6vKMrmwPbPRrxhKEa6dBSCKh4\",\"y\":\"V2Kpas3I"
    "ackTslnwQUIynG85bQTyxnWTyjmmDDSNlvU\",\"d\":\"iZzP4ChDDPABc1RCfuT85HypMIg8XWN4v9HvhQGd"
    "AfU\",\"use\":\"sig\",\"alg\":\"ES256\",\"iat\":1795445974,\"kid\":\"nxMHdL_2qpWWAHpkd"
    "nIOCoD4yncp0Hods5BCE5nz_Vw\"}]}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static agent_keys *keys;
    _cleanup_(secret_freep) secret *plain = NULL;
    const char *why = NULL;
    int r;

    if (!keys && agent_keys_parse(key_set, sizeof(key_set) - 1, USEC_PER_DAY, &keys, &why) < 0)
        abort();

    r = agent_keys_open_sealed(keys, (const char *) data, size, 0, &plain, &why);
    if ((r == 0) != (plain != NULL) || (r < 0 && !why))
        abort();
    return 0;
}
