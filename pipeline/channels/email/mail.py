"""A letter as the bytes of a mail, the same on every attempt.

The headers are put together here and not by `EmailMessage`: before Python 3.13 that one decodes
encoded words in what it is given and writes a line break out of them as one (CVE-2024-6923). What
was put together is parsed again, and a mail whose headers are not exactly those asked for is not sent.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email import message_from_string
from email.header import Header, decode_header, make_header
from email.message import EmailMessage, Message
from email.policy import SMTP, compat32
from email.utils import format_datetime, getaddresses
from uuid import UUID

import msgspec

from herald.outbox.destination.header_text import hidden_control
from herald.outbox.destination.mailboxes import Mailbox
from herald.pipeline.channel import Letter, PermanentError
from herald.pipeline.consume.identity import milliseconds_of

MAX_SUBJECT = 998  # characters; the longest line of RFC 5322
LINE = 76  # characters of a line with encoded words, RFC 2047
_ASCII = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_FOLD = re.compile(r"\r\n(?=[ \t])")
_BODY = SMTP.clone(cte_type="7bit")


class Mail(msgspec.Struct, frozen=True, kw_only=True):
    """One recipient's mail: the envelope's addresses and the message with CRLF at each line's end."""

    sender: str
    recipient: str
    message: bytes

    @property
    def needs_utf8(self) -> bool:
        """Whether the server must offer SMTPUTF8: only for addresses, everything else is encoded."""
        return not (self.sender + self.recipient).isascii()


def compose(letter: Letter, message_id: UUID, *, sender: Mailbox, recipient: Mailbox) -> Mail:
    """The letter as mail. Raises PermanentError for one that cannot be sent as it was asked for."""
    subject = _subject(letter)
    headers = {
        "From": _mailbox(sender, "From"),
        "To": _mailbox(recipient, "To"),
        "Subject": _text(subject, "Subject"),
        "Date": format_datetime(accepted_at(message_id)),
        "Message-ID": f"<{message_id}@{sender.domain}>",
        "Auto-Submitted": "auto-generated",
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    message = head.encode() + _body(letter.content)
    verify(message, {**headers, "From": sender, "To": recipient, "Subject": subject})
    return Mail(sender=sender.address, recipient=recipient.address, message=message)


def accepted_at(message_id: UUID) -> datetime:
    """The time in a UUIDv7, to the second: a repeated mail has the same date."""
    return datetime.fromtimestamp(milliseconds_of(message_id) // 1000, UTC)


def verify(message: bytes, expected: Mapping[str, str | Mailbox]) -> None:
    """Raise PermanentError unless the message, parsed, has these headers once each and no other."""
    parsed = message_from_string(message.decode(), policy=compat32)
    names = [*expected, "Content-Type", "Content-Transfer-Encoding", "MIME-Version"]
    intact = parsed.keys() == names and all(_value(parsed, name) == value for name, value in expected.items())
    if not intact or _BARE.search(message):
        raise PermanentError("the mail would not carry the headers that were asked for, and no others")


def _value(parsed: Message, name: str) -> str | Mailbox | None:
    value = _FOLD.sub("", parsed[name])
    if name not in {"From", "To"}:
        return _decoded(value)
    mailboxes = getaddresses([value])
    return Mailbox(_decoded(mailboxes[0][0]), mailboxes[0][1]) if len(mailboxes) == 1 else None


def _decoded(value: str) -> str:
    return str(make_header(decode_header(value)))


def _subject(letter: Letter) -> str:
    subject = letter.subject or letter.event
    if len(subject) > MAX_SUBJECT:
        raise PermanentError(f"a subject has at most {MAX_SUBJECT} characters, not {len(subject)}")
    if control := hidden_control(subject):
        raise PermanentError(f"a subject contains no control characters, here {control}")
    return subject


def _body(content: str) -> bytes:
    part = EmailMessage(policy=_BODY)
    try:
        # a control character travels in base64 alone
        part.set_content(content, charset="utf-8", cte="base64" if _CONTROLS.search(content) else None)
    except UnicodeEncodeError:
        raise PermanentError("the content has half a character (a lone surrogate)") from None
    return part.as_bytes()


def _mailbox(mailbox: Mailbox, header: str) -> str:
    if not mailbox.name:
        return mailbox.address
    if not _is_plain(mailbox.name, header):
        return f"{_encoded(mailbox.name, header)}\r\n <{mailbox.address}>"
    if _ATOMS.fullmatch(mailbox.name):
        return f"{mailbox.name} <{mailbox.address}>"
    quoted = re.sub(r'(["\\])', r"\\\1", mailbox.name)
    return f'"{quoted}" <{mailbox.address}>'


def _text(text: str, header: str) -> str:
    return text if _is_plain(text, header) else _encoded(text, header)


def _is_plain(text: str, header: str) -> bool:
    """Whether it can stand in a header as it is: ASCII that fits its line, and nothing that looks encoded."""
    fits = len(header) + len(": ") + len(text) <= LINE
    return fits and "=?" not in text and _ASCII.fullmatch(text) is not None


def _encoded(text: str, header: str) -> str:
    """Encoded words, so that even a text that looks like one arrives as it was written."""
    return Header(text, "utf-8", maxlinelen=LINE, header_name=header).encode(linesep="\r\n")
