/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The page for people: the blade as the portal shows it, what to do, each part with since when, and
 * how the last requests ended. One request of HTML and one of CSS; no scripts, nothing from
 * elsewhere; no names of people. Nothing here logs. */

#include "health/health.h"

/* Only our own style sheet, and nothing else, whatever a peer's text may try. */
#define PAGE_SECURITY_POLICY                                                                       \
    "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "   \
    "frame-ancestors 'none'"

/* Of GET /. malloc(3)ed, or NULL. */
char *page_html(const health *h);

/* Of GET /page.css (health/page.css). */
extern const char page_style[];
