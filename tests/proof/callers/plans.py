"""Transactions of callers: what is done in each, and what has to be left of it."""

from dataclasses import dataclass, field
from itertools import count, product

Step = tuple[str, ...]

TRIGGER = "a plain trigger"
WAYS = ("SQLAlchemy", "SQLAlchemy, asyncio", "Django", "psycopg", "asyncpg", "Node", "Go", TRIGGER)
LEVELS = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
PREPARED = {
    "PREPARE, COMMIT PREPARED": "COMMIT PREPARED",
    "PREPARE, ROLLBACK PREPARED": "ROLLBACK PREPARED",
    "PREPARE, restart, COMMIT PREPARED": "COMMIT PREPARED",
    "PREPARE, restart, ROLLBACK PREPARED": "ROLLBACK PREPARED",
}
RESTARTED = tuple(name for name in PREPARED if "restart" in name)
ENDINGS = ("COMMIT", "ROLLBACK", "ROLLBACK TO SAVEPOINT", "EXCEPTION block", *PREPARED)

# A row with `told` brings its message by a trigger.
TABLES = """
CREATE TABLE public.orders (number integer PRIMARY KEY, told boolean NOT NULL DEFAULT false);
CREATE FUNCTION public.order_placed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM herald.send('generic_topic', json_build_object('order', NEW.number), 'customer-' || NEW.number % 7);
    RETURN NULL;
END $$;
CREATE TRIGGER order_placed AFTER INSERT ON public.orders FOR EACH ROW WHEN (NEW.told)
    EXECUTE FUNCTION public.order_placed();
CREATE ROLE {login} LOGIN IN ROLE herald_sender;
GRANT SELECT, INSERT ON public.orders TO {login};
"""


def placed(way: str, order: int) -> list[str]:
    """The statements that write an order and tell of it."""
    if way == TRIGGER:
        return [f"INSERT INTO public.orders VALUES ({order}, true)"]
    data = f'{{"order": {order}}}'
    return [
        f"INSERT INTO public.orders VALUES ({order})",
        f"SELECT herald.send('generic_topic', '{data}', 'customer-{order % 7}')",
    ]


@dataclass(frozen=True)
class Plan:
    """One transaction; its orders begin at `first`."""

    way: str
    level: str
    ending: str
    first: int

    @property
    def gid(self) -> str:
        return f"order-{self.first}"

    @property
    def kept(self) -> set[int]:
        """The orders that must be left of it once it is over."""
        if self.ending in {"ROLLBACK TO SAVEPOINT", "EXCEPTION block"}:
            return {self.first, self.first + 2}
        return set() if "ROLLBACK" in self.ending else {self.first}

    def steps(self) -> list[Step]:
        """What the program does; a prepared one is left prepared."""
        begin, first = [("begin", self.level)], self._place(0)
        if self.ending == "ROLLBACK":
            return [*begin, *first, ("rollback",)]
        if self.ending == "ROLLBACK TO SAVEPOINT":
            return [*begin, *first, ("save",), *self._place(1), ("back",), *self._place(2), ("commit",)]
        if self.ending == "EXCEPTION block":
            return [*begin, *first, ("run", self._block()), ("commit",)]
        if self.ending in PREPARED:
            return [*begin, *first, ("run", f"PREPARE TRANSACTION '{self.gid}'"), ("commit",)]
        return [*begin, *first, ("commit",)]

    def _place(self, place: int) -> list[Step]:
        return [("run", statement) for statement in placed(self.way, self.first + place)]

    def _block(self) -> str:
        undone, kept = (
            " ".join(
                f"{statement.replace('SELECT', 'PERFORM', 1)};" for statement in placed(self.way, self.first + place)
            )
            for place in (1, 2)
        )
        raised = "RAISE EXCEPTION 'of the caller';"
        return f"DO $$ BEGIN {undone} {raised} EXCEPTION WHEN raise_exception THEN {kept} END $$"


@dataclass
class Numbers:
    """Orders are numbered through; each transaction has ten."""

    tens: "count[int]" = field(default_factory=lambda: count(10, 10))

    def matrix(self) -> list[Plan]:
        """Each way in each isolation level with each ending."""
        every = product(WAYS, LEVELS, ENDINGS)
        return [Plan(way, level, ending, next(self.tens)) for way, level, ending in every]
