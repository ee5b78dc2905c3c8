import pytest

from herald.pipeline.channels.email.replies import describe


@pytest.mark.parametrize(
    ("code", "text", "reason"),
    [
        (550, b"user unknown", "SMTP 550 user unknown"),
        (550, b"", "SMTP 550"),
        (550, b"5.1.1 <ada@example.com>: Recipient address rejected", "SMTP 550 5.1.1 Recipient address rejected"),
        (
            554,
            b"5.7.1 Service unavailable; Client host [203.0.113.7] blocked",
            "SMTP 554 5.7.1 Service unavailable; Client host blocked",
        ),
        (
            550,
            b"5.1.1 There is no such account.\n5.1.1 https://example.com/?p=Nobody d2e1a72fcca58-7203e5cb.123 - gsmtp",
            "SMTP 550 5.1.1 There is no such account. - gsmtp",
        ),
        (451, b"4.7.1 Greylisted, try again in 300 seconds", "SMTP 451 4.7.1 Greylisted, try again in seconds"),
        (451, b"queued as 4XyZ1a2B3c at 2024-11-27T21:18:14Z", "SMTP 451 queued as at"),
        (550, b"bad\x1b[mm\0\xff text", "SMTP 550 bad [mm \ufffd text"),
        (550, b"x " * 100, "SMTP 550 " + "x " * 49 + "x…"),
    ],
)
def test_a_reason_says_what_the_server_said_without_ids_and_addresses(code: int, text: bytes, reason: str) -> None:
    assert describe(code, text) == reason
