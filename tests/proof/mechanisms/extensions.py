"""What packages of a user's own add, and who knows of it."""

from tests.proof.mechanisms.removal import Edit, Removal

FOUND = "tests/outbox/test_extensions.py"
REGISTERED = "tests/outbox/postgres/test_registered.py"
UNREAD = "tests/outbox/scheduler/test_unread.py"

REMOVALS: tuple[Removal, ...] = (
    Removal(
        "what an extension raises is named, and stops the start of what needs it",
        (Edit("outbox/extensions.py", "    except passed:\n", "    except (*passed, Exception):\n"),),
        (
            f"{FOUND}::test_a_pipeline_does_not_start_with_a_broken_topic",
            f"{FOUND}::test_a_relay_does_not_start_with_a_broken_task",
            "tests/docs/test_extensions.py::test_a_broken_extension_stops_herald_up_before_anything_starts",
        ),
    ),
    Removal(
        "nothing takes the name of another",
        (
            Edit(
                "outbox/extensions.py",
                "    if kind.places.get(name, place) != place:\n",
                "    if kind.places.get(name, place) is None:\n",
            ),
        ),
        (
            f"{FOUND}::test_two_of_one_name_stop_the_start",
            f"{FOUND}::test_nobody_takes_the_place_of_what_comes_with_herald",
        ),
    ),
    Removal(
        "entry points are found by every process",
        (Edit("outbox/settings.py", "        extend(ExtensionSettings().extensions)\n", ""),),
        (
            "tests/docs/test_extensions.py::test_topic_channel_and_task_work_under_herald_up",
            f"{FOUND}::test_a_module_that_the_setting_names_says_what_it_has",
        ),
    ),
    Removal(
        "the plugin for tests finds what is installed",
        (Edit("pipeline/testing/plugin.py", '    extend(marked["settings"].get("extensions", ()))\n', ""),),
        ("tests/docs/test_extensions.py::test_its_tests_pass_with_heralds_plugin",),
    ),
    Removal(
        "a leading relay learns which topics others have registered",
        (Edit("outbox/scheduler/deleted.py", "    learn_names(connection)\n", ""),),
        ("tests/proof/end_to_end/test_extensions.py::test_what_one_pipeline_has_is_known_to_all_and_waits_for_it",),
    ),
    Removal(
        "the migration registers what extensions have",
        (Edit("outbox/operate/migrate.py", "        register_names(connection)\n", "        pass\n"),),
        (f"{REGISTERED}::test_the_migration_registers_what_extensions_have",),
    ),
    Removal(
        "a topic that nobody reads is named",
        (Edit("outbox/scheduler/unread.py", "self._since[topic] >= PATIENCE", "self._since[topic] >= TELL_AGAIN"),),
        (f"{UNREAD}::test_a_topic_that_nobody_reads_is_named_after_five_minutes_and_each_quarter_of_an_hour",),
    ),
)
