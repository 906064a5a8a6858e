/* SPDX-License-Identifier: MIT */
/* Owns the checking of passwords. It keeps none: what it has copied is wiped. The hashes are the system's (libcrypt);
 * called on the helper thread and by the command that makes one. */
#include "protocol/password.h"

#include <crypt.h>
#include <stdlib.h>
#include <string.h>

/* Of every method that crypt_checksalt likes the digest is longer, and the salt shorter. */
#define DIGEST_CHARACTERS_MIN 31

_Static_assert(PASSWORD_HASH_BYTES_MAX >= CRYPT_OUTPUT_SIZE, "every hash fits");

static bool is_text(struct slice password)
{
    return password.bytes > 0 && password.bytes <= PASSWORD_BYTES_MAX &&
           memchr(password.data, '\0', password.bytes) == NULL;
}

/* The hash of a password under a setting; false: none. */
static bool hash_with(struct slice password, const char *setting, char out[PASSWORD_HASH_BYTES_MAX])
{
    char text[PASSWORD_BYTES_MAX + 1];
    struct crypt_data *data = calloc(1, sizeof *data);
    if (data == NULL)
        return false;
    memcpy(text, password.data, password.bytes);
    text[password.bytes] = '\0';
    const char *hash = crypt_r(text, setting, data);
    bool made = hash != NULL && hash[0] != '*';
    if (made)
        memcpy(out, hash, strlen(hash) + 1);
    explicit_bzero(text, sizeof text);
    explicit_bzero(data, sizeof *data);
    free(data);
    return made;
}

const char *password_hash_fault(const char *hash)
{
    if (strlen(hash) >= PASSWORD_HASH_BYTES_MAX)
        return "is longer than any hash";
    switch (crypt_checksalt(hash)) {
    case CRYPT_SALT_OK:
        break;
    case CRYPT_SALT_METHOD_LEGACY:
        return "is of a method that is too weak; make one with 'ringcast hash-password'";
    default:
        return "is no hash that this system knows; make one with 'ringcast hash-password'";
    }
    const char *last = strrchr(hash, '$');
    return last != NULL && strlen(last + 1) >= DIGEST_CHARACTERS_MIN ? NULL
                                                                     : "is cut; make one with 'ringcast hash-password'";
}

bool password_is(struct slice password, const char *hash)
{
    char made[PASSWORD_HASH_BYTES_MAX];
    /* One that cannot be right costs the same. */
    bool text = is_text(password);
    if (!hash_with(text ? password : slice_text("none"), hash, made))
        return false;
    size_t bytes = strlen(hash);
    uint8_t difference = strlen(made) != bytes;
    for (size_t i = 0; i < bytes && made[i] != '\0'; i++)
        difference |= (uint8_t)(made[i] ^ hash[i]);
    return text && difference == 0;
}

bool password_hash(struct slice password, char out[PASSWORD_HASH_BYTES_MAX])
{
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    return is_text(password) && crypt_gensalt_rn("$y$", 0, NULL, 0, setting, sizeof setting) != NULL &&
           hash_with(password, setting, out);
}
