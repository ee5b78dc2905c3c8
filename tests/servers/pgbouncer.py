"""PgBouncer in front of a server of the tests, where the program is installed (Debian: apt-get install pgbouncer)."""

import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from herald.outbox.postgres.driver import OperationalError, connect_plainly, parse_dsn
from herald.outbox.up.placement import account_for
from tests.servers.child import Child
from tests.servers.eventually import eventually
from tests.servers.ports import free_port

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
needs_pgbouncer = pytest.mark.skipif(not PROGRAM, reason="PgBouncer is not installed")

_CONFIGURATION = """
[databases]
* = host={host} port={port} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {size}
max_client_conn = 500
ignore_startup_parameters = extra_float_digits
"""


class PgBouncer:
    """Listens on 127.0.0.1; `mode` is PgBouncer's pool_mode: session, transaction or statement."""

    def __init__(self, url: str, *, mode: str, size: int = 20) -> None:
        at = parse_dsn(url)
        self.port, self._user, self._database = free_port(), at["user"], at["dbname"]
        self._folder = Path(tempfile.mkdtemp(prefix="herald-pgbouncer-"))  # not pytest's: private to root
        file = self._folder / "pgbouncer.ini"
        text = _CONFIGURATION.format(
            host=at["host"], port=at["port"], user=self._user, listen=self.port, mode=mode, size=size
        )
        file.write_text(text, encoding="utf-8")
        self._folder.chmod(0o755)
        command, account = [str(PROGRAM), str(file)], account_for(self._folder)  # it refuses to run as root
        self.child = Child(command, log=self._folder / "log", account=account, cwd=self._folder)

    @property
    def url(self) -> str:
        """For libpq and DATABASE_URL: the same database, by way of the pool."""
        return f"postgresql://{self._user}@127.0.0.1:{self.port}/{self._database}"

    def __enter__(self) -> Self:
        self.child.start()
        eventually(self._answers, 10.0, what="PgBouncer answers")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.child.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _answers(self) -> bool:
        assert self.child.running, self.child.tail()
        try:
            connect_plainly(self.url, connect_timeout=2).close()
        except OperationalError:
            return False
        return True
