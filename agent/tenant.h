/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What Microsoft Graph's documents say of the tenant: whether its directory synchronisation runs,
 * and whether it may use password writeback. Pure functions; nothing here logs. */

#include <stdbool.h>

#include "agent/base/json.h"
#include "agent/base/outcome.h"
#include "agent/licence.h"

/* Synchronisation runs every half hour (Microsoft Entra Connect) or more often (cloud sync); the
 * portal itself calls it late after three hours. */
#define TENANT_SYNC_LATE (3 * USEC_PER_HOUR)
#define TENANT_SYNC_STALE (24 * USEC_PER_HOUR)

/* While Graph does not answer, what it said last is believed for so long. */
#define TENANT_KEPT USEC_PER_DAY

/* Of GET /organization. */
typedef struct tenant_organization {
    bool sync_enabled;
    usec_t last_sync; /* CLOCK_REALTIME; 0: it never ran */
} tenant_organization;

/* As read from Graph. Dates are CLOCK_REALTIME, best of Graph's own clock. */
typedef struct tenant_facts {
    usec_t sync_seen; /* when Graph told last; 0: never */
    tenant_organization organization;
    char *sync_why; /* why the last look did not bring it; NULL: it did */

    usec_t licence_seen;
    licence licence;
    char *licence_why;

    outcome event; /* why it did not, as a word; 0: it did */
} tenant_facts;

/* Frees the members, not the struct. */
void tenant_facts_done(tenant_facts *f);

/* GET /organization (Microsoft: graph/api/organization-list). Returns 0, or -EBADMSG with a static
 * text in *ret_why, and then nothing is set. */
int tenant_read_organization(const json_t *document, tenant_organization *ret,
                             const char **ret_why);

/* One page of GET /subscribedSkus (Microsoft: graph/api/subscribedsku-list): LICENCE_HELD where one
 * that is Enabled or Warning (in its time of grace) holds the service plan of Microsoft Entra ID P1
 * or P2, else LICENCE_MISSING. Returns 0, or -EBADMSG with a static text in *ret_why. */
int tenant_read_skus(const json_t *page, licence *ret, const char **ret_why);

typedef enum tenant_sync {
    TENANT_SYNC_IS_UNKNOWN,
    TENANT_SYNC_IS_CURRENT,
    TENANT_SYNC_IS_LATE,  /* for more than TENANT_SYNC_LATE */
    TENANT_SYNC_IS_STALE, /* for more than TENANT_SYNC_STALE, or it never ran */
    TENANT_SYNC_IS_OFF,   /* not enabled in the tenant */
} tenant_sync;

typedef struct tenant_state {
    tenant_sync sync;
    licence licence;
} tenant_state;

/* What is to be believed at `now`. A failed look takes nothing back before its time: what was said
 * last counts for TENANT_KEPT, but a synchronisation that was current is unknown, not late, once it
 * would be late: nobody could look. One that is dated in the future is current. */
tenant_state tenant_fold(const tenant_facts *f, usec_t now);

/* The same for people; malloc(3)ed, NULL where all is well or memory is out. */
char *tenant_describe_sync(const tenant_facts *f, tenant_sync state, usec_t now);
char *tenant_describe_licence(const tenant_facts *f, licence state);
