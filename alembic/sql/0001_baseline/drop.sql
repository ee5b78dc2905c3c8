-- Everything that the others make. The version of Alembic stays, and the schema, which may have been made by somebody
-- else.

SELECT closing_abandon();
DROP VIEW notifications, queue_differences, due_in_unfinished, due_in_waiting, due_in_unsent, due_in_leases, partitions;
DROP TABLE instance, closing_changes, closing, requeues, idempotency_keys_odd, idempotency_keys_even, pauses, breakers,
    set_aside, relay_withheld, relay_pages, relay_cursor, unfinished, waiting, unsent, leases, messages, outbox,
    event_types;
DROP SEQUENCE outbox_position;
DROP FUNCTION instance_takes_place(boolean), instance_here(),
    closing_abandon(), closing_finish(), closing_is_unpublished(uuid), closing_catch_up(), closing_copy(integer),
    closing_carry(uuid[]), closing_keeps(text, timestamptz, timestamptz), closing_begin(timestamptz, integer),
    closing_table(text, uuid), closing_note_change(),
    idempotency_keys_empty(regclass), idempotency_keys_are_expired(regclass),
    outbox_cut_newest(interval, timestamptz, bigint), outbox_newest_id(),
    outbox_make_partitions(interval, timestamptz), outbox_reach(timestamptz, interval),
    outbox_add_partition(text, uuid, uuid), outbox_next_bound(timestamptz, interval), outbox_time_of(uuid),
    outbox_first_id(timestamptz),
    cancel(uuid, text), may_have_arrived(uuid), adopt(json, text), accept(json, text),
    queues_follow(uuid[]), leave_queues(uuid[], uuid[], uuid[]), desk_error(text, text), is_unsent(text),
    is_waiting(text, integer), is_unfinished(text), has_date(text),
    outbox_allow_event(text, integer, text), outbox_note_size(), outbox_refuse_change();
