"""Log lines as a person sees them."""

import io
import json

from rich.console import Console

from herald.outbox.up.terminal import Terminal, readable


def test_a_json_line_becomes_level_event_and_fields() -> None:
    line = json.dumps({"event": "page_published", "level": "info", "role": "relay", "messages": 25, "topic": "a b"})

    assert readable(line).plain.split() == ["info", "page_published", "messages=25", 'topic="a', 'b"']


def test_a_line_that_is_not_ours_stays_as_it_is() -> None:
    for line in ("Traceback (most recent call last):", "{not json", "[1, 2]", '{"no": "log line"}', "[bold]x[/]"):
        assert readable(line).plain == line


def test_a_traceback_keeps_its_lines_behind_the_role() -> None:
    output = io.StringIO()

    Terminal(Console(file=output)).line("api", json.dumps({"event": "failed", "exception": "one\ntwo"}))

    assert [line.split("│ ")[1] for line in output.getvalue().splitlines()][1:] == ["one", "two"]


def test_a_control_character_in_a_field_does_not_reach_the_terminal() -> None:
    line = json.dumps({"event": "delivered", "content": "\x1b[2Jgone"})
    event = json.dumps({"event": "\x1b[2Jdelivered"})

    assert "\x1b" not in readable(line).plain
    assert "\x1b" not in readable(event).plain


def test_no_escape_sequences_where_there_is_no_terminal() -> None:
    output = io.StringIO()

    Terminal(Console(file=output)).line("api", "\x1b[31mred\x1b[0m")

    assert output.getvalue() == "api      │ red\n"


def test_for_programs_every_line_is_an_event_with_its_role() -> None:
    output = io.StringIO()
    terminal = Terminal(Console(file=output), as_json=True)
    event = {"event": "failed", "role": "api", "level": "error", "exception": "one\ntwo [bold]" + "x" * 200}

    terminal.line("api", json.dumps(event))
    terminal.line("postgres", "\x1b[31mready to accept connections\x1b[0m")
    terminal.say("ready", "bold")
    terminal.complain("one\ntwo")

    lines = [json.loads(line) for line in output.getvalue().splitlines()]
    assert lines[0] == event
    assert [(line["role"], line["level"], line["event"]) for line in lines[1:]] == [
        ("postgres", "info", "ready to accept connections"),
        ("herald", "info", "ready"),
        ("herald", "error", "one\ntwo"),
    ]
    assert all(line["timestamp"].endswith("Z") for line in lines[1:])
