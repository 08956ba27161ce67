/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/room_health.h"

health_component relay_health(const relay_status *s) {
    health_component told = {
        .type = COMPONENT_RELAY,
        .status = HEALTH_UNKNOWN,
        .output = s->reason,
        .latency = s->latency,
    };

    if (s->state == RELAY_CONNECTED) {
        told.status = HEALTH_PASS;
    } else if (s->reason) {
        told.status = HEALTH_FAIL;
        told.is_unreached = s->is_unreached;
        told.event = s->is_lost ? OUTCOME_RELAY_ERROR : OUTCOME_RELAY_LISTENER_ERROR;
    }
    return told;
}

static outcome event_of_unusable(const controller_status *s) {
    if (s->is_account_refused)
        return OUTCOME_SERVICE_ACCOUNT_REFUSED;
    return s->outcome == OUTCOME_CONTROLLERS_NOT_FOUND ? s->outcome : OUTCOME_CONTROLLER_UNUSABLE;
}

health_component controller_health(const controller_status *s, bool needs_hints) {
    health_component told = {
        .type = COMPONENT_CONTROLLER,
        .status = HEALTH_UNKNOWN,
        .output = s->reason,
        .latency = s->latency,
        .certificate_not_after = s->not_after,
    };

    if (s->state == CONTROLLER_UNUSABLE) {
        told.status = HEALTH_FAIL;
        told.event = event_of_unusable(s);
    } else if (s->state == CONTROLLER_USABLE && needs_hints && !s->has_policy_hints) {
        told.status = HEALTH_FAIL;
        told.output = "it does not support policy hints, which PolicyHints=require asks for";
        told.event = OUTCOME_POLICY_HINTS_UNAVAILABLE;
    } else if (s->state == CONTROLLER_USABLE) {
        told.status = HEALTH_PASS;
    }
    return told;
}

health_component issuer_health(const issuer_status *s) {
    health_component told = {
        .type = COMPONENT_ISSUER,
        .status = HEALTH_PASS,
        .output = s->reason,
        .event = OUTCOME_ISSUER_UNREACHABLE,
    };

    if (s->reason)
        told.status = s->has_keys ? HEALTH_WARN : HEALTH_FAIL;
    else if (!s->has_keys)
        told.status = HEALTH_UNKNOWN;
    return told;
}

health_component keys_health(const key_keeper_status *s) {
    health_component told = {
        .type = COMPONENT_KEYS,
        .status = HEALTH_PASS,
        .output = s->reason,
        .certificate_not_after = s->not_after,
        .event = s->is_over ? OUTCOME_KEYS_EXPIRED : OUTCOME_KEYS_NOT_RENEWED,
    };

    if (s->is_over)
        told.status = HEALTH_FAIL;
    else if (s->reason)
        told.status = HEALTH_WARN;
    return told;
}

health_component ledger_health(int r, const char *why) {
    return (health_component){
        .type = COMPONENT_LEDGER,
        .status = r < 0 ? HEALTH_FAIL : HEALTH_PASS,
        .output = r < 0 ? why : NULL,
        .event = OUTCOME_LEDGER_UNAVAILABLE,
    };
}
