/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever the control channel says: it is understood or refused with a reason, and what is
 * understood holds what the header promises. */

#include <stdlib.h>
#include <string.h>

#include "relay/address.h"
#include "relay/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(bool promise) {
    if (!promise)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *why = NULL;
    message m;

    if (message_parse((const char *) data, size, &m, &why) < 0) {
        look(why != NULL);
        return 0;
    }

    if (m.type != MESSAGE_UNKNOWN) {
        look(m.address && *m.address);
        (void) address_is_allowed(m.address, "contoso.servicebus.windows.net", 443);
    }
    if (m.type == MESSAGE_REQUEST) {
        _cleanup_free_ char *path = message_path(&m, "hyco");
        _cleanup_free_ char *json = message_response(m.id, 200, "text/plain", NULL, 0, true);

        look(*m.id && path && json);
        look(m.fault || (*m.method && m.target));
        (void) message_header(&m, "Content-Type");
    }
    message_done(&m);
    return 0;
}
