/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One request to the KDC of a controller, over TCP (RFC 4120 section 7.2.2).
 *
 * Every controller of a domain is a KDC of its realm. So the one that is to be signed in to is
 * asked itself, as SSSD does it: neither krb5.conf nor DNS has to know one, and it can be given up
 * at any moment, which libkrb5's own search for a KDC cannot. Nothing here logs. */

#include <sys/socket.h>

#include "agent/base/macro.h"

#define KDC_PORT 88

/* Sends the request and waits for the reply: belongs into a worker thread.
 *
 * controller   its address, with any port
 * cancel_fd    waiting ends when it becomes readable; there is no other deadline
 *
 * Returns 0, with the reply in malloc(3)ed memory; -ECANCELED; -EBADMSG where the reply is none; or
 * another negative errno. */
int kdc_ask(const struct sockaddr_storage *controller, int cancel_fd, const void *request,
            size_t size, char **ret_reply, size_t *ret_size);
