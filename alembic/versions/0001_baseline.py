"""Everything that Herald keeps, in a schema of its own: the first of the search path (HERALD_SCHEMA).

Expands: it creates everything, so no earlier release runs beside it. What comes after it says which release may run
beside it, and expands first: a column or function is taken away by the release after the one that stopped to use it.
"""

from pathlib import Path

from alembic import context, op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

FOLDER = Path(__file__).parent.parent / "sql" / "0001_baseline"
SUBJECTS = (
    "log",
    "messages",
    "partitions",
    "relay",
    "closing",
    "queues",
    "moves",
    "groups",
    "decide",
    "breakers_and_pauses",
    "idempotency_keys",
    "requeues",
    "instance",
    "views",
    "senders",
    "api_keys",
    "checks",
    "asked",
    "send",
    "roles",
)


def upgrade() -> None:
    """Create everything."""
    for subject in SUBJECTS:
        op.execute(_read(subject))


def downgrade() -> None:
    """Drop everything, the log included; refused while it holds messages, unless `-x drop=SCHEMA` names the schema."""
    if context.get_x_argument(as_dictionary=True).get("drop") != context.config.attributes["schema"]:
        op.execute(_read("refuse_loss"))
    op.execute(_read("drop"))


def _read(name: str) -> str:
    return (FOLDER / f"{name}.sql").read_text(encoding="utf-8")
