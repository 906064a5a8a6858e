/* SPDX-License-Identifier: MIT */
/* Owns the reading of /proc/PID. It never keeps a file open between calls. Called by the main thread before and
 * after the measured part.
 *
 * schedstat's first number is what the scheduler has charged, in nanoseconds, work in the kernel on the thread's
 * behalf included: on loopback that is also the receiving half of each send. A kernel without it has the coarser
 * `stat`, which counts in clock ticks. Time of threads that have ended in between is not seen. */
#include "bench/bench_process.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool read_text(const char *path, char *text, size_t bytes)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    size_t n = fread(text, 1, bytes - 1, file);
    fclose(file);
    text[n] = '\0';
    return n > 0;
}

static bool task_schedstat(const char *folder, const char *task, uint64_t *ns)
{
    char path[384];
    char text[128];
    snprintf(path, sizeof path, "%s/%s/schedstat", folder, task);
    return read_text(path, text, sizeof text) && sscanf(text, "%" SCNu64, ns) == 1;
}

/* proc(5): utime and stime are fields 14 and 15; the name in field 2 may hold anything, so count behind its bracket. */
static bool task_stat(const char *folder, const char *task, uint64_t *ns)
{
    char path[384];
    char text[1024];
    snprintf(path, sizeof path, "%s/%s/stat", folder, task);
    if (!read_text(path, text, sizeof text))
        return false;
    const char *behind = strrchr(text, ')');
    uint64_t user;
    uint64_t kernel;
    if (!behind ||
        sscanf(behind + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64, &user, &kernel) != 2)
        return false;
    *ns = (user + kernel) * (1000000000 / (uint64_t)sysconf(_SC_CLK_TCK));
    return true;
}

bool process_cpu_ns(uint64_t pid, uint64_t *ns)
{
    char folder[64];
    snprintf(folder, sizeof folder, "/proc/%" PRIu64 "/task", pid);
    DIR *tasks = opendir(folder);
    if (!tasks)
        return false;
    *ns = 0;
    for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
        uint64_t of_task;
        if (task->d_name[0] == '.')
            continue;
        if (task_schedstat(folder, task->d_name, &of_task) || task_stat(folder, task->d_name, &of_task))
            *ns += of_task;
    }
    closedir(tasks);
    return true;
}
