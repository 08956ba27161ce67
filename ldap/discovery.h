/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The controllers of a domain as DNS knows them: the SRV records that each controller registers
 * (MS-ADTS 6.3.2.3), the site's first, then the domain's.
 *
 * Asks again by itself when the answer has run out, sooner where there was none; what was found
 * last stays in force meanwhile. All that can block is in a thread of its own. Nothing here logs.
 */

#include <systemd/sd-event.h>

#include "ldap/discovery_list.h"

typedef struct discovery discovery;

/* `found` is the list in force, told where it is the first, or another than before, or there is a
 * problem; NULL where there is none. `problem` says what was asked in vain: a sentence of its own,
 * without a dot; NULL: nothing was. Both are borrowed. */
typedef void (*discovery_fn)(const discovery_list *found, const char *problem, void *userdata);

/* Begins to ask.
 *
 * site        may be NULL, and then the domain's controllers are as good as each other
 * wants_pdc   the PDC emulator first
 *
 * Returns 0 or negative errno; `fn` is not called from here. */
int discovery_new(sd_event *event, const char *domain, const char *site, bool wants_pdc,
                  discovery_fn fn, void *userdata, discovery **ret);

/* Takes NULL, returns NULL. */
discovery *discovery_free(discovery *d);

/* The site has become known: asks anew, unless it is the one that was asked for already. */
void discovery_set_site(discovery *d, const char *site);

/* The name that is asked for, "_ldap._tcp.dc._msdcs.corp.example". */
const char *discovery_name(const discovery *d);

DEFINE_CLEANUP(discovery *, discovery_free);
