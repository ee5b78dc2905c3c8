"""The good traffic beside what is forged, and the processes: none may end, and what is good comes out as if alone."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from herald.outbox.postgres.statements import fetch
from tests.outbox.connections import connected
from tests.proof.faults import oracle
from tests.proof.faults.court import DATABASE, Court
from tests.proof.faults.ledger import Load
from tests.proof.faults.oracle import Verdict

ADOPTED = "SELECT DISTINCT stream_id::text FROM outbox WHERE type IN ('message.adopted', 'message.recovered')"
_OVER = "SELECT id::text FROM messages WHERE status = 'sent' ORDER BY id DESC LIMIT 2000"
TAIL = 3  # lines of the log of what ended


@dataclass
class Beside:
    """`ended` are the processes that ended, with the last they said."""

    court: Court
    ended: list[str] = field(default_factory=list)

    def load(self, rate: float, seed: int) -> Load:
        return self.court.scene.load(rate, seed=seed, ledger=self.court.ledger)

    def look(self) -> bool:
        """Note who has ended, and start it again; always true."""
        for name, member in self.court.scene.fleet.members.items():
            if not member.running:
                self.ended.append(f"{name} ended with {member.exit_code}: {member.tail(TAIL)}")
        return self.court.scene.fleet.revive()

    def adopted(self) -> set[str]:
        """The ids of what came from records of others."""
        with connected(self.court.server.url(DATABASE)) as connection:
            return {one for (one,) in fetch(connection, ADOPTED)}

    def over(self) -> set[str]:
        """The ids of the newest messages that are sent."""
        with connected(self.court.server.url(DATABASE)) as connection:
            return {one for (one,) in fetch(connection, _OVER)}

    def judge(self, strangers: AbstractSet[str]) -> Verdict:
        """The oracle's word over what was asked for by way of the API, as if these messages were not there."""
        database, arrivals = self.court.server.url(DATABASE), self.court.scene.provider.arrivals
        return oracle.judge(oracle.gather(self.court.ledger, arrivals, database, None, but=strangers))
