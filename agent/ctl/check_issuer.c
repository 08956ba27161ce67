/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/redact_url.h"
#include "agent/base/shell.h"
#include "agent/base/text.h"
#include "agent/ctl/check.h"
#include "agent/ctl/say.h"

/* Metadata and keys have 10 s each. */
#define PATIENCE (22 * USEC_PER_SEC)

static bool is_decided(const void *userdata) {
    const issuer_status *status = issuer_get_status(userdata);

    return status->has_keys || status->reason;
}

static void tell(check *c, const issuer_config *from, const issuer *i) {
    _cleanup_free_ char *options = shell_curl_options(from->ca_file, from->proxy);
    const issuer_status *status = issuer_get_status(i);
    _cleanup_free_ char *address =
        url_without_query(from->metadata_url ? from->metadata_url : from->url);

    check_know(c, "WRITEBACK_ISSUER", from->url);
    check_know(c, "WRITEBACK_ADDRESS", address);
    check_know(c, "WRITEBACK_CURL_OPTIONS_QUOTED", options);
    if (from->keys)
        check_tell(c, STAGE_ISSUER, true, from->name, NULL,
                   text_format("%s: its keys come from a file", from->url));
    else if (status->has_keys)
        check_tell(c, STAGE_ISSUER, true, from->name, NULL,
                   text_format("%s: its metadata and keys were fetched", from->url));
    else
        check_tell(c, STAGE_ISSUER, false, from->name, check_cure(OUTCOME_ISSUER_UNREACHABLE),
                   text_format("%s: %s", from->url,
                               status->reason ? status->reason : "no answer within 20 s"));
}

void check_issuers(check *c) {
    usec_t deadline = now_monotonic() + PATIENCE;

    for (size_t i = 0; i < c->config->n_issuers; i++) {
        if (!c->issuers[i])
            continue;
        (void) check_wait(c, "fetching the issuer's keys", deadline, is_decided, c->issuers[i]);
        tell(c, &c->config->issuers[i], c->issuers[i]);
    }
}
