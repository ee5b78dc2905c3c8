"""From the request to COMMIT."""

from tests.proof.mechanisms.removal import Edit, Removal

COMMITTER = "tests/outbox/acceptance/test_committer.py"
COMMIT = "tests/outbox/postgres/test_commit.py"
DATA_ERRORS = "tests/outbox/postgres/test_data_errors.py"
KEYS = "tests/outbox/acceptance/test_committer_keys.py"

REMOVALS = (
    Removal(
        "when the committer cannot write, the answer is 503",
        (
            Edit(
                "outbox/acceptance/committer.py",
                "_answer_all(list(unsettled), UnavailableError(reason(error)))",
                "answer([(one, Receipt(one.ids)) for one in unsettled])",
            ),
        ),
        (f"{COMMITTER}::test_a_database_that_is_away_is_unavailable_and_found_again_when_it_returns",),
    ),
    Removal(
        "an unanswered COMMIT is looked up on another connection",
        (
            Edit(
                "outbox/postgres/commit.py", '            return status == "committed"\n', "            return False\n"
            ),
        ),
        (f"{COMMIT}::test_the_truth_of_an_unanswered_commit_comes_from_the_database",),
    ),
    Removal(
        "the row in the log tells whose transaction id it is",
        (
            Edit(
                "outbox/postgres/commit.py",
                'return "aborted" if status == "committed" and not is_stored else status',
                "return status",
            ),
        ),
        (f"{COMMIT}::test_an_unanswered_commit_is_not_taken_for_stored_when_its_id_was_given_out_again",),
    ),
    Removal(
        "what was looked up is confirmed by the standby",
        (Edit("outbox/postgres/commit.py", "            commit(connection, transaction_id)\n", ""),),
        (f"{COMMIT}::test_an_unanswered_commit_that_the_standby_does_not_confirm_is_not_taken_for_stored",),
    ),
    Removal(
        "a COMMIT that waits for its standby is cancelled in time",
        (Edit("outbox/postgres/watch.py", "SELECT pg_cancel_backend(%s)", "SELECT %s"),),
        (f"{COMMIT}::test_a_commit_that_waits_for_a_standby_that_is_gone_ends_in_time",),
    ),
    Removal(
        "a session that began read-only is not kept",
        (
            Edit(
                "outbox/acceptance/writer.py",
                "if isinstance(error, PostgresError) and error.pgcode == READ_ONLY:",
                "if False:",
            ),
        ),
        (f"{COMMITTER}::test_a_session_that_began_read_only_is_replaced",),
    ),
    Removal(
        "what cannot be told of a COMMIT does not count as stored",
        (
            Edit(
                "outbox/postgres/commit.py",
                "        _never.wait(PAUSE)\n    return False",
                "        _never.wait(PAUSE)\n    return True",
            ),
        ),
        (f"{COMMIT}::test_an_unanswered_commit_is_not_taken_for_stored_while_the_database_stays_away",),
    ),
    Removal(
        "a standby's missing confirmation counts as failure",
        (
            Edit(
                "outbox/postgres/commit.py",
                "if any(NOT_REPLICATED in notice for notice in connection.notices):",
                "if False:",
            ),
        ),
        (f"{COMMIT}::test_a_commit_that_the_standby_did_not_confirm_is_no_success",),
    ),
    Removal(
        "a batch is halved until the bad one stands alone",
        (
            Edit("outbox/postgres/conviction.py", "    if len(items) == 1:\n", "    if items:\n"),
            Edit(
                "outbox/postgres/conviction.py",
                "suspects.append(Suspect(items[0], error))",
                "suspects += [Suspect(one, error) for one in items]",
            ),
        ),
        (f"{COMMITTER}::test_one_command_that_postgresql_refuses_fails_alone",),
    ),
    Removal(
        "errors are told apart by SQLSTATE",
        (
            Edit(
                "outbox/postgres/connections.py",
                'DATA = ("22", "23", "54")',
                'DATA = ("22", "23", "54", "08", "25", "40", "53", "55", "57", "58", "XX")',
            ),
        ),
        (f"{DATA_ERRORS}::test_errors_of_the_data_and_of_the_database_are_told_apart",),
    ),
    Removal(
        "an outage of the pipeline's database is told apart",
        (
            Edit(
                "pipeline/work/ledger.py",
                "                if not convicts_nobody(error):\n",
                "                if convicts_nobody(error):\n",
            ),
        ),
        ("tests/pipeline/work/test_ledger.py::test_an_outage_refuses_no_record",),
    ),
    Removal(
        "a missing partition counts as an outage",
        (
            Edit(
                "outbox/postgres/connections.py",
                'return error.pgcode == "23514" and error.diag.constraint_name is None',
                "return False",
            ),
        ),
        (f"{DATA_ERRORS}::test_a_missing_partition_is_not_the_datas_fault",),
    ),
    Removal(
        "the key of a request is stored in the same transaction",
        (
            Edit(
                "outbox/acceptance/writer.py",
                "remember_many(connection, answers, ttl=self._ttl) if answers else None",
                "None",
            ),
        ),
        (
            f"{KEYS}::test_a_repeated_command_gets_the_first_ones_ids_and_stores_nothing",
            "tests/proof/end_to_end/test_idempotency.py::test_of_200_callers_with_one_key_exactly_one_is_first",
        ),
    ),
    Removal(
        "of several with one new key only the first is written",
        (
            Edit(
                "outbox/acceptance/writer.py",
                "request_key not in known and request_key.key not in begun",
                "request_key not in known",
            ),
        ),
        (f"{KEYS}::test_a_batch_of_repeated_keys_answers_each",),
    ),
    Removal(
        "a try-lock on the key comes before the look-up",
        (
            Edit(
                "outbox/acceptance/idempotency.py",
                "SELECT key::text, pg_try_advisory_xact_lock(id # ({SCHEMA}::bigint << 32))\n",
                "SELECT key::text, id IS NOT NULL\n",
            ),
        ),
        ("tests/outbox/acceptance/test_idempotency.py::test_a_key_that_another_transaction_handles_is_in_use_at_once",),
    ),
    Removal(
        "a trigger keeps the log from being changed",
        (
            Edit(
                "alembic/sql/0001_baseline/log.sql",
                "    RAISE EXCEPTION 'the outbox is append-only: % on % is refused', TG_OP, TG_TABLE_NAME\n"
                "        USING ERRCODE = 'restrict_violation', HINT = 'old events leave with their partition';\n",
                "    RETURN coalesce(NEW, OLD);\n",
            ),
        ),
        ("tests/migrations/test_migrations.py::test_the_log_is_append_only",),
    ),
    Removal(
        "log and projection are written with one reading of the clock",
        (
            Edit(
                "alembic/sql/0001_baseline/moves.sql",
                "transaction_id, at, at, actor",
                "transaction_id, clock_timestamp(), at, actor",
            ),
        ),
        ("tests/proof/end_to_end/test_delivery.py::test_an_accepted_notification_is_delivered_and_shows_its_history",),
    ),
    Removal(
        "what an event does in SQL is what it does in Python",
        (Edit("outbox/moves/door.py", 'unknowns="m.unknowns + 1",', 'unknowns="m.unknowns",'),),
        ("tests/outbox/moves/test_door.py::test_what_events_do_in_sql_is_what_they_do_in_python",),
    ),
    Removal(
        "a number too long when written out is refused with its field",
        (Edit("outbox/message/payload.py", "find_oversized(raw, max_bytes=max_bytes)", "None"),),
        ("tests/outbox/message/test_numbers.py::test_a_number_too_long_when_written_out_is_refused_with_its_field",),
    ),
)
