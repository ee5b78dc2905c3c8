"""Who may ask the API."""

from tests.proof.mechanisms.removal import Edit, Removal

ORIGINS = "tests/api/http/test_origins.py"

REMOVALS = (
    Removal(
        "a write that a foreign page asks for is refused",
        (Edit("api/http/origins.py", "    if is_foreign:\n", "    if False:\n"),),
        (
            f"{ORIGINS}::test_what_a_foreign_page_sends_is_not_accepted",
            f"{ORIGINS}::test_a_write_that_a_foreign_page_asks_for_is_refused",
        ),
    ),
)
