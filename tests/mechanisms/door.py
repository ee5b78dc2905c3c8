"""At the door: what is refused before it costs anybody else."""

from tests.mechanisms.removal import Edit, Removal

REMOVALS = (
    Removal(
        "a request that ends early is not accepted",
        (Edit("api/bodies.py", 'if message["type"] == "http.disconnect":', "if False:"),),
        ("tests/api/test_bodies.py::test_a_body_whose_sender_leaves_before_its_end_is_refused_whatever_came",),
    ),
    Removal(
        "offsets that PostgreSQL refuses are refused with their field",
        (Edit("outbox/dates.py", "if abs(date.utcoffset() or timedelta()) >= OFFSETS:", "if False:"),),
        (
            "tests/api/test_targets.py::test_what_cannot_be_kept_is_refused_with_its_field",
            "tests/api/test_dead_letters.py::test_a_date_that_postgresql_would_refuse_is_refused_with_its_field",
        ),
    ),
    Removal(
        "a subject is checked when it is accepted and when it is edited",
        (Edit("outbox/addresses.py", "    if control := hidden_control(text):\n", "    if control := None:\n"),),
        (
            "tests/api/test_targets.py::test_what_cannot_be_kept_is_refused_with_its_field",
            "tests/api/test_dead_letters.py::test_an_edited_subject_is_held_to_what_a_first_one_is",
        ),
    ),
)
