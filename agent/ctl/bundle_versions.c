/* SPDX-License-Identifier: Apache-2.0 */
#include <archive.h>
#include <curl/curl.h>
#include <jansson.h>
#include <ldap.h>
#include <microhttpd.h>
#include <openssl/crypto.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <systemd/sd-bus.h>

#include "agent/base/macro.h"
#include "agent/ctl/bundle.h"
#include "agent/ctl/journal.h"

#define MANAGER "org.freedesktop.systemd1"
#define MANAGER_PATH "/org/freedesktop/systemd1"

static void put_libraries(FILE *f) {
    LDAPAPIInfo ldap = {.ldapai_info_version = LDAP_API_INFO_VERSION};

    fputs("\nLibraries, as they are loaded\n", f);
    fprintf(f, "  %s\n", curl_version());
    fprintf(f, "  %s\n", OpenSSL_version(OPENSSL_VERSION));
    fprintf(f, "  jansson %s\n", jansson_version_str());
    fprintf(f, "  SQLite %s\n", sqlite3_libversion());
    fprintf(f, "  libmicrohttpd %s\n", MHD_get_version());
    fprintf(f, "  %s\n", archive_version_string());
    if (ldap_get_option(NULL, LDAP_OPT_API_INFO, &ldap) == LDAP_OPT_SUCCESS) {
        fprintf(f, "  %s %d\n", ldap.ldapai_vendor_name, ldap.ldapai_vendor_version);
        ldap_memfree(ldap.ldapai_vendor_name);
        ber_memvfree((void **) ldap.ldapai_extensions);
    }
}

static void put_release(FILE *f) {
    FILE *release = fopen("/etc/os-release", "re");
    char line[256];

    while (release && fgets(line, sizeof(line), release))
        if (strncmp(line, "PRETTY_NAME=", 12) == 0)
            fprintf(f, "  %s", line + 12);
    if (release)
        (void) fclose(release);
}

static void put_property(FILE *f, sd_bus *bus, const char *path, const char *interface,
                         const char *name) {
    _cleanup_free_ char *value = NULL;

    if (sd_bus_get_property_string(bus, MANAGER, path, interface, name, NULL, &value) >= 0)
        fprintf(f, "  %s %s\n", name, value);
}

/* How systemd sees the service; nothing where it is not systemd that runs this host. */
static void put_service(FILE *f) {
    _cleanup_free_ char *path = NULL;
    uint32_t restarts = 0;
    sd_bus *bus = NULL;

    if (sd_bus_open_system(&bus) < 0)
        return;

    fputs("\nsystemd\n", f);
    put_property(f, bus, MANAGER_PATH, MANAGER ".Manager", "Version");
    put_property(f, bus, MANAGER_PATH, MANAGER ".Manager", "Virtualization");
    if (sd_bus_path_encode(MANAGER_PATH "/unit", JOURNAL_UNIT, &path) >= 0) {
        fputs("\n" JOURNAL_UNIT "\n", f);
        put_property(f, bus, path, MANAGER ".Unit", "ActiveState");
        put_property(f, bus, path, MANAGER ".Unit", "SubState");
        put_property(f, bus, path, MANAGER ".Unit", "UnitFileState");
        put_property(f, bus, path, MANAGER ".Service", "Result");
        put_property(f, bus, path, MANAGER ".Service", "StatusText");
        if (sd_bus_get_property_trivial(bus, MANAGER, path, MANAGER ".Service", "NRestarts", NULL,
                                        'u', &restarts) >= 0)
            fprintf(f, "  NRestarts %u\n", restarts);
    }
    (void) sd_bus_flush_close_unref(bus);
}

char *bundle_versions(void) {
    struct utsname kernel;
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);

    if (!f)
        return NULL;
    fputs(PACKAGE_NAME " " PACKAGE_VERSION "\n", f);
    put_libraries(f);
    fputs("\nSystem\n", f);
    put_release(f);
    if (uname(&kernel) == 0)
        fprintf(f, "  %s %s %s %s\n", kernel.sysname, kernel.release, kernel.version,
                kernel.machine);
    put_service(f);
    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
