"""Commits of offsets that fail as they do when the broker dies that coordinates the group."""

import structlog
from confluent_kafka import KafkaError
from quixstreams.checkpointing.exceptions import CheckpointConsumerCommitError
from quixstreams.processing import ProcessingContext

from herald.outbox.kafka.clients import own_code

# What a commit is answered once the partitions have gone to whoever the group gives them to now.
NO_MEMBER = frozenset({KafkaError.UNKNOWN_MEMBER_ID, KafkaError.ILLEGAL_GENERATION, KafkaError.REBALANCE_IN_PROGRESS})
# That the group has no broker to say anything now: one died, and another takes over.
NO_COORDINATOR = frozenset(
    {
        own_code("WAIT_COORD"),
        own_code("TIMED_OUT"),
        own_code("TRANSPORT"),
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.NOT_COORDINATOR,
        KafkaError.REQUEST_TIMED_OUT,
    }
)

_log = structlog.get_logger()


def survive_failed_commits(context: ProcessingContext) -> None:
    """Let a commit fail as it does when the broker that coordinates the group dies; Quix would end the process.

    Without a coordinator it is tried again at the next turn. Where the group has taken the partitions away the
    checkpoint is dropped: what was handled is recorded, whoever has them next reads it again, and the claims drop it.
    """
    commit = context.commit_checkpoint

    def commit_or_go_on(*, force: bool = False, revoking: bool = False) -> None:
        try:
            commit(force=force, revoking=revoking)
        except CheckpointConsumerCommitError as error:
            if error.code not in NO_MEMBER | NO_COORDINATOR:
                raise
            is_dropped = revoking or error.code in NO_MEMBER
            _log.warning("offsets_not_committed", reason=str(error.description), is_dropped=is_dropped)
            if is_dropped:
                context.init_checkpoint()

    context.commit_checkpoint = commit_or_go_on  # type: ignore[assignment, method-assign]
