/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A real HTTPS server for tests (https-server.js on Node), steered over a pipe. Its certificate,
 * for the name localhost alone, is server.pem in the scratch folder and is its own CA. Whatever
 * goes wrong here ends the test program. */

#include <jansson.h>
#include <stdbool.h>

void https_server_start(void);
void https_server_stop(void);

/* "https://localhost:PORT" with the path behind it, malloc(3)ed. */
char *https_server_url(const char *path);

/* "http://127.0.0.1:PORT" of the proxy, malloc(3)ed. */
char *https_server_proxy(void);

/* What a path answers from now on. */
void https_server_answer(const char *path, int status, const char *body);

/* How often it was asked for. */
json_int_t https_server_count(const char *path);

/* An order of https-server.js, given as by json_pack(3); its reply, owned by the caller. */
json_t *https_server_order(const char *format, ...);

/* Closes all connections and the port, or opens it again. */
void https_server_set_up(bool up);
