"""What may be tried now, and what became of it: the two statements on which correctness rests."""

from tests.proof.mechanisms.removal import Edit, Removal

ATTEMPTS = "tests/outbox/moves/test_attempts.py"
CANCELLING = "tests/outbox/moves/test_cancel.py"
POSTPONING = "tests/outbox/moves/test_postponing.py"
FITS = "FROM locked AS l JOIN record AS r ON r.id = l.id AND r.request = l.request CROSS JOIN clock"
PAUSED = """WHEN {IS_PAUSED.format(message="f")} THEN 'paused'"""

REMOVALS = (
    Removal(
        "the claim: the state must fit",
        (
            Edit(
                "outbox/moves/claim.py",
                "WHERE id = ANY (ARRAY(SELECT id FROM record)) AND status = 'pending'",
                "WHERE id = ANY (ARRAY(SELECT id FROM record))",
            ),
        ),
        (
            f"{ATTEMPTS}::test_a_record_that_comes_twice_starts_one_attempt",
            f"{ATTEMPTS}::test_of_two_workers_one_wins_each_message",
        ),
    ),
    Removal(
        "the claim: the request number must fit",
        (Edit("outbox/moves/claim.py", FITS, "FROM locked AS l JOIN record AS r ON r.id = l.id CROSS JOIN clock"),),
        (
            "tests/outbox/moves/test_request_again.py::test_a_record_of_the_first_request_starts_nothing_after_the_second",
        ),
    ),
    Removal(
        "outcomes are keyed by attempt",
        (Edit("outbox/moves/record.py", "l.attempts = o.attempt AND (l.status = 'sending'", "(l.status = 'sending'"),),
        ("tests/outbox/moves/test_request_again.py::test_an_outcome_that_comes_after_the_next_attempt_began_is_late",),
    ),
    Removal(
        "an outcome after the end changes nothing",
        (
            Edit(
                "outbox/moves/record.py",
                "OR o.outcome = 'sent' AND l.status IN ('pending', 'failed', 'unknown')) AS counts",
                "OR true) AS counts",
            ),
        ),
        (f"{ATTEMPTS}::test_an_outcome_after_the_end_is_late_and_changes_nothing",),
    ),
    Removal(
        "a message is adopted once",
        (
            Edit(
                "alembic/sql/0001_baseline/moves.sql",
                "WHERE NOT EXISTS (SELECT FROM messages WHERE id = (one ->> 'id')::uuid)\n"
                "            AND NOT EXISTS (SELECT FROM outbox WHERE stream_id = (one ->> 'id')::uuid)",
                "",
            ),
            Edit("alembic/sql/0001_baseline/moves.sql", "IF json_array_length(unknown) >= tried THEN", "IF true THEN"),
        ),
        (f"{ATTEMPTS}::test_adoption_happens_once",),
    ),
    Removal(
        "an adoption that fails for another reason than somebody else's is not tried for ever",
        (Edit("alembic/sql/0001_baseline/moves.sql", "IF json_array_length(unknown) >= tried THEN", "IF false THEN"),),
        (f"{ATTEMPTS}::test_what_is_there_twice_for_another_reason_is_an_error_and_not_tried_for_ever",),
    ),
    Removal(
        "what waits for another takes its date",
        (
            Edit(
                "outbox/moves/claim.py",
                "THEN greatest(p.due_at + interval '1 microsecond', clock.at)",
                "THEN clock.at + interval '1 second'",
            ),
            Edit(
                "outbox/moves/claim.py",
                "max(due_at) OVER before + interval '1 microsecond'",
                "clock_timestamp() + interval '1 second'",
            ),
        ),
        (
            f"{POSTPONING}::test_a_queue_behind_a_message_that_was_postponed_ends_with_it",
            f"{POSTPONING}::test_in_one_batch_what_waits_for_another_takes_its_date",
        ),
    ),
    Removal(
        "what is more urgent waits for the date of the one before it, too",
        (
            Edit(
                "outbox/moves/claim.py",
                "THEN greatest(p.due_at + interval '1 microsecond', {_SOON})",
                "THEN {_SOON}",
            ),
        ),
        (f"{POSTPONING}::test_what_is_more_urgent_than_the_one_it_waits_for_is_not_looked_at_before_that_ones_date",),
    ),
    Removal(
        "after what does not go on for long is looked less and less",
        (Edit("outbox/moves/claim.py", "extract(epoch FROM clock.at - p.updated_at) / 10", "0"),),
        (f"{POSTPONING}::test_after_one_that_does_not_go_on_for_long_is_looked_less_and_less",),
    ),
    Removal(
        "a busy destination postpones",
        (Edit("outbox/moves/claim.py", "WHEN f.wait IS NOT NULL OR behind.in_line = 'busy' THEN 'busy'\n", ""),),
        (f"{POSTPONING}::test_a_busy_destination_is_come_back_to",),
    ),
    Removal(
        "a breaker that every claim looks at",
        (
            Edit(
                "outbox/moves/claim.py",
                "WHERE opened_at IS NOT NULL AND destination IN (SELECT destination FROM fitting)",
                "WHERE opened_at IS NULL AND destination IN (SELECT destination FROM fitting)",
            ),
        ),
        (f"{POSTPONING}::test_an_open_breaker_postpones_until_its_probe_and_burns_no_attempt",),
    ),
    Removal(
        "an attempt that is given back does not count",
        (
            Edit(
                "outbox/moves/door.py",
                'uncounted="m.uncounted + 1",',
                'uncounted="m.uncounted",',
            ),
        ),
        (f"{POSTPONING}::test_an_attempt_that_is_given_back_does_not_count",),
    ),
    Removal(
        "one of many probes a destination",
        (Edit("outbox/moves/claim.py", "SELECT DISTINCT ON (h.destination) h.id\n", "SELECT h.id\n"),),
        (f"{POSTPONING}::test_of_many_one_probes_a_destination_whose_date_has_come",),
    ),
    Removal(
        "a probe has a lease",
        (
            Edit(
                "outbox/moves/claim.py",
                "AND (b.probe_until IS NULL OR b.probe_until <= clock.at OR b.probe_id = h.id)",
                "",
            ),
        ),
        (f"{POSTPONING}::test_a_second_probe_waits_until_the_lease_of_the_first_is_over",),
    ),
    Removal(
        "a claim looks at what is delayed on a strict topic",
        (
            Edit(
                "outbox/moves/claim.py",
                "AND (f.is_strict AND NOT f.is_here\n               OR (p.destination",
                "AND (false\n               OR (p.destination",
            ),
        ),
        (f"{POSTPONING}::test_on_a_strict_topic_a_failed_message_holds_its_successors",),
    ),
    Removal(
        "a claim on a strict topic leaves a key alone that another worker has",
        (
            Edit(
                "outbox/moves/claim.py",
                "WHERE f.is_strict AND l.topic = f.topic",
                "WHERE false AND l.topic = f.topic",
            ),
        ),
        (f"{POSTPONING}::test_on_a_strict_topic_a_key_under_way_in_another_worker_is_left_alone",),
    ),
    Removal(
        "the claim looks at deliver_by",
        (Edit("outbox/moves/claim.py", "WHERE l.deliver_by IS NULL OR l.deliver_by > clock.at\n", ""),),
        (f"{POSTPONING}::test_what_has_expired_is_not_tried",),
    ),
    Removal(
        "cancelling looks at state and attempts in the row that the claim moves",
        (
            Edit(
                "alembic/sql/0001_baseline/moves.sql",
                "RETURN is_unfinished(found.status) AND found.status NOT IN ('sending', 'failed')\n",
                "RETURN found.status NOT IN ('cancelled', 'sent')\n",
            ),
            Edit("alembic/sql/0001_baseline/moves.sql", "AND (found.attempts = 0 OR", "AND (true OR"),
        ),
        (
            (
                "tests/proof/end_to_end/test_dates.py"
                "::test_of_a_thousand_cancels_at_the_due_second_each_message_is_sent_or_cancelled"
            ),
            (
                "tests/proof/end_to_end/test_groups.py::test_of_a_thousand_users_in_one_request"
                "_each_is_sent_or_cancelled_and_the_counts_are_right_all_along"
            ),
            f"{CANCELLING}::test_what_is_being_tried_cannot_be_cancelled",
        ),
    ),
    Removal(
        "cancelling looks for what came of earlier attempts",
        (Edit("alembic/sql/0001_baseline/moves.sql", "AND NOT may_have_arrived(found.id)", ""),),
        (f"{CANCELLING}::test_what_may_have_arrived_before_a_person_requeued_it_cannot_be_cancelled",),
    ),
    Removal(
        "a claim waits for no transaction",
        (
            Edit(
                "outbox/moves/claim.py",
                "FOR NO KEY UPDATE SKIP LOCKED\n),\nfitting",
                "FOR NO KEY UPDATE\n),\nfitting",
            ),
        ),
        (f"{ATTEMPTS}::test_a_claim_leaves_what_a_callers_transaction_holds_and_takes_the_others",),
    ),
    Removal(
        "a pause is a row that every claim looks at",
        (Edit("outbox/moves/claim.py", f"        {PAUSED}\n", ""),),
        (
            f"{POSTPONING}::test_what_is_paused_is_postponed_and_stays_due",
            (
                "tests/proof/end_to_end/test_pauses.py"
                "::test_what_is_paused_survives_restarts_and_is_sent_once_when_it_is_resumed"
            ),
        ),
    ),
)
