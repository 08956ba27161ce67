/* SPDX-License-Identifier: Apache-2.0 */
/* writebackd: arguments, configuration, signals, run. */

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <syslog.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "agent/base/log.h"
#include "agent/keep_alive.h"
#include "agent/service.h"

typedef struct arguments {
    const char *config;
    bool check_config;
    bool done; /* --help or --version was served */
} arguments;

static void print_help(void) {
    (void) printf(
        "writebackd [OPTION]…\n"
        "\n"
        "Sets in the local Active Directory the passwords that the cloud asks for.\n"
        "\n"
        "  --config=FILE        read FILE and FILE.d/*.conf (%s)\n"
        "  --check-config       read the configuration, say whether it is right, and end\n"
        "  --log-target=TARGET  auto, journal or stderr (auto)\n"
        "  --log-level=LEVEL    info or debug (info)\n"
        "  --help, --version\n"
        "\n"
        "Exit status 78: the configuration is wrong. See writebackd(8), writebackd.conf(5).\n",
        CONFIG_PATH);
}

static int choose_log_target(const char *name) {
    static const char *const names[] = {
        [LOG_TARGET_AUTO] = "auto",
        [LOG_TARGET_JOURNAL] = "journal",
        [LOG_TARGET_STDERR] = "stderr",
    };

    for (size_t i = 0; i < ELEMENTSOF(names); i++)
        if (strcmp(names[i], name) == 0) {
            log_set_target((log_target) i);
            return 0;
        }

    (void) fprintf(stderr, "writebackd: --log-target=%s: expected is auto, journal or stderr\n",
                   name);
    return -EINVAL;
}

static int choose_log_level(const char *name) {
    if (strcmp(name, "debug") == 0) {
        log_set_max_level(LOG_DEBUG);
        return 0;
    }
    if (strcmp(name, "info") == 0)
        return 0;

    (void) fprintf(stderr, "writebackd: --log-level=%s: expected is info or debug\n", name);
    return -EINVAL;
}

static int parse_arguments(int argc, char **argv, arguments *ret) {
    enum { OPT_CONFIG = 256, OPT_CHECK, OPT_TARGET, OPT_LEVEL, OPT_HELP, OPT_VERSION };
    static const struct option options[] = {
        {"config", required_argument, NULL, OPT_CONFIG},
        {"check-config", no_argument, NULL, OPT_CHECK},
        {"log-target", required_argument, NULL, OPT_TARGET},
        {"log-level", required_argument, NULL, OPT_LEVEL},
        {"help", no_argument, NULL, OPT_HELP},
        {"version", no_argument, NULL, OPT_VERSION},
        {},
    };
    int option, r = 0;

    *ret = (arguments){.config = CONFIG_PATH};
    while (r >= 0 && !ret->done && (option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case OPT_CONFIG:
            ret->config = optarg;
            break;
        case OPT_CHECK:
            ret->check_config = true;
            break;
        case OPT_TARGET:
            r = choose_log_target(optarg);
            break;
        case OPT_LEVEL:
            r = choose_log_level(optarg);
            break;
        case OPT_HELP:
            print_help();
            ret->done = true;
            break;
        case OPT_VERSION:
            (void) printf("writebackd %s\n", PACKAGE_VERSION);
            ret->done = true;
            break;
        default:
            r = -EINVAL;
        }
    }

    if (r >= 0 && optind < argc) {
        (void) fprintf(stderr, "writebackd: %s: no arguments are expected\n", argv[optind]);
        r = -EINVAL;
    }
    return r;
}

/* By hand there is no unit that hands credentials over: those of the running service are looked at,
 * or what the unit would hand over. */
static void find_credentials(void) {
    static const char of_service[] = "/run/credentials/writebackd.service";
    static const char of_unit[] = SYSCONFDIR "/writeback/credentials";

    (void) setenv("CREDENTIALS_DIRECTORY", access(of_service, X_OK) == 0 ? of_service : of_unit, 0);
}

/* What must be right before anything else is tried. */
static int prepare(bool will_run) {
    _cleanup_free_ char *why = NULL;
    int lock_error, r;

    (void) umask(0077);
    r = secret_memory_init(&lock_error);
    if (r < 0) {
        log_text(LOG_CRIT, "Memory for secrets cannot be set up: %s", strerror(-r));
        return r;
    }
    if (lock_error < 0 && will_run)
        log_event(OUTCOME_MEMORY_NOT_LOCKED, {"WRITEBACK_REASON", strerror(-lock_error)});

    r = curl_glue_check_library(&why);
    if (r < 0)
        log_event(OUTCOME_CONFIGURATION_ERROR, {"WRITEBACK_REASON", why ? why : "out of memory"});
    return r;
}

static int on_stop_signal(sd_event_source *source, const struct signalfd_siginfo *info,
                          void *userdata) {
    (void) source;
    (void) info;

    service_stop(userdata);
    return 0;
}

static int on_reload_signal(sd_event_source *source, const struct signalfd_siginfo *info,
                            void *userdata) {
    (void) source;
    (void) info;

    service_reload(userdata);
    return 0;
}

static int watch_signals(sd_event *event, service *s) {
    int r;

    r = sd_event_add_signal(event, NULL, SIGTERM, on_stop_signal, s);
    if (r >= 0)
        r = sd_event_add_signal(event, NULL, SIGINT, on_stop_signal, s);
    if (r >= 0)
        r = sd_event_add_signal(event, NULL, SIGHUP, on_reload_signal, s);
    return r;
}

/* Blocked in every thread, so that signalfd(2) gets them. */
static void block_signals(void) {
    sigset_t signals;

    (void) sigemptyset(&signals);
    (void) sigaddset(&signals, SIGTERM);
    (void) sigaddset(&signals, SIGINT);
    (void) sigaddset(&signals, SIGHUP);
    (void) sigprocmask(SIG_BLOCK, &signals, NULL);
    (void) signal(SIGPIPE, SIG_IGN);
}

static int run(const char *path, config *c) {
    _cleanup_(service_freep) service *s = NULL;
    _cleanup_(keep_alive_freep) keep_alive *k = NULL;
    sd_event *event = NULL;
    int r;

    block_signals();
    r = sd_event_default(&event);
    if (r >= 0)
        r = service_new(event, path, c, &s);
    if (r >= 0)
        r = watch_signals(event, s);
    if (r >= 0)
        r = keep_alive_new(event, &k);
    if (r >= 0) {
        /* It can work: configuration and keys are good. Whether relay and directory are there is no
         * matter of the start, or a host without a network would not come up; /readyz tells it. */
        (void) sd_notify(0, "READY=1");
        r = sd_event_loop(event);
    }

    k = keep_alive_free(k);
    s = service_free(s);
    (void) sd_event_unref(event);
    return r;
}

int main(int argc, char **argv) {
    _cleanup_free_ char *why = NULL;
    config *c = NULL;
    arguments args;
    int r;

    if (parse_arguments(argc, argv, &args) < 0)
        return EX_USAGE;
    if (args.done)
        return EXIT_SUCCESS;
    if (prepare(!args.check_config) < 0)
        return EX_CONFIG;
    if (args.check_config)
        find_credentials();

    r = config_load(args.config, &c, &why);
    if (r < 0) {
        log_event(OUTCOME_CONFIGURATION_ERROR, {"WRITEBACK_REASON", why ? why : "out of memory"},
                  {"WRITEBACK_CONFIG_FILE", args.config});
        return EX_CONFIG;
    }
    if (args.check_config) {
        (void) printf("%s is right.\n", args.config);
        (void) config_free(c);
        return EXIT_SUCCESS;
    }

    r = run(args.config, c);
    return r < 0 ? EXIT_FAILURE : r;
}
