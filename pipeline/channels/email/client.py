"""smtplib with a deadline over everything, instead of a timeout that each received byte renews."""

import io
import smtplib
import socket
from typing import TYPE_CHECKING

from herald.pipeline.deliver.deadline import Deadline

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

CHUNK = 65_536  # bytes handed to the socket at once
MAX_REPLY = 65_536  # bytes of one reply; RFC 5321 asks for 512 a line


class Client(smtplib.SMTP):
    """One connection. `deadline` may be replaced between two commands.

    Raises SMTPServerDisconnected when the connection breaks, and at the deadline.
    """

    def __init__(self, connection: socket.socket, *, local_name: str, deadline: Deadline) -> None:
        super().__init__(local_hostname=local_name)
        self.deadline = deadline
        self.unread = MAX_REPLY
        self.use(connection)

    def use(self, connection: socket.socket) -> None:
        """Speak over this connection; what the one before it had sent and nobody read is forgotten."""
        self.sock: socket.socket | None = connection
        self.file: io.BufferedReader | None = None

    def send(self, s: "ReadableBuffer | str") -> None:
        """Hand all of it to the system; when this raises, the last byte was not sent."""
        left = memoryview(s.encode(self.command_encoding) if isinstance(s, str) else s)
        if self.sock is None:
            raise smtplib.SMTPServerDisconnected("not connected")
        try:
            while left:
                self.sock.settimeout(self.deadline.left())
                left = left[self.sock.send(left[:CHUNK]) :]
        except OSError as error:
            self.close()
            raise smtplib.SMTPServerDisconnected(str(error)) from error

    def getreply(self) -> tuple[int, bytes]:
        """The next reply: its code, or -1 where there is none, and its text, lines separated by LF."""
        if self.sock is None:
            raise smtplib.SMTPServerDisconnected("not connected")
        if self.file is None:
            self.file = io.BufferedReader(_Incoming(self, self.sock))
        self.unread = MAX_REPLY
        return super().getreply()


class _Incoming(io.RawIOBase):
    def __init__(self, client: Client, connection: socket.socket) -> None:
        self._client = client
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        if self._client.unread <= 0:
            raise OSError("the reply does not end")
        self._connection.settimeout(self._client.deadline.left())
        received = self._connection.recv_into(buffer)
        self._client.unread -= received
        return received
