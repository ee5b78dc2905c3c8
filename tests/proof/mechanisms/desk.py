"""A person decides."""

from tests.proof.mechanisms.removal import Edit, Removal

JOBS = "tests/outbox/desk/test_jobs.py"
DEAD_LETTERS = "tests/api/routes/test_dead_letters.py"

REMOVALS = (
    Removal(
        "a decision about many is a dry run unless told otherwise",
        (
            Edit(
                "api/shapes/requests.py", "    dry_run: bool = True\n    rate:", "    dry_run: bool = False\n    rate:"
            ),
            Edit(
                "api/shapes/requests.py",
                "    reason: Reason\n    dry_run: bool = True\n",
                "    reason: Reason\n    dry_run: bool = False\n",
            ),
        ),
        (f"{DEAD_LETTERS}::test_many_are_not_touched_before_somebody_says_so",),
    ),
    Removal(
        "a job knows how far it got",
        (
            Edit(
                "outbox/desk/jobs.py",
                "UPDATE requeues SET done = done + %(count)s, last_id",
                "UPDATE requeues SET done = %(count)s, last_id",
            ),
        ),
        (f"{JOBS}::test_a_job_requeues_exactly_what_fits_at_its_rate",),
    ),
    Removal(
        "only what was on the desk before a job takes part",
        (
            Edit(
                "outbox/desk/looking.py", " AND m.updated_at <= %(before)s::timestamptz", " AND %(before)s IS NOT NULL"
            ),
            Edit(
                "outbox/desk/looking.py", " AND u.id > %(after)s::uuid ORDER BY", " AND %(after)s IS NOT NULL ORDER BY"
            ),
        ),
        (f"{JOBS}::test_what_dies_again_is_not_requeued_by_the_same_job",),
    ),
    Removal(
        "a step and its progress are one transaction",
        (
            Edit(
                "outbox/scheduler/requeue.py",
                '    execute(connection, "BEGIN")\n    try:\n        count = step(connection)\n'
                "    except BaseException:\n"
                '        execute(connection, "ROLLBACK")\n        raise\n    execute(connection, "COMMIT")\n',
                "    count = step(connection)\n",
            ),
        ),
        (f"{JOBS}::test_a_step_that_crashes_has_neither_requeued_nor_counted",),
    ),
    Removal(
        "an edit is held to the same checks",
        (
            Edit(
                "api/routes/commands.py",
                "        raw, new_key = checked_edit(topic, key, data, settings)\n",
                "        raw, new_key = data, key\n",
            ),
        ),
        (f"{DEAD_LETTERS}::test_an_edit_is_checked_like_any_input",),
    ),
    Removal(
        "an edit is an event of its own",
        (Edit("outbox/moves/decide.py", "    if edit:\n", "    if not ids:\n"),),
        ("tests/outbox/desk/test_desk.py::test_an_edit_is_in_the_log_before_the_request_with_the_new_data",),
    ),
)
