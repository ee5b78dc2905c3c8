"""Who may ask the API."""

from tests.proof.mechanisms.removal import Edit, Removal

ORIGINS = "tests/api/http/test_origins.py"
ACCESS = "tests/api/http/test_access.py"
KEYS = "tests/api/http/test_keys.py"
ACTORS = "tests/api/routes/test_actors.py"

REMOVALS = (
    Removal(
        "a write that a foreign page asks for is refused",
        (Edit("api/http/origins.py", "    if is_foreign:\n", "    if False:\n"),),
        (
            f"{ORIGINS}::test_what_a_foreign_page_sends_is_not_accepted",
            f"{ORIGINS}::test_a_write_that_a_foreign_page_asks_for_is_refused",
        ),
    ),
    Removal(
        "what needs no key is served by its address only",
        (Edit("api/http/gate.py", "refuse_rebound(headers, self._settings.host)", "pass"),),
        (f"{KEYS}::test_an_open_service_is_no_page_of_somebody_elses_name",),
    ),
    Removal(
        "a key may do what its scopes say",
        (Edit("api/http/gate.py", "        if not key.scopes & needed:\n", "        if False:\n"),),
        (
            f"{ACCESS}::test_a_route_takes_the_keys_that_the_table_says_and_no_others",
            f"{ACCESS}::test_a_route_without_an_entry_is_nobodys",
        ),
    ),
    Removal(
        "the keys are read again when they have changed",
        (Edit("api/http/gate.py", "            if now != mark:\n", "            if mark is None:\n"),),
        (f"{KEYS}::test_a_revoked_key_is_taken_for_a_second_at_most",),
    ),
    Removal(
        "a key is looked at again when the body has come",
        (Edit("api/http/gate.py", "    return key and gate.confirm(key)\n", "    return key\n"),),
        (f"{KEYS}::test_a_key_that_is_revoked_while_its_body_comes_has_sent_nothing",),
    ),
    Removal(
        "who could not read the keys for a second lets nobody in",
        (Edit("api/http/gate.py", "        if time.monotonic() - self._read_at > STALE:\n", "        if False:\n"),),
        (f"{KEYS}::test_a_process_that_was_frozen_honours_no_key_that_was_revoked_meanwhile",),
    ),
    Removal(
        "who asks goes with it into the event",
        (Edit("api/http/gate.py", "    return key.actor if key else None\n", "    return None\n"),),
        (
            f"{ACTORS}::test_what_is_accepted_and_cancelled_names_the_key",
            f"{ACTORS}::test_a_decision_about_one_names_the_key",
            f"{ACTORS}::test_a_decision_about_many_names_the_key_whoever_carries_it_out",
        ),
    ),
    Removal(
        "who decides at the command line goes with it into the event",
        (
            Edit(
                "outbox/operate/opening.py",
                '    return f"cli:{getpass.getuser()}@{socket.gethostname()}"\n',
                '    return ""\n',
            ),
        ),
        ("tests/outbox/operate/test_dead_letters.py::test_the_history_says_who_decided",),
    ),
)
