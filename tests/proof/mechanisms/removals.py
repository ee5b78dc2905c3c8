"""Every mechanism that the README's guarantees name, in the order of a message's way."""

from tests.proof.mechanisms import (
    acceptance,
    audit,
    channels,
    claims,
    desk,
    door,
    duties,
    endings,
    hostile_records,
    identity,
    log,
    pipeline,
    relay,
    retention,
    scheduling,
    sessions,
    set_aside,
    silence,
)
from tests.proof.mechanisms.removal import Removal

REMOVALS: tuple[Removal, ...] = (
    *door.REMOVALS,
    *sessions.REMOVALS,
    *identity.REMOVALS,
    *acceptance.REMOVALS,
    *relay.REMOVALS,
    *set_aside.REMOVALS,
    *silence.REMOVALS,
    *pipeline.REMOVALS,
    *endings.REMOVALS,
    *hostile_records.REMOVALS,
    *claims.REMOVALS,
    *scheduling.REMOVALS,
    *duties.REMOVALS,
    *retention.REMOVALS,
    *channels.REMOVALS,
    *desk.REMOVALS,
    *log.REMOVALS,
    *audit.REMOVALS,
)
