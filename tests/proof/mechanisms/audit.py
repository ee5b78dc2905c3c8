"""Whether it all agrees."""

from tests.proof.mechanisms.removal import Edit, Removal

REMOVALS = (
    Removal(
        "the audit reads log and projection in one snapshot",
        (
            Edit(
                "outbox/operate/audit/streams.py",
                'isolation_level="REPEATABLE READ"',
                'isolation_level="READ COMMITTED"',
            ),
        ),
        ("tests/proof/end_to_end/test_audit.py::test_ten_audits_of_a_system_under_load_find_nothing",),
    ),
    Removal(
        "the audit compares rows with the fold of their events",
        (Edit("outbox/operate/audit/streams.py", "if columns := differences(message, row):", "if columns := []:"),),
        ("tests/outbox/operate/audit/test_stored.py::test_a_changed_row_is_found_and_written_anew",),
    ),
    Removal(
        "a date that Python does not have ends no audit",
        (
            Edit(
                "outbox/postgres/log.py",
                "CASE WHEN recorded_at BETWEEN '0001-01-02 UTC' AND '9999-12-30 UTC' THEN recorded_at END AS ",
                "",
            ),
        ),
        (
            "tests/outbox/operate/audit/test_stored.py::test_what_somebody_else_wrote_into_the_log_is_found_and_ends_no_audit",
        ),
    ),
    Removal(
        "the audit reads the group's commits before the database",
        (
            Edit(
                "outbox/operate/audit/published.py",
                "                pending.is_read = True\n",
                "                continue\n",
            ),
        ),
        (
            "tests/outbox/operate/audit/test_kafka.py::test_records_read_past_without_a_claim_are_found_and_requested_again",
        ),
    ),
)
