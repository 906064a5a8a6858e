/* SPDX-License-Identifier: MIT */
/* Owns two certificates with their keys, and files in memory that a configuration can name. The keys are for tests
 * only. It never touches a disk. Called by sim_config.c for the server and by sim_trust.c for those who believe it. */
#include "tests/sim/sim_pem.h"

#include "core/check.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define PATHS_BYTES 64

/* FOR TESTS ONLY: these keys protect nothing. */
static const struct identity {
    const char *certificate, *key;
} identities[SIM_PEMS] = {
    {"-----BEGIN CERTIFICATE-----\n"
     "MIIBUjCB+aADAgECAgEBMAoGCCqGSM49BAMCMBAxDjAMBgNVBAMMBXNpbSAxMCAX\n"
     "DTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAQMQ4wDAYDVQQDDAVzaW0g\n"
     "MTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABA1hW8xPc1ecolzHm9ug3rn1feMU\n"
     "7xdDN7GYxQ7lC/thumzYihSXAGk9RfzPyjx8Ygp+W8gfbgkWoGvstRTB9vWjQjBA\n"
     "MA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0RBAcwBYIDc2ltMB0GA1UdDgQWBBSmJrry\n"
     "3122pOSi86qZuo5UDezWizAKBggqhkjOPQQDAgNIADBFAiEAxHwAzP8WmzZq90dV\n"
     "FQlnWvovdfcCiYfEQFFHhbDMIvECIG2Y6GmS60E7Hdz5upeDXnIp7hMlZmPkag/2\n"
     "1ab+XDWK\n"
     "-----END CERTIFICATE-----\n",
     "-----BEGIN PRIVATE KEY-----\n"
     "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgyZ6pFDt/96AICYXS\n"
     "+UVgG8UyQkLS/imHgeAlYsuP26ihRANCAAQNYVvMT3NXnKJcx5vboN659X3jFO8X\n"
     "QzexmMUO5Qv7Ybps2IoUlwBpPUX8z8o8fGIKflvIH24JFqBr7LUUwfb1\n"
     "-----END PRIVATE KEY-----\n"},
    {"-----BEGIN CERTIFICATE-----\n"
     "MIIBUTCB+aADAgECAgECMAoGCCqGSM49BAMCMBAxDjAMBgNVBAMMBXNpbSAyMCAX\n"
     "DTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAQMQ4wDAYDVQQDDAVzaW0g\n"
     "MjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABMJq0BPOrHbfhjiiANKT1WXcSC79\n"
     "364YAMu25/eXbNfjvwPcK7rpuxEJWTU3+f2tnvc8Zhd0z7RUYsc24yrtwt2jQjBA\n"
     "MA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0RBAcwBYIDc2ltMB0GA1UdDgQWBBS4g8rS\n"
     "TUC4xITQ9+wz3IwMxWbznDAKBggqhkjOPQQDAgNHADBEAiBBeAbz+Pu5jOHBPTmi\n"
     "9OzedWRzI5Axo0/+9Ht+VI+oZQIgb1Kiv3I70t8VzgFDt5UP1JAmmxynKqImFg76\n"
     "+oesxQ4=\n"
     "-----END CERTIFICATE-----\n",
     "-----BEGIN PRIVATE KEY-----\n"
     "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgPGLSptAT2rB/pn5p\n"
     "TZmJRhixnnRwlSfXP5LoSVHr7+ShRANCAATCatATzqx234Y4ogDSk9Vl3Egu/d+u\n"
     "GADLtuf3l2zX478D3Cu66bsRCVk1N/n9rZ73PGYXdM+0VGLHNuMq7cLd\n"
     "-----END PRIVATE KEY-----\n"},
};

static struct slice slice_of_text(const char *text)
{
    return slice_of(text, strlen(text));
}

static int make_file(const char *text)
{
    struct slice bytes = slice_of_text(text);
    int file = memfd_create("pem", MFD_CLOEXEC);
    check(file >= 0 && write(file, bytes.data, bytes.bytes) == (ssize_t)bytes.bytes);
    return file;
}

struct slice sim_pem_certificate(enum sim_pem pem)
{
    return slice_of_text(identities[pem].certificate);
}

const char *sim_pem_paths(enum sim_pem pem)
{
    static char paths[SIM_PEMS][PATHS_BYTES];
    if (paths[pem][0] == '\0')
        snprintf(paths[pem], sizeof paths[pem], "/proc/self/fd/%d /proc/self/fd/%d",
                 make_file(identities[pem].certificate), make_file(identities[pem].key));
    return paths[pem];
}
