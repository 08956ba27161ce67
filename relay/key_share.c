/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/key_share.h"

#include <errno.h>
#include <string.h>

#include "relay/key_seal.h"
#include "relay/keys.h"

/* ssh and shells add a line's end. */
static size_t size_without_end(const secret *text) {
    size_t size = secret_size(text);

    while (size > 0 && strchr(" \t\r\n", secret_data(text)[size - 1]))
        size--;
    return size;
}

/* A copy in the clear. */
static int open_text(const secret *text, const secret *seal, secret **ret, const char **ret_why) {
    size_t size = size_without_end(text);
    int r;

    if (size == 0) {
        *ret_why = "there is nothing in it; did the export say why?";
        return -EBADMSG;
    }
    if (secret_data(text)[0] != 'e')
        return secret_new(secret_data(text), size, ret);
    if (!seal) {
        *ret_why = "these keys are sealed, and this agent is given no credential to open them "
                   "with: both agents need the same one (SealCredential= in writebackd.conf(5))";
        return -ENOKEY;
    }

    r = key_unseal(seal, secret_data(text), size, ret);
    if (r == -EKEYREJECTED)
        *ret_why = "these keys were sealed with another credential than the one that this agent is "
                   "given, or were changed on the way: both agents need the same one "
                   "(SealCredential= in writebackd.conf(5))";
    else if (r == -EBADMSG)
        *ret_why = "this is neither JSON nor sealed by an agent, or its end is missing";
    return r;
}

static bool has_private_half(const json_t *set) {
    const json_t *list = json_object_get(set, "keys");

    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_object_get(json_array_get(list, i), "d"))
            return true;
    return false;
}

/* Of those that were replaced, the ended ones are left out later. */
static int check_dates(const agent_keys *keys, usec_t now, const char **ret_why) {
    for (size_t i = 0; i < agent_keys_count(keys); i++) {
        agent_key_info key = agent_keys_get(keys, i);

        if (key.is_current && key.ends <= now) {
            *ret_why = "these keys have ended: export them again, after the agent that renews them "
                       "has done so";
            return -EKEYEXPIRED;
        }
        if (key.made > now + USEC_PER_DAY) {
            *ret_why = "a key was made in the future: compare the clocks of the two hosts";
            return -EBADMSG;
        }
    }
    return 0;
}

int key_share_read(const secret *text, const agent_keys_options *options, usec_t now, json_t **ret,
                   const char **ret_why) {
    _cleanup_(secret_freep) secret *plain = NULL;
    _cleanup_(agent_keys_freep) agent_keys *keys = NULL;
    _cleanup_(json_freep) json_t *set = NULL;
    int r;

    assert(text);
    assert(options);
    assert(ret);
    assert(ret_why);

    r = open_text(text, options->seal, &plain, ret_why);
    if (r < 0)
        return r;

    r = json_parse(secret_data(plain), secret_size(plain), AGENT_KEYS_FILE_MAX, &set, ret_why);
    if (r < 0)
        return r == -ENOMEM ? r : -EBADMSG;
    if (json_is_array(json_object_get(set, "keys")) && !has_private_half(set)) {
        *ret_why = "these keys are public only: export them with --private";
        return -EBADMSG;
    }

    r = agent_keys_from_json(set, options->lifetime, &keys, ret_why);
    if (r == 0)
        r = check_dates(keys, now, ret_why);
    if (r == 0)
        *ret = TAKE_PTR(set);
    return r;
}
