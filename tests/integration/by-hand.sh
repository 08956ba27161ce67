#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# One reset by hand, as somebody would try it who has read only the contract: curl, jose and jq.
#
#     sudo tests/lab/run tests/integration/by-hand.sh
set -euo pipefail

relay() {
    curl --silent --show-error --cacert "$WRITEBACK_LAB_RELAY_CA" \
        -H "ServiceBusAuthorization: $WRITEBACK_LAB_SEND_TOKEN" "$@"
}

cd "$WRITEBACK_LAB_SCRATCH"

# The agent's key for requests.
relay "$WRITEBACK_LAB_RELAY_URL/v1/keys" | jq '.keys[] | select(.use == "enc")' >key.jwk

# A Password Administrator's access token, from the issuer.
token=$(curl --silent --show-error --cacert "$WRITEBACK_LAB_RELAY_CA" "$WRITEBACK_LAB_ISSUER/token" \
    -d '{"wids": ["966707d0-3269-4727-9be2-8c3a10f19b9d"], "upn": "admin@corp.example"}' | jq -r .access_token)

# The request, sealed. (jose takes algorithm and kid into the protected header as it is told.)
now=$(date +%s)
jq -n --arg token "$token" --argjson now "$now" '{
    jti: "by-hand-0001", iat: $now, exp: ($now + 120), aud: "agent-lab",
    operation: "reset", user: {userPrincipalName: "alice@corp.example"},
    newPassword: "Correct-Horse-7-Battery", authorization: $token
}' >request.json
jose jwe enc -I request.json -k key.jwk -c -o request.jwe \
    -i "$(jq -c '{protected: {alg: "ECDH-ES+A256KW", enc: "A256GCM", kid: .kid}}' key.jwk)"

relay "$WRITEBACK_LAB_RELAY_URL/v1/requests" -H 'Content-Type: application/jose' \
    --data-binary @request.jwe | tee answer.json | jq .

[[ $(jq -r .status answer.json) == succeeded ]]
LDAPTLS_CACERT=$WRITEBACK_LAB_DC_CA ldapwhoami -x -H "ldaps://$WRITEBACK_LAB_DC" \
    -D alice@corp.example -w Correct-Horse-7-Battery
