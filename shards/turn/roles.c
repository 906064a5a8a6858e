/* SPDX-License-Identifier: MIT */
/* Owns the list of roles, where connections meet their users. It never calls one. Read through role.h by the
 * connection's files. */
#include "shards/conn/role.h"

#define ROLE(id, record, name) extern const struct conn_role record;
#include "shards/conn/roles.def"
#undef ROLE

const struct conn_role *const conn_roles[ROLES] = {
#define ROLE(id, record, name) [ROLE_##id] = &record,
#include "shards/conn/roles.def"
#undef ROLE
};

const char *const role_names[ROLES] = {
#define ROLE(id, record, name) [ROLE_##id] = (name),
#include "shards/conn/roles.def"
#undef ROLE
};
