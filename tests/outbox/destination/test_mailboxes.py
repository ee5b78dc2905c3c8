import pytest

from herald.outbox.destination.mailboxes import Mailbox, parse_mailbox
from herald.outbox.message.notification import AddressError


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [
        ("ada@example.com", "", "ada@example.com"),
        ("  ada@example.com ", "", "ada@example.com"),
        ("<ada@example.com>", "", "ada@example.com"),
        ("Ada <ada@example.com>", "Ada", "ada@example.com"),
        ("Ada  Lovelace<ada@example.com>", "Ada Lovelace", "ada@example.com"),
        ("Ada K. Lovelace <ada@example.com>", "Ada K. Lovelace", "ada@example.com"),
        ("Jörg Müller <joerg@example.com>", "Jörg Müller", "joerg@example.com"),
        ('"Lovelace, Ada" <ada@example.com>', "Lovelace, Ada", "ada@example.com"),
        ('"Ada \\"the \\\\ first\\" <x>" <ada@example.com>', 'Ada "the \\ first" <x>', "ada@example.com"),
        ("ada@exämple.com", "", "ada@xn--exmple-cua.com"),
        ("ada@straße.de", "", "ada@xn--strae-oqa.de"),
        ("ada@xn--exmple-cua.com", "", "ada@xn--exmple-cua.com"),
        ("ädä@example.com", "", "ädä@example.com"),
        ("Ada.L+x@Example.COM", "", "Ada.L+x@Example.COM"),
    ],
)
def test_a_mailbox_has_a_name_and_one_address(text: str, name: str, address: str) -> None:
    assert parse_mailbox(text) == Mailbox(name, address)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "has an @"),
        ("ada", "has an @"),
        ("ada@example.com\r\nBcc: eve@example.com", r"no control characters, here U\+000D"),
        ("=?UTF-8?Q?=0A?= <ada@example.com>", r"no control characters, here U\+000A"),
        ('"=\\?UTF-8?Q?=0A?=" <ada@example.com>', r"display name contains no control characters, here U\+000A"),
        ("ada@example.com, eve@example.com", "the part before the @"),
        ("Lovelace, Ada <ada@example.com>", 'display name with , stands in quotes: "Lovelace, Ada"'),
        ("friends:ada@example.com;", "the part before the @|a domain has"),
        ("Ada <ada@example.com> x", "ends with >"),
        ('"ada l"@example.com', "a quoted part before the @ is not supported"),
        ("ada..l@example.com", "single dots"),
        ("ada@exa_mple.com", "letters, digits and hyphens"),
        ("ada@-example.com", "letters, digits and hyphens"),
        ("ada@example..com", "letters, digits and hyphens"),
        ("ada@[127.0.0.1]", "letters, digits and hyphens"),
        ("ada@127.0.0.1", "a name, not an IP address"),
        ("ada@exämple☃.com", "IDNA 2008"),
        ("a" * 65 + "@example.com", "at most 64 bytes, not 65"),
        ("ä" * 33 + "@example.com", "at most 64 bytes, not 66"),
        ("ada@" + "a." * 128 + "com", "domain has at most 255 bytes, not 259"),
        ("a" * 64 + "@" + ".".join(["b" * 63] * 3), "at most 254 bytes, not 256"),
        ("x" * 256 + " <ada@example.com>", "display name has at most 255 characters, not 256"),
        ("x" * 1000 + "@example.com", "at most 769 characters, not 1012"),
        ("\ud800@example.com", r"no control characters, here U\+D800"),
    ],
)
def test_anything_else_is_refused_with_what_is_wrong_and_the_limit(text: str, complaint: str) -> None:
    with pytest.raises(AddressError, match=complaint):
        parse_mailbox(text)


def test_the_longest_address_is_a_mailbox() -> None:
    longest = "a" * 64 + "@" + ".".join(["b" * 63, "c" * 63, "d" * 61])

    assert parse_mailbox(longest).address == longest
    assert len(longest) == 254
