/* SPDX-License-Identifier: MIT */
/* Passwords as they are kept: salted and slow hashes in the form of crypt(5), such as mkpasswd writes. Checking one
 * takes tens of milliseconds and megabytes on purpose, so it is never done on a shard's thread. */
#ifndef RINGCAST_PROTOCOL_PASSWORD_H
#define RINGCAST_PROTOCOL_PASSWORD_H

#include "core/bytes.h"

#define PASSWORD_BYTES_MAX 256
#define PASSWORD_HASH_BYTES_MAX 384

/* Whether it is a hash that this system can check and that is slow enough to be kept (yescrypt, scrypt, bcrypt and
 * others that crypt(5) recommends). NULL, or what is wrong as a literal. */
const char *password_hash_fault(const char *hash);
/* Whether the password is the one that was hashed; a longer one than PASSWORD_BYTES_MAX or one with a NUL is not. How
 * long it takes depends on the hash alone. */
bool password_is(struct slice password, const char *hash);
/* Makes a hash with a fresh salt (yescrypt). False: the system cannot. */
bool password_hash(struct slice password, char out[PASSWORD_HASH_BYTES_MAX]);

#endif
