/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/text.h"
#include "agent/ctl/check.h"
#include "agent/ctl/say.h"

/* The agent looks every hour whether something is due; a disk may be mended meanwhile. */
#define OVERDUE (2 * USEC_PER_HOUR)

static void tell_key(check *c, const agent_key_info *key, usec_t now) {
    const char *what = strcmp(key->use, "enc") == 0 ? "encryption" : "signing";
    usec_t due = key->made + c->config->keys_roll_after;
    char date[RFC3339_MAX];

    (void) rfc3339_utc(key->ends, date);
    if (now >= due && !c->health && !c->config->keys_renewed_elsewhere)
        check_tell(
            c, STAGE_KEYS, true, key->kid, NULL,
            text_format("the %s key %s, which ends at %s, will be replaced when the agent starts",
                        what, key->kid, date));
    else if (now >= key->ends)
        check_tell(c, STAGE_KEYS, false, key->kid, check_cure(OUTCOME_KEYS_EXPIRED),
                   text_format("the %s key %s ended at %s", what, key->kid, date));
    else if (now >= due + OVERDUE)
        check_tell(c, STAGE_KEYS, false, key->kid, check_cure(OUTCOME_KEYS_NOT_RENEWED),
                   text_format("the %s key %s ends at %s and should have been replaced", what,
                               key->kid, date));
    else
        check_tell(c, STAGE_KEYS, true, key->kid, NULL,
                   text_format("the %s key %s is good until %s", what, key->kid, date));
}

static void tell_seal(check *c, const char *path) {
    check_tell(
        c, STAGE_KEYS, true, path, NULL,
        c->config->keys_seal
            ? text_format("%s is sealed with a credential", path)
            : text_format("%s is not sealed; SealCredential= of writebackd.conf(5) tells how",
                          path));
}

void check_keys(check *c) {
    _cleanup_free_ char *path = text_format("%s/keys.json", c->config->state_directory),
                        *why = NULL;
    const agent_keys_options options = {
        .path = path,
        .seal = c->config->keys_seal,
        .lifetime = c->config->keys_lifetime,
        .roll_after = c->config->keys_roll_after,
        .grace = c->config->keys_grace,
    };
    int r = path ? agent_keys_read(&options, &c->keys, &why) : -ENOMEM;

    check_know(c, "WRITEBACK_PATH", path);
    if (r == -ENOENT) {
        check_tell(c, STAGE_KEYS, true, path, NULL,
                   text_format("there are none in %s yet; the agent makes them at its first start",
                               c->config->state_directory));
        return;
    }
    if (r < 0) {
        check_tell(c, STAGE_KEYS, false, path ? path : "keys", check_cure(OUTCOME_CRYPTO_ERROR),
                   text_format("%s", why ? why : strerror(-r)));
        return;
    }

    tell_seal(c, path);
    for (size_t i = 0; i < agent_keys_count(c->keys); i++) {
        const agent_key_info key = agent_keys_get(c->keys, i);

        if (key.is_current)
            tell_key(c, &key, now_realtime());
    }
}
