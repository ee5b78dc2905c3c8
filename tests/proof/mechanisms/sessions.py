"""What a role, a pooler or a database could change to Herald's harm."""

from tests.proof.mechanisms.removal import Edit, Removal

SESSIONS = "tests/outbox/postgres/test_sessions.py"
FITNESS = "tests/outbox/postgres/test_fitness.py"

REMOVALS = (
    Removal(
        "each session gets Herald's own settings",
        (
            Edit(
                "outbox/postgres/connections.py",
                "            set_up(opened, schema=settings.database_schema,"
                " statement_timeout=limit, is_steady=is_steady)\n",
                '            opened.cursor().execute("SET search_path = herald, pg_catalog, pg_temp")\n',
            ),
        ),
        (f"{SESSIONS}::test_whatever_role_and_database_say_a_session_has_heralds_settings",),
    ),
    Removal(
        "what is planned once holds at every size",
        (Edit("outbox/postgres/session_settings.py", ', "enable_seqscan": "off"}', "}"),),
        ("tests/outbox/postgres/test_prepared.py::test_what_is_done_again_and_again_never_reads_a_whole_partition",),
    ),
    Removal(
        "strings are quoted as the server reads them",
        (Edit("outbox/postgres/connections.py", " -c standard_conforming_strings=on", ""),),
        (f"{SESSIONS}::test_what_the_driver_quotes_stays_what_it_was",),
    ),
    Removal(
        "no plan in parallel",
        (Edit("outbox/postgres/session_settings.py", '    "max_parallel_workers_per_gather": "0",\n', ""),),
        (f"{SESSIONS}::test_no_look_starts_further_processes",),
    ),
    Removal(
        "the cursor's save waits for no disk in its own transaction only",
        (Edit("outbox/relay/cursor.py", '"SET LOCAL synchronous_commit = off"', '"SET synchronous_commit = off"'),),
        (f"{SESSIONS}::test_no_setting_that_loses_a_commit_stays_with_the_relays_session",),
    ),
    Removal(
        "a pooler is recognised before anything is set",
        (
            Edit(
                "outbox/postgres/connections.py",
                "        refuse_unfit(facts, checks)\n        if not facts.is_shared:\n",
                "        if True:\n",
            ),
        ),
        (
            f"{FITNESS}::test_a_pool_is_recognised_however_it_chooses",
            f"{FITNESS}::test_a_pool_that_was_refused_has_been_told_nothing",
            f"{FITNESS}::test_a_standby_is_not_migrated",
        ),
    ),
    Removal(
        "a pooler that hands on the server's keys is recognised",
        (Edit("outbox/startup.py", "    if is_shared(connection, settings):\n", "    if False:\n"),),
        (f"{FITNESS}::test_a_pooler_that_hands_on_the_servers_keys_is_recognised_at_the_start",),
    ),
    Removal(
        "an unfit database is refused at the start",
        (Edit("outbox/startup.py", " and not isinstance(error, UnfitError)", ""),),
        (
            f"{FITNESS}::test_a_database_that_cannot_hold_every_text_is_refused",
            f"{FITNESS}::test_no_process_works_through_a_pooler_in_transaction_mode",
        ),
    ),
)
