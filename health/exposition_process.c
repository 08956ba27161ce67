/* SPDX-License-Identifier: Apache-2.0 */
#include "health/exposition.h"

#include <dirent.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static void put_memory(const exposition *p) {
    FILE *f = p->f;
    unsigned long long pages, resident;
    long page_size = sysconf(_SC_PAGESIZE);
    FILE *statm = fopen("/proc/self/statm", "re");

    if (!statm)
        return;

    if (fscanf(statm, "%llu %llu", &pages, &resident) == 2 && page_size > 0) {
        exposition_put_family(p, "process_virtual_memory_bytes", "gauge", "Virtual memory size.");
        fprintf(f, "process_virtual_memory_bytes %llu\n", pages * (unsigned long long) page_size);
        exposition_put_family(p, "process_resident_memory_bytes", "gauge", "Resident memory size.");
        fprintf(f, "process_resident_memory_bytes %llu\n",
                resident * (unsigned long long) page_size);
    }
    (void) fclose(statm);
}

static void put_file_descriptors(const exposition *p) {
    FILE *f = p->f;
    DIR *folder = opendir("/proc/self/fd");
    struct rlimit limit;
    /* The folder's own descriptor is none of ours. */
    int n = -1;

    if (!folder)
        return;

    for (const struct dirent *entry = readdir(folder); entry; entry = readdir(folder))
        n += entry->d_name[0] != '.';
    (void) closedir(folder);

    exposition_put_family(p, "process_open_fds", "gauge", "Open file descriptors.");
    fprintf(f, "process_open_fds %d\n", n);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
        exposition_put_family(p, "process_max_fds", "gauge",
                              "Most file descriptors that may be open.");
        fprintf(f, "process_max_fds %llu\n", (unsigned long long) limit.rlim_cur);
    }
}

void exposition_put_process(const exposition *p, usec_t started) {
    FILE *f = p->f;
    struct timespec cpu;

    exposition_put_family(p, "process_start_time_seconds", "gauge", "When the process started.");
    fputs("process_start_time_seconds ", f);
    exposition_put_seconds(f, started);

    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) == 0) {
        exposition_put_family(p, "process_cpu_seconds_total", "counter", "Processor time spent.");
        fputs("process_cpu_seconds_total ", f);
        exposition_put_seconds(f, (usec_t) cpu.tv_sec * USEC_PER_SEC + (usec_t) cpu.tv_nsec / 1000);
    }
    put_memory(p);
    put_file_descriptors(p);
}
