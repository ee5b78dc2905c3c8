"""Rows of the log that cannot be read or published."""

from tests.proof.mechanisms.removal import Edit, Removal

ASIDE = "tests/outbox/relay/test_set_aside.py"
JUDGING = "tests/outbox/relay/test_judging.py"
DESK = "tests/outbox/operate/test_set_aside.py"

REMOVALS = (
    Removal(
        "the size that is stored is the size as read back",
        (
            Edit(
                "alembic/sql/0001_baseline/log.sql",
                "octet_length(NEW.payload::text)",
                "pg_column_size(NEW.payload)",
            ),
        ),
        (f"{ASIDE}::test_the_size_that_is_stored_is_the_size_as_read_back",),
    ),
    Removal(
        "a page is bounded by bytes",
        (
            Edit(
                "outbox/relay/page_statements.py",
                '_FITS = "WHERE total <= %(max_bytes)s OR total = bytes"',
                '_FITS = ""',
            ),
        ),
        (f"{ASIDE}::test_a_page_is_bounded_by_bytes_as_well_as_rows",),
    ),
    Removal(
        "what no record can hold is not read",
        (Edit("outbox/relay/page_statements.py", "CASE WHEN is_small THEN {_VALUE} END", "{_VALUE}"),),
        (f"{ASIDE}::test_what_no_record_can_hold_is_refused_without_being_read",),
    ),
    Removal(
        "a page that cannot be read is halved",
        (
            Edit(
                "outbox/relay/unreadable.py",
                "    found = _narrowed(connection, places)\n",
                "    found = Found(done=[read_places(connection, places)])\n",
            ),
        ),
        (
            f"{ASIDE}::test_a_row_that_cannot_be_read_is_set_aside_and_the_others_are_read",
            f"{ASIDE}::test_many_rows_that_cannot_be_read_stop_nothing",
        ),
    ),
    Removal(
        "a row that fails three times alone is set aside",
        (
            Edit(
                "outbox/relay/unreadable.py",
                "    if found.excused:\n",
                "    if found.excused:\n        raise found.excused[0].error\n    if found.excused:\n",
            ),
        ),
        (f"{ASIDE}::test_a_row_that_fails_three_times_alone_is_set_aside_whatever_the_error",),
    ),
    Removal(
        "of rows that the server cannot read twenty a minute are set aside",
        (Edit("outbox/relay/unreadable.py", "and not convictions.allows(one.error):", "and not convictions:"),),
        (f"{ASIDE}::test_of_rows_that_the_server_cannot_read_twenty_a_minute_are_set_aside",),
    ),
    Removal(
        "a topic that takes nothing convicts no record",
        (Edit("outbox/relay/judging.py", "topic in taking, accused", "True, accused"),),
        (
            f"{JUDGING}::test_a_topic_whose_limit_is_lowered_for_a_while_ends_no_message_and_holds_up_no_other",
            f"{JUDGING}::test_a_topic_that_takes_none_of_a_page_is_withheld",
        ),
    ),
    Removal(
        "what a topic refuses is tried one at a time",
        (
            Edit(
                "outbox/relay/catching_up.py",
                "if publisher.takes(part.topic) or len(places) <= 1:",
                "if publisher.takes(part.topic) or True:",
            ),
        ),
        (f"{JUDGING}::test_of_a_page_that_a_topic_refuses_one_record_a_minute_is_set_aside_until_it_takes_another",),
    ),
    Removal(
        "above twenty a minute what is refused is set aside",
        (Edit("outbox/relay/judging.py", 'if self._ended.allows(reason) else "set aside"', 'if self._ended else ""'),),
        (f"{JUDGING}::test_above_twenty_a_minute_what_a_topic_refuses_beside_others_is_set_aside",),
    ),
    Removal(
        "what is settled is handed on before the next page is judged",
        (
            Edit(
                "outbox/relay/publisher.py",
                "            if settled and self._pages[0].accused:\n",
                "            if False:\n",
            ),
        ),
        (
            "tests/outbox/relay/test_publisher.py::test_pages_that_are_settled_are_returned_before_the_next_one_is_judged",
        ),
    ),
    Removal(
        "a topic that took something has another minute",
        (Edit("outbox/relay/judging.py", "            self._next_scout.pop(topic, None)\n", "            pass\n"),),
        (
            "tests/outbox/relay/test_publisher.py::test_a_topic_that_took_something_since_has_another_minute_before_a_record_is_set_aside",
        ),
    ),
    Removal(
        "a report says which row it is of",
        (
            Edit(
                "outbox/relay/publisher.py",
                "page.accused).append((row, error.str()))",
                "page.accused).append((page.rows[0], error.str()))",
            ),
        ),
        (f"{JUDGING}::test_of_equal_records_the_one_that_was_refused_is_found",),
    ),
    Removal(
        "no row is set aside without another that is read",
        (
            Edit("outbox/relay/unreadable.py", "            raise error from None\n", "            pass\n"),
            Edit("outbox/relay/unreadable.py", "return lambda: _read_neighbour(connection, places)", "return print"),
        ),
        (f"{ASIDE}::test_where_no_row_can_be_read_none_is_set_aside",),
    ),
    Removal(
        "what no producer takes is set aside",
        (Edit("outbox/relay/publisher.py", "if why := why_unpublishable(row, topic):", "if why := str():"),),
        (f"{ASIDE}::test_rows_that_no_producer_takes_are_set_aside_and_the_others_published",),
    ),
    Removal(
        "what no producer takes is waited for nowhere",
        (
            Edit(
                "outbox/relay/hearing.py",
                "for page in pages for row in page.sent}",
                "for page in pages for row in page.rows}",
            ),
        ),
        (
            "tests/outbox/relay/test_publisher.py::test_a_topic_that_cannot_exist_is_not_withheld_while_its_page_is_stuck",
        ),
    ),
    Removal(
        "a refusal that asks for no message is set aside",
        (
            Edit(
                "outbox/relay/refusals.py", "for one in requests if one[0][:2] in foreign]", "for one in requests[:0]]"
            ),
        ),
        (f"{ASIDE}::test_a_refusal_of_no_message_is_set_aside",),
    ),
    Removal(
        "a message whose request is set aside is not requested again",
        (
            Edit("outbox/moves/request_again.py", "s.version = messages.version AND s.decision IS NULL", "false"),
            Edit(
                "outbox/moves/request_again.py", "AND s.version = m.version AND s.decision", "AND false AND s.decision"
            ),
        ),
        (f"{ASIDE}::test_a_message_whose_request_is_set_aside_is_not_requested_again",),
    ),
    Removal(
        "discarding ends a message that waits",
        (
            Edit(
                "outbox/desk/aside.py",
                "discard_pending(connection, row.stream_id, row.version, reason=decision.because, actor=decision.by)",
                "pass",
            ),
        ),
        (f"{DESK}::test_a_discarded_row_ends_the_message_that_waits_for_it",),
    ),
    Removal(
        "publishing requests a message that waits again",
        (
            Edit(
                "outbox/desk/aside.py",
                "    if request_again(connection, choice, limit=1):\n",
                "    if not choice.cause:\n",
            ),
        ),
        (f"{DESK}::test_a_published_row_requests_the_message_that_waits_for_it",),
    ),
    Removal(
        "publishing publishes the record of a row without a message",
        (
            Edit(
                "outbox/operate/set_aside.py",
                "            publish_row(connection, settings, row)\n",
                "",
            ),
        ),
        (f"{DESK}::test_a_row_without_a_message_is_published_as_it_is",),
    ),
    Removal(
        "status, doctor and audit name what was set aside",
        (
            Edit("outbox/operate/doctor/relay.py", '    "set aside": passed_by,\n', ""),
            Edit(
                "outbox/operate/status/report.py",
                '"{count:,} {reason}, the newest {newest}: {error}".format_map',
                '"".format_map',
            ),
            Edit("outbox/operate/audit/order.py", "        check_aside(connection, scope),\n", ""),
        ),
        (f"{DESK}::test_what_is_set_aside_is_named_by_status_doctor_and_audit",),
    ),
)
