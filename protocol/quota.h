/* SPDX-License-Identifier: MIT */
/* What connections take places of, over all shards. */
#ifndef RINGCAST_PROTOCOL_QUOTA_H
#define RINGCAST_PROTOCOL_QUOTA_H

enum quota_kind {
    QUOTA_ADDRESS,          /* connections of one address */
    QUOTA_KEY,              /* connections of one key */
    QUOTA_ADDRESS_ATTEMPTS, /* connection attempts of one address in a window */
    QUOTA_KEY_ATTEMPTS,
    QUOTA_ADDRESS_LEFT, /* whether attempts of the address leave room for one more, which is not counted */
};

#endif
