import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import alembic
import pytest
from alembic.config import Config
from pytest_alembic.config import Config as PytestAlembicConfig
from pytest_alembic.runner import runner
from pytest_alembic.tests import (
    test_model_definitions_match_ddl as check_models_match,
)
from pytest_alembic.tests import (
    test_single_head_revision as check_single_head,
)
from pytest_alembic.tests import (
    test_up_down_consistency as check_up_and_down,
)

from herald.outbox.message.state import STATUSES
from herald.outbox.moves.accept import accept
from herald.outbox.postgres.driver import connect_plainly, errors
from herald.outbox.postgres.engine import make_engine
from herald.outbox.postgres.statements import execute, fetch
from tests.conftest import ROOT
from tests.outbox.connections import (
    accepted,
    connected,
    execute_and_commit,
    make_settings,
    notification,
)
from tests.servers.child import Child
from tests.servers.eventually import eventually
from tests.servers.herald import herald_environment

Done = subprocess.CompletedProcess[str]


def run_alembic(url: str, *arguments: str, **settings: str) -> Done:
    command = [sys.executable, "-m", "alembic", *arguments]
    environment = herald_environment({"DATABASE_URL": url, **settings})
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_our_folder_does_not_hide_the_library() -> None:
    assert "site-packages" in str(alembic.__file__)


@pytest.mark.parametrize("check", [check_single_head, check_up_and_down, check_models_match])
def test_migrations_are_consistent(check: object, empty_database: str) -> None:
    engine = make_engine(make_settings(empty_database), "test")
    config = PytestAlembicConfig(config_options={"file": str(ROOT / "alembic.ini")})
    with runner(config=config, engine=engine) as context:
        check(context)  # type: ignore[operator]
    engine.dispose()


def test_alembic_check_is_clean(database: str) -> None:
    done = run_alembic(database, "check")

    assert "No new upgrade operations detected" in done.stdout, done.stdout + done.stderr


def test_alembic_check_sees_a_column_that_no_migration_made(database: str) -> None:
    with connected(database) as connection:
        execute_and_commit(connection, "ALTER TABLE messages ADD COLUMN stray text")

    assert run_alembic(database, "check").returncode != 0


def test_downgrade_leaves_nothing_behind(database: str) -> None:
    with connected(database) as connection:
        execute_and_commit(connection, "INSERT INTO sender_rates VALUES ('shop', 10, 10)")

    done = run_alembic(database, "downgrade", "base")

    assert done.returncode == 0, done.stderr
    with connected(database) as connection:
        left = "SELECT relname FROM pg_class WHERE relnamespace = 'herald'::regnamespace AND relname !~ '^alembic'"
        assert fetch(connection, left) == []
        assert fetch(connection, "SELECT proname FROM pg_proc WHERE pronamespace = 'herald'::regnamespace") == []


def test_what_is_withheld_is_not_taken_away_by_a_downgrade(database: str) -> None:
    with connected(database) as connection:
        execute_and_commit(
            connection,
            "INSERT INTO relay_withheld (topic, partition, partitions, previous, last_position, reason)"
            " VALUES ('notifications', -1, 0, '1:1:', 0, 'no such topic')",
        )

        done = run_alembic(database, "downgrade", "base")

        assert done.returncode != 0
        assert "records that are not yet published" in done.stderr
        assert fetch(connection, "SELECT topic FROM relay_withheld") == [("notifications",)]


@pytest.mark.parametrize("said", [(), ("-x", "drop=another"), ("-x", "drop")])
def test_a_downgrade_does_not_take_a_log_that_holds_messages(database: str, said: tuple[str, ...]) -> None:
    with connected(database) as connection:
        accepted(connection, notification())

        done = run_alembic(database, *said, "downgrade", "base")

        assert done.returncode != 0
        assert "the log in the schema herald holds messages" in done.stderr
        assert "alembic -x drop=herald downgrade base" in done.stderr
        assert fetch(connection, "SELECT count(*) FROM outbox") == [(1,)]


def test_a_downgrade_takes_a_log_that_was_named(database: str) -> None:
    with connected(database) as connection:
        accepted(connection, notification())

    done = run_alembic(database, "-x", "drop=herald", "downgrade", "base")

    assert done.returncode == 0, done.stderr
    with connected(database) as connection:
        assert fetch(connection, "SELECT to_regclass('outbox')") == [(None,)]


def test_a_downgrade_that_is_printed_refuses_the_same(database: str) -> None:
    script = run_alembic(database, "downgrade", "0001:base", "--sql").stdout
    with connected(database) as connection:
        accepted(connection, notification())

    with pytest.raises(errors.RaiseException, match="holds messages"):
        run_script(database, script)


def run_script(url: str, script: str) -> None:
    """As psql would, in one transaction."""
    with closing(connect_plainly(url)) as connection, connection:
        execute(connection, script.replace("BEGIN;", "").replace("COMMIT;", ""))


def test_concurrent_upgrades_wait_for_each_other(empty_database: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: run_alembic(empty_database, "upgrade", "head"), range(4)))

    assert [one.returncode for one in done] == [0, 0, 0, 0], done


def test_a_migration_waits_for_whom_it_names_and_keeps_nobody_waiting(database: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "alembic", "downgrade", "base"]
    migration = Child(command, log=tmp_path / "log", env=herald_environment({"DATABASE_URL": database}), cwd=ROOT)
    with connected(database) as reader, connected(database) as writer:
        execute(reader, "SET idle_in_transaction_session_timeout = 0")
        fetch(reader, "SELECT 1 FROM messages LIMIT 1")
        migration.start()

        migration.wait_for(f"the migration waits for pid {reader.info.backend_pid} (test, postgres), open since", 120.0)
        execute(writer, "SET lock_timeout = '1s'")
        for _ in range(10):  # one after the other while it tries again and again
            accept(writer, [notification()])
            writer.rollback()
        reader.rollback()

        eventually(lambda: not migration.running, 60.0, what="the migration is over")
    assert migration.exit_code == 0, migration.tail()


def test_the_sql_can_be_printed_and_run_by_hand(empty_database: str) -> None:
    done = run_alembic(empty_database, "upgrade", "head", "--sql")
    run_script(empty_database, done.stdout)

    assert "No new upgrade operations detected" in run_alembic(empty_database, "check").stdout


def test_a_missing_database_url_is_named() -> None:
    environment = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"}}
    command = [sys.executable, "-m", "alembic", "-c", str(ROOT / "alembic.ini"), "current"]
    done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, check=False)

    assert "DATABASE_URL is not set" in done.stdout + done.stderr


def test_the_status_constraint_lists_what_the_code_knows(database: str) -> None:
    with connected(database) as connection:
        ((definition,),) = fetch(
            connection,
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'messages_status_is_known'"
            " AND conrelid = 'messages'::regclass",
        )

    assert [part.split("'")[1] for part in definition.split(",")] == list(STATUSES)


@pytest.mark.parametrize(
    "statement", ["UPDATE outbox SET type = 'x'", "DELETE FROM outbox", "TRUNCATE outbox", "DELETE FROM ONLY {child}"]
)
def test_the_log_is_append_only(database: str, statement: str) -> None:
    with connected(database) as connection:
        accepted(connection, notification())
        ((child,),) = fetch(connection, "SELECT tableoid::regclass::text FROM outbox")

        with pytest.raises(errors.RestrictViolation, match="append-only"):
            execute_and_commit(connection, statement.format(child=child))


def test_the_view_shows_typed_columns(database: str) -> None:
    with connected(database) as connection:
        accepted(connection, notification("42", "hello"))
        row = fetch(connection, "SELECT user_id, event, content, status, sent_status FROM notifications")

    assert row == [("42", "greeting", "hello", "pending", False)]


def test_each_function_looks_in_the_schema_alone_unless_one_that_does_calls_it(database: str) -> None:
    """What only the role of the functions may execute has their search path; what was bound when made needs none."""
    with connected(database) as connection:
        found = fetch(
            connection,
            "SELECT proname, prosqlbody IS NOT NULL, proconfig::text, NOT prosecdef AND"
            " ARRAY(SELECT a.grantee FROM aclexplode(proacl) AS a WHERE a.grantee <> proowner)"
            " = ARRAY['herald_owner'::regrole::oid] FROM pg_proc WHERE pronamespace = 'herald'::regnamespace",
        )

    assert len(found) > 20
    wanted = "search_path=herald, pg_catalog, pg_temp"
    assert [
        name
        for name, is_bound, settings, is_inner in found
        if not (is_bound or is_inner) and wanted not in str(settings)
    ] == []


def test_the_configuration_of_the_wheel_names_the_migrations() -> None:
    from herald.outbox.operate.migrate import make_config  # noqa: PLC0415 - beside what it tests

    config: Config = make_config()

    folder = Path(str(config.get_main_option("script_location")))
    assert (folder / "env.py").is_file()
    assert len(list((folder / "sql" / "0001_baseline").glob("*.sql"))) > 10
