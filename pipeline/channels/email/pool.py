"""Open connections to one server, shared by the threads that deliver.

A connection is used by one delivery at a time. After an answer it goes back, and the next delivery
takes the one that was used last: mails that come one after the other share one connection, mails
that come at once have one each. A connection is closed after 100 mails, after 5 idle seconds, and
after anything but an answer. It is not asked first whether it still lives: MAIL FROM asks that, and
a mail that finds its connection closed there goes over a new one, once.
"""

import threading
from contextlib import suppress

from herald.outbox.threads import Thread
from herald.pipeline.channels.email.mail import Mail
from herald.pipeline.channels.email.server import Server
from herald.pipeline.channels.email.session import MAX_IDLE, Session, StaleError
from herald.pipeline.deliver.deadline import Deadline


class Pool:
    """Call `send` from many threads, `close` once."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._idle: list[Session] = []
        self._lock = threading.Lock()
        self._has_reaper = False
        self._closed = threading.Event()

    def send(self, mail: Mail, deadline: Deadline) -> None:
        """Return when the server has taken the mail; raises what `Session.send` and `Server.open` raise."""
        used = self._take()
        if used is None:
            return self._send(self._open(deadline), mail, deadline)
        try:
            return self._send(used, mail, deadline)
        except StaleError:
            return self._send(self._open(deadline), mail, deadline)

    def close(self) -> None:
        """Close the idle connections; those in use are closed when their mail is answered."""
        with self._lock:
            self._closed.set()
            idle, self._idle = self._idle, []
        _close(idle)

    def _open(self, deadline: Deadline) -> Session:
        return Session(self._server.open(deadline))

    def _send(self, session: Session, mail: Mail, deadline: Deadline) -> None:
        try:
            session.send(mail, deadline)
        finally:
            self._give_back(session)

    def _take(self) -> Session | None:
        with self._lock:
            return self._idle.pop() if self._idle and self._idle[-1].is_usable else None

    def _give_back(self, session: Session) -> None:
        with self._lock:
            is_kept = session.is_usable and not self._closed.is_set()
            if is_kept:
                self._idle.append(session)
                self._begin_reaper()
        if not is_kept:
            _close([session])

    def _begin_reaper(self) -> None:
        if not self._has_reaper:
            with suppress(RuntimeError):  # no thread can be started now: the next mail tries again, this one is sent
                Thread(self._reap, "reaper").start()
                self._has_reaper = True

    def _reap(self) -> None:
        while not self._closed.wait(MAX_IDLE):
            with self._lock:
                expired = [session for session in self._idle if not session.is_usable]
                self._idle = [session for session in self._idle if session not in expired]
                self._has_reaper = goes_on = bool(self._idle)
            _close(expired)
            if not goes_on:
                return


def _close(sessions: list[Session]) -> None:
    for session in sessions:
        session.close()
