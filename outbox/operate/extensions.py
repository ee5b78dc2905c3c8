"""`herald extensions`: which topics, channels and tasks there are, and where each is from."""

import rich_click as click

from herald.outbox.extensions import KINDS, ExtensionError, added, load, origin
from herald.outbox.operate.opening import UNUSABLE, end
from herald.outbox.operate.shown import listed, show
from herald.outbox.settings import ExtensionSettings, SettingsError, load_settings


@click.command("extensions")
def command() -> None:
    """List topics, channels and tasks, and where each was found; load those that do not come with Herald.

    Needs neither database nor Kafka. The exit code is 2 when one is broken; then its traceback is printed.
    """
    try:
        load_settings(ExtensionSettings)
    except SettingsError as error:
        end(str(error), UNUSABLE)
    rows = [(kind.what, name, place, origin(kind, name)) for kind in KINDS for name, place in kind.places.items()]
    show(listed(("kind", "name", "place", "from"), rows))
    broken = []
    for kind, name in added():
        try:
            load(kind, name)
        except ExtensionError as error:
            broken.append(str(error))
    if broken:
        end("\n\n".join(broken), UNUSABLE)
