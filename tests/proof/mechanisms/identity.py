"""Which Herald this is, and whether this is its database."""

from tests.proof.mechanisms.removal import Edit, Removal

INSTANCE = "tests/outbox/postgres/test_instance.py"
OWNER = "tests/outbox/kafka/test_owner.py"

REMOVALS = (
    Removal(
        "every connection compares where it is with what is stored",
        (Edit("outbox/postgres/connections.py", "        stay_home(opened, settings)\n", ""),),
        (
            f"{INSTANCE}::test_a_copy_is_refused_with_every_connection_and_the_original_with_none",
            f"{INSTANCE}::test_a_database_restored_from_a_dump_is_a_copy",
        ),
    ),
    Removal(
        "no process works in a database that was copied, promoted or has another source",
        (
            Edit("outbox/postgres/connections.py", "        stay_home(opened, settings)\n", ""),
            Edit(
                "outbox/startup.py",
                "            stay_home(connection, settings)  # somebody else may have been the first\n",
                "",
            ),
        ),
        (
            f"{INSTANCE}::test_no_process_works_in_a_copy",
            f"{INSTANCE}::test_no_process_works_in_a_promoted_base_backup",
            f"{INSTANCE}::test_a_process_with_another_source_does_not_start",
        ),
    ),
    Removal(
        "no process works with another prefix of topics than the rest",
        (
            Edit(
                "outbox/postgres/instance.py",
                "_another_timeline, _another_source, _another_prefix)",
                "_another_timeline, _another_source)",
            ),
        ),
        (f"{INSTANCE}::test_a_process_with_another_prefix_does_not_start",),
    ),
    Removal(
        "no process works on topics that another Herald has claimed",
        (Edit("outbox/kafka/owner.py", "    if owner in {None, settings.instance}:\n", "    if owner != str():\n"),),
        (f"{OWNER}::test_no_process_works_on_the_topics_of_another_herald",),
    ),
    Removal(
        "of two claims the lower one holds",
        (Edit("outbox/kafka/owner.py", "return min(claims).instance", "return max(claims).instance"),),
        (f"{OWNER}::test_of_two_that_have_both_seen_no_claim_the_lower_one_holds",),
    ),
    Removal(
        "a topic of claims that alone does not answer keeps nobody from working",
        (Edit("outbox/kafka/owner.py", "    if not metadata.brokers:\n", "    if metadata:\n"),),
        (f"{OWNER}::test_a_topic_of_claims_without_a_leader_keeps_no_process_from_its_work",),
    ),
    Removal(
        "the creation of the topic of claims is tried again",
        (Edit("outbox/kafka/owner.py", "return explanation(error) if is_over else None", "return explanation(error)"),),
        (f"{OWNER}::test_a_creation_that_failed_for_a_moment_is_tried_again_within_the_term",),
    ),
    Removal(
        "a claim that is sent again keeps its place",
        (Edit("outbox/kafka/owner_topic.py", '"enable.idempotence": True', '"enable.idempotence": False'),),
        (f"{OWNER}::test_a_claim_whose_acknowledgement_is_lost_keeps_its_place",),
    ),
    Removal(
        "every topic has the prefix on Kafka, and none of them elsewhere",
        (Edit("outbox/relay/publisher.py", "            topic = on_kafka(row[3])\n", "            topic = row[3]\n"),),
        (
            "tests/pipeline/testing/test_prefix.py::test_with_a_prefix_all_is_published_and_read_under_it_and_nothing_beside_it",
        ),
    ),
    Removal(
        "a copy is paused until a person resumes it",
        (
            Edit(
                "outbox/relay/rebase.py",
                "            pause(connection, ALL, reason=PAUSED)\n",
                "                pass\n",
            ),
        ),
        (f"{INSTANCE}::test_copied_makes_a_new_id_and_sends_nothing_before_it_is_resumed",),
    ),
    Removal(
        "after a fail-over the cursor holds",
        (Edit("outbox/relay/rebase.py", "        if is_timeline:\n", "        if False:\n"),),
        (f"{INSTANCE}::test_after_a_fail_over_moved_keeps_the_cursor_and_requests_nothing",),
    ),
)
