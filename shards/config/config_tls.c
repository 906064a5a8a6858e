/* SPDX-License-Identifier: MIT */
/* Owns the certificates and keys of a configuration: reads the files that it names, tries them with the TLS library,
 * and wipes them in the end. It never prints their contents and never touches a connection. Called by config_load and
 * config_free. */
#include "shards/config/config_parts.h"

#include "core/check.h"
#include "shards/config/config_tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const struct config_section *section_of(const struct config *config, struct config_sections *sections)
{
    config_sections(config, sections);
    return config_section_find(sections, slice_text("tls"), NULL);
}

static void finding(struct config *config, const char *row_name, struct config_findings *findings, const char *what,
                    const char *why)
{
    struct config_sections sections;
    const struct config_section *section = section_of(config, &sections);
    int row = config_row_find(section, slice_text(row_name), NULL);
    check(row >= 0);
    config_finding(findings, section, (uint32_t)row, &config->origins[section->first + (uint32_t)row], "%s: %s", what,
                   why);
}

/* Keeps the content of a file and sets *out to it. 0, -ENOMEM, or another -errno of the file. */
static int read_text(struct tls_material *material, const char *path, bool is_secret, struct config_findings *findings,
                     struct slice *out)
{
    int error;
    size_t bytes = 0;
    char *text = config_file_read(path, is_secret, findings, &bytes, &error);
    if (text == NULL)
        return error;
    check_op(material->count, <, sizeof material->texts / sizeof material->texts[0]);
    material->texts[material->count++] = (struct tls_text){.data = text, .bytes = bytes};
    *out = slice_of(text, bytes);
    return 0;
}

/* "CHAIN KEY" into two paths; false: not two words. */
static bool split(const char *entry, char chain[256], char key[256])
{
    char rest[2];
    return sscanf(entry, "%255s %255s %1s", chain, key, rest) == 2;
}

static int load_file(struct config *config, const char *row, const char *path, bool is_secret, struct slice *out,
                     struct config_findings *findings)
{
    int error = read_text(config->tls.material, path, is_secret, findings, out);
    if (error == 0 || error == -ENOMEM)
        return error;
    char what[320];
    snprintf(what, sizeof what, "%s cannot be read", path);
    finding(config, row, findings, what, config_file_fault(error));
    return 0;
}

static int load_identity(struct config *config, const char *entry, struct config_findings *findings)
{
    struct tls_settings *settings = &config->tls.material->settings;
    char chain[256], key[256];
    if (settings->identity_count == TLS_IDENTITIES_MAX) {
        finding(config, "certificates", findings, "too many", "16 are the most");
        return 0;
    }
    if (!split(entry, chain, key)) {
        finding(config, "certificates", findings, entry,
                "write \"CHAIN.pem KEY.pem\": two files, one space between them");
        return 0;
    }
    struct tls_identity *identity = &settings->identities[settings->identity_count++];
    int error = load_file(config, "certificates", chain, false, &identity->chain, findings);
    return error != 0 ? error : load_file(config, "certificates", key, true, &identity->key, findings);
}

/* What the library says to it all. */
static void try_context(struct config *config, struct config_findings *findings)
{
    char why[256];
    struct tls_context *context = tls_context_create(&config->tls.material->settings, why, sizeof why);
    if (context == NULL)
        finding(config, "certificates", findings, "refused", why);
    tls_context_release(context);
}

int config_tls_load(struct config *config, struct config_findings *findings)
{
    struct tls_config *tls = &config->tls;
    if (tls->certificates.count == 0)
        return 0;
    tls->material = calloc(1, sizeof *tls->material);
    if (tls->material == NULL)
        return -ENOMEM;
    uint32_t before = findings->count;
    struct tls_settings *settings = &tls->material->settings;
    settings->allow_tls12 = tls->minimum_version == 1;
    settings->ticket_lifetime_s = (uint32_t)(tls->ticket_lifetime_ms / 1000);
    int error = 0;
    for (uint32_t i = 0; error == 0 && i < tls->certificates.count; i++)
        error = load_identity(config, tls->certificates.items[i], findings);
    if (error == 0 && tls->client_authorities[0] != '\0')
        error =
            load_file(config, "client_authorities", tls->client_authorities, false, &settings->authorities, findings);
    if (error != 0 || findings->count > before)
        return error;
    if (!tls_start(tls->memory_bytes)) {
        finding(config, "certificates", findings, "the TLS library does not start", tls_library());
        return 0;
    }
    try_context(config, findings);
    return 0;
}

void config_tls_free(struct config *config)
{
    struct tls_material *material = config->tls.material;
    if (material == NULL)
        return;
    for (uint32_t i = 0; i < material->count; i++) {
        explicit_bzero(material->texts[i].data, material->texts[i].bytes);
        free(material->texts[i].data);
    }
    free(material);
    config->tls.material = NULL;
}
