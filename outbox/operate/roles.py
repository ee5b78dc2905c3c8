"""`herald roles`: the statements that make Herald's roles, for an administrator where the migration may not."""

from contextlib import closing

import rich_click as click

from herald.outbox.operate.opening import answering, connect_to_look
from herald.outbox.postgres.session_settings import search_path
from herald.outbox.postgres.statements import fetch

STATEMENTS = """
SELECT s.statement, s.step > 1 OR NOT EXISTS (SELECT FROM pg_roles WHERE rolname = s.role)
FROM role_statements AS s ORDER BY s.step, s.role, s.statement
"""


@click.command("roles")
def command() -> None:
    """Print the SQL that makes Herald's roles and gives them what they may do, for psql.

    A migration does it itself where its role may. What is printed may be run again; roles that exist are left out.
    """
    with answering() as settings, closing(connect_to_look(settings, "herald-roles")) as connection:
        click.echo(f"BEGIN;\nSET LOCAL search_path = {search_path(settings.database_schema)};")
        for statement, is_missing in fetch(connection, STATEMENTS):
            if is_missing:
                click.echo(f"{statement};")
        click.echo("COMMIT;")
