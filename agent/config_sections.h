/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The readers of those sections that have a file of their own. Each reads one section into
 * `r->into`; what is wrong is noted in `r`. */

#include "agent/config.h"
#include "agent/config_reader.h"

void config_read_directory(config_reader *r, config_section *s); /* the next one of [Directory] */
void config_read_issuer(config_reader *r, config_section *s);    /* … of [Issuer] */
void config_read_graph(config_reader *r, config_section *s);

/* Entra's ids of applications, which are GUIDs. As config_get_list(). */
char **config_get_application_ids(config_reader *r, config_section *s, const char *key);

/* Roles that count; all where the setting is not there. */
role_set config_get_roles(config_reader *r, config_section *s, const char *key);

/* Behind all sections: what [Authorization] means for each issuer. An application id is the same
 * all over Entra, and no more than a text elsewhere. Returns 0 or -ENOMEM. */
int config_combine_rules(config *c);
