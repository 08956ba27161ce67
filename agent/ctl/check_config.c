/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/base/text.h"
#include "agent/ctl/agent.h"
#include "agent/ctl/check.h"
#include "agent/ctl/say.h"

/* Where another agent answers on that address (of another host's state directory, or of a test),
 * its word is worth nothing for this configuration. */
void check_ask_agent(check *c) {
    _cleanup_(json_freep) json_t *said = NULL;
    _cleanup_free_ char *why = NULL;
    const char *id;

    c->health = json_free(c->health);
    if (agent_find_health(c->options, &said, &why) < 0)
        return;
    id = json_get_string(said, "serviceId");
    if (id && strcmp(id, c->config->agent_id) == 0)
        c->health = TAKE_PTR(said);
}

/* None runs before the first start, so it is no fault by itself. */
static void tell_agent(check *c) {
    const char *id = c->config->agent_id;

    check_ask_agent(c);
    if (c->health)
        return check_tell(c, STAGE_CONFIGURATION, true, id, NULL,
                          text_format("agent %s is running", id));
    check_note(
        c, STAGE_CONFIGURATION, id,
        "Where it should run, see why it does not: `systemctl status writebackd` `journalctl "
        "-x -u writebackd -p err -n 5`",
        text_format("agent %s is not running, or does not answer at its health endpoint", id));
}

int check_configuration(check *c) {
    const char *path = c->options->config ? c->options->config : CONFIG_PATH;
    _cleanup_free_ char *why = NULL;
    const char *cure = "Mend that; writebackd.conf(5) has all settings";
    int r;

    if (!getenv("CREDENTIALS_DIRECTORY") && access(CTL_SERVICE_CREDENTIALS, X_OK) == 0)
        (void) setenv("CREDENTIALS_DIRECTORY", CTL_SERVICE_CREDENTIALS, 0);

    r = config_load(path, &c->config, &why);
    if (r == 0) {
        check_tell(c, STAGE_CONFIGURATION, true, path, NULL, text_format("%s is right", path));
        tell_agent(c);
        return 0;
    }

    if ((r == -EACCES || r == -ENOENT) && geteuid() != 0)
        cure = "Run it as root: the configuration and the credentials that it names are for the "
               "service and root alone";
    else if (r == -ENOENT && access(path, F_OK) == 0)
        cure =
            "A credential named without a path is there while the service runs: `systemctl start "
            "writebackd`";
    check_tell(c, STAGE_CONFIGURATION, false, path, cure,
               text_format("%s", why ? why : strerror(-r)));
    return r;
}

json_t *check_agent_says(const check *c, const char *part) {
    return json_array_get(json_object_get(json_object_get(c->health, "checks"), part), 0);
}
