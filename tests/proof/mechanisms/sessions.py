"""What a role, a pooler or a database could change to Herald's harm."""

from tests.proof.mechanisms.removal import Edit, Removal

SESSIONS = "tests/outbox/postgres/test_sessions.py"
BESIDE = "tests/migrations/test_beside_a_caller.py"
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
    Removal(
        "a migration looks whether the schema is there",
        (
            Edit(
                "alembic/env.py",
                "    IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = '{schema}') THEN\n"
                '        CREATE SCHEMA "{schema}";\n'
                "    END IF;\n",
                '    CREATE SCHEMA IF NOT EXISTS "{schema}";\n',
            ),
        ),
        (f"{BESIDE}::test_both_migrate_in_either_order_and_herald_needs_a_schema_alone",),
    ),
    Removal(
        "locks are the schema's",
        (Edit("outbox/postgres/locks.py", 'SCHEMA = "current_schema()::regnamespace::oid"', 'SCHEMA = "0::oid"'),),
        ("tests/proof/end_to_end/test_schemas.py::test_two_heralds_in_two_schemas_of_one_database_both_lead",),
    ),
    Removal(
        "the channel is the schema's",
        (Edit("outbox/postgres/notify.py", "current_schema() || '_outbox'", "'herald_outbox'::text"),),
        ("tests/proof/end_to_end/test_schemas.py::test_a_notification_wakes_the_relay_of_its_own_schema_alone",),
    ),
    Removal(
        "only a relay is ended for its deafness",
        (Edit("outbox/relay/session.py", "starts_with(application_name, %(name)s)", "%(name)s <> ''"),),
        ("tests/outbox/relay/test_session.py::test_a_session_that_is_no_relay_is_left_alone",),
    ),
    Removal(
        "only one whose rights the standby has",
        (Edit("outbox/relay/session.py", " AND pg_has_role(usesysid, 'USAGE')", ""),),
        ("tests/outbox/relay/test_session.py::test_a_session_of_a_role_that_is_not_ours_is_left_alone",),
    ),
    Removal(
        "a downgrade looks for messages",
        (
            Edit(
                "alembic/sql/0001_baseline/refuse_loss.sql",
                "    IF EXISTS (SELECT FROM outbox) THEN\n",
                "    IF false THEN\n",
            ),
        ),
        ("tests/migrations/test_migrations.py::test_a_downgrade_does_not_take_a_log_that_holds_messages",),
    ),
)
