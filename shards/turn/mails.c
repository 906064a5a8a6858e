/* SPDX-License-Identifier: MIT */
/* Owns the table of mails, where a mailbox meets those whom its mail is for. It never calls one. Read by mail_drain. */
#include "shards/mail/mail.h"

mail_handler_fn *const mail_handlers[MAIL_KINDS] = {
#define MAIL(id, handler, meaning) [MAIL_##id] = (handler),
#include "shards/mail/mail.def"
#undef MAIL
};
