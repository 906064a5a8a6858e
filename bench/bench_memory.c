/* SPDX-License-Identifier: MIT */
/* Owns the reading of /proc for memory. It never keeps a file open between calls. Called by the main thread between the
 * stages of a bench.
 *
 * The kernel's part cannot be told apart by process: it is what the machine has, and only a difference between two
 * moments of an otherwise idle machine says something. On loopback it holds both ends of each connection. */
#include "bench/bench_memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TEXT_BYTES 8192

uint64_t memory_field(const char *text, const char *name)
{
    size_t name_bytes = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, name_bytes) == 0 && line[name_bytes] == ':')
            return strtoull(line + name_bytes + 1, NULL, 10) * 1024;
    }
    return 0;
}

uint64_t memory_tcp_pages(const char *text)
{
    const char *line = strstr(text, "TCP:");
    const char *mem = line ? strstr(line, " mem ") : NULL;
    const char *end = line ? strchr(line, '\n') : NULL;
    if (!mem || (end && mem > end))
        return 0;
    return strtoull(mem + 5, NULL, 10);
}

static bool read_text(const char *path, char text[TEXT_BYTES])
{
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    size_t n = fread(text, 1, TEXT_BYTES - 1, file);
    fclose(file);
    text[n] = '\0';
    return n > 0;
}

bool memory_read(uint64_t pid, struct memory *memory)
{
    char path[64];
    char text[TEXT_BYTES];
    memset(memory, 0, sizeof *memory);
    snprintf(path, sizeof path, "/proc/%" PRIu64 "/smaps_rollup", pid);
    if (!read_text(path, text))
        return false;
    memory->resident_bytes = memory_field(text, "Rss");
    memory->proportional_bytes = memory_field(text, "Pss");
    if (read_text("/proc/meminfo", text))
        memory->slab_bytes = memory_field(text, "Slab");
    if (read_text("/proc/net/sockstat", text))
        memory->socket_bytes = memory_tcp_pages(text) * (uint64_t)sysconf(_SC_PAGESIZE);
    return true;
}
