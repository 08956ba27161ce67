/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which site a host is in, by the subnets that the directory knows (MS-ADTS 6.1.1.2.2.2): the site
 * of the smallest subnet that holds the host's address. Pure. */

#include <sys/socket.h>

#include "ldap/entry.h"

/* The filter that finds every subnet which holds the address. malloc(3)ed; NULL where it is neither
 * IPv4 nor IPv6, or memory is out. */
char *site_subnet_filter(const struct sockaddr *address);

/* Of the subnets that were found, with their `cn` and `siteObject`. malloc(3)ed; NULL where none
 * names a site. */
char *site_of_subnets(const entry *subnets, size_t n);

/* "Berlin" of "CN=Berlin,CN=Sites,CN=Configuration,…". malloc(3)ed; NULL where it is no such name.
 */
char *site_from_dn(const char *dn);
