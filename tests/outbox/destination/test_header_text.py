"""Which texts hide a control character."""

import unicodedata

import pytest

from herald.outbox.destination import header_text
from herald.outbox.destination.header_text import hidden_control


def test_a_plain_text_passes_without_a_look_at_each_character(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(header_text, "_control")

    assert hidden_control("Your order #1 = 2 > 1? It is.") is None


def test_every_character_of_ascii_is_judged_by_its_category() -> None:
    judged = {chr(code): hidden_control(f"a{chr(code)}b") for code in range(128)}

    assert judged == {one: f"U+{ord(one):04X}" if unicodedata.category(one) == "Cc" else None for one in judged}


def test_a_line_break_behind_an_encoded_word_of_plain_characters_is_found() -> None:
    assert hidden_control("=?UTF-8?Q?=0A?=Bcc: x@y") == "U+000A"
