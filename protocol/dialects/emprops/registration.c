/* SPDX-License-Identifier: MIT */
/* Owns who a connection says it is, and whether its token lets it be that (E-6 to E-13). It keeps nothing: the hub
 * does, once it has confirmed. requests.c hands register messages on to it. */
#include "protocol/action.h"
#include "protocol/dialects/emprops/requirements.h"
#include "protocol/dialects/emprops/session.h"
#include "protocol/token.h"

/* The rights of this session with the token of the message, if it has one; a place of the token is asked for. 0: not
 * let in. */
static uint8_t rights(struct dialect_call *call, const struct incoming *in)
{
    const struct dialect_settings *settings = call->settings;
    struct emprops_session *session = call->session;
    struct buf *text = &call->out->text;
    size_t mark = text->used;
    if (!emprops_secured(call) || in->at[M_token].token != JSON_STRING)
        return session->key_rights;
    if (in->at[M_token].raw.bytes > KEY_BYTES_MAX * 6)
        return 0;
    json_unescape(in->at[M_token].raw, text);
    struct slice key = buf_since(text, mark);
    uint8_t found = key.bytes > KEY_BYTES_MAX ? 0 : emprops_rights_of(call, key);
    session->registering = true;
    if (found != 0 && session->key_rights == 0) /* without a place so far */
        action_acquire(call->out, QUOTA_KEY, key, (uint32_t)settings->connections_per_key, 0);
    session->key_rights = found;
    return found;
}

/* The permissions that are asked for, as rights; false: the error has been appended. */
static bool read_permissions(struct dialect_call *call, const struct incoming *in, uint8_t *asked)
{
    struct json_reader reader;
    struct json_value value;
    *asked = 0;
    if (!incoming_has(in, M_permissions))
        return true;
    json_init(&reader, in->at[M_permissions].text, JSON_DEPTH_MAX);
    bool good = json_next(&reader, &value) == JSON_ARRAY_BEGIN;
    while (good && json_next(&reader, &value) != JSON_ARRAY_END) {
        bool jobs = json_raw_equal(value.raw, value.escaped, slice_text("view_all_jobs"));
        good = value.token == JSON_STRING &&
               (jobs || json_raw_equal(value.raw, value.escaped, slice_text("view_system_stats")));
        *asked |= jobs ? EMPROPS_ALL_JOBS : EMPROPS_STATS;
    }
    if (!good)
        emprops_invalid(call, in, "permissions", "Must be an array of view_all_jobs, view_system_stats",
                        &in->at[M_permissions]);
    return good;
}

/* Whether the client takes chunks (E-80). */
static bool takes_chunks(const struct incoming *in)
{
    struct json_member chunked = {.name = "chunked_messages"};
    return in->at[M_capabilities].token == JSON_OBJECT_BEGIN &&
           json_find_members(in->at[M_capabilities].text, JSON_DEPTH_MAX, false, &chunked, 1) == JSON_MEMBERS_OK &&
           chunked.token == JSON_TRUE;
}

void emprops_register_client(struct dialect_call *call, const struct incoming *in)
{
    uint8_t memory[1024], asked;
    struct buf space = buf_of(memory, sizeof memory);
    struct emprops_session *session = call->session;
    const struct json_member *kind = &in->at[M_client_type];
    bool monitor = kind->token == JSON_STRING && json_raw_equal(kind->raw, kind->escaped, slice_text("monitor"));
    bool client = kind->token == JSON_STRING && json_raw_equal(kind->raw, kind->escaped, slice_text("job_client"));
    struct outgoing out;
    struct slice id;
    if (!monitor && !client) {
        emprops_invalid(call, in, "client_type", "Must be job_client or monitor", kind);
        return;
    }
    if (!emprops_text(call, in, M_client_id, EMPROPS_NAME_BYTES_MAX, &space, &id) ||
        !read_permissions(call, in, &asked))
        return;
    uint8_t has = rights(call, in);
    if (!(has & (monitor ? EMPROPS_MONITOR : EMPROPS_CLIENT))) {
        emprops_auth_failed(call, monitor ? "Invalid monitor token" : "Invalid client token", "client_id", id, in->id);
        return;
    }
    if (emprops_secured(call))
        session->granted = monitor ? asked & has : 0;
    if (!outgoing_begin(call, 0, &out))
        return;
    hub_put_field(out.out, FIELD_CLIENT_ID, id);
    if (monitor)
        hub_put_field(out.out, FIELD_MONITOR, slice_text("1"));
    if (takes_chunks(in))
        hub_put_field(out.out, FIELD_CHUNKED, slice_text("1"));
    hub_put_number(out.out, FIELD_SECTIONS, monitor ? asked & has : 0);
    outgoing_end(&out, in, HUB_REGISTER_CLIENT, TAG_MESSAGE);
}

bool emprops_put_capabilities(struct dialect_call *call, const struct incoming *in, struct buf *out)
{
    static const struct {
        const char *field;
        enum hub_field to;
    } parts[] = {{"capabilities.services", FIELD_SERVICES},
                 {"capabilities.components", FIELD_COMPONENTS},
                 {"capabilities.hardware", FIELD_HARDWARE}};
    struct json_member found[] = {{.name = "services"}, {.name = "components"}, {.name = "hardware"}};
    if (!incoming_has(in, M_capabilities))
        return true;
    if (json_find_members(in->at[M_capabilities].text, JSON_DEPTH_MAX, false, found, 3) != JSON_MEMBERS_OK) {
        emprops_invalid(call, in, "capabilities", "Must be an object", &in->at[M_capabilities]);
        return false;
    }
    for (size_t i = 0; i < 3; i++) {
        uint8_t memory[CAPABILITIES_BYTES_MAX];
        struct buf form = buf_of(memory, sizeof memory);
        struct slice name, value;
        if (found[i].token == JSON_ERROR || found[i].token == JSON_NULL)
            continue;
        const char *wrong = i < 2 ? requirements_put_list(found[i].text, &form)
                                  : requirements_put_hardware(found[i].text, false, &form, &name, &value);
        if (wrong == NULL && form.overflow)
            wrong = "Must have at most 16384 bytes";
        if (wrong != NULL) {
            emprops_invalid(call, in, parts[i].field, wrong, &found[i]);
            return false;
        }
        hub_put_field(out, parts[i].to, buf_slice(&form));
    }
    return true;
}

void emprops_register_worker(struct dialect_call *call, const struct incoming *in)
{
    uint8_t memory[1024];
    struct buf space = buf_of(memory, sizeof memory);
    struct json_member services = {.name = "services"};
    struct outgoing out;
    struct slice id;
    uint64_t slots = 1;
    if (!emprops_text(call, in, M_worker_id, EMPROPS_NAME_BYTES_MAX, &space, &id))
        return;
    if (in->at[M_capabilities].token == JSON_OBJECT_BEGIN)
        (void)json_find_members(in->at[M_capabilities].text, JSON_DEPTH_MAX, false, &services, 1);
    if (services.token == JSON_ERROR) {
        emprops_invalid(call, in, "capabilities.services", "Required", NULL);
        return;
    }
    if (!(rights(call, in) & EMPROPS_WORKER)) {
        emprops_auth_failed(call, "Invalid worker token", "worker_id", id, in->id);
        return;
    }
    if (!outgoing_begin(call, 0, &out) || !emprops_put_worker_status(call, in, out.out) ||
        !emprops_count(call, in, M_available_slots, 1000000, &slots) || !emprops_put_capabilities(call, in, out.out))
        return;
    hub_put_field(out.out, FIELD_WORKER_ID, id);
    if (in->at[M_subscribe_to_jobs].token == JSON_TRUE)
        hub_put_field(out.out, FIELD_LISTENS, slice_text("1"));
    if (takes_chunks(in))
        hub_put_field(out.out, FIELD_CHUNKED, slice_text("1"));
    hub_put_number(out.out, FIELD_SLOTS, slots);
    outgoing_end(&out, in, HUB_REGISTER_WORKER, TAG_MESSAGE);
}
