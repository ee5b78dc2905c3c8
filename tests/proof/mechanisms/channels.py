"""What goes out."""

from tests.proof.mechanisms.removal import Edit, Removal

PUBLIC = "tests/pipeline/channels/webhook/test_public_addresses.py"
HEADERS = "tests/pipeline/channels/email/test_email_headers.py"

REMOVALS = (
    Removal(
        "every answer of the resolver is checked",
        (
            Edit(
                "pipeline/channels/webhook/network.py",
                "        for _, place in places:\n            check_address(_plain(place), allowed=self._allowed)\n",
                "",
            ),
        ),
        (
            f"{PUBLIC}::test_no_literal_opens_a_socket",
            f"{PUBLIC}::test_no_answer_of_a_resolver_opens_a_socket",
            f"{PUBLIC}::test_one_bad_answer_among_good_ones_opens_no_socket",
            f"{PUBLIC}::test_an_answer_that_changes_after_the_first_look_up_opens_no_socket_to_it",
        ),
    ),
    Removal(
        "where a name leads to may change",
        (Edit("pipeline/channels/webhook/channel.py", "    if url.is_fixed:\n", "    if True:\n"),),
        (f"{PUBLIC}::test_a_name_that_led_elsewhere_for_a_while_is_tried_again",),
    ),
    Removal(
        "what is left of the deadline is the timeout of every read",
        (
            Edit(
                "pipeline/channels/webhook/network.py",
                "            self._connection.settimeout(current.get().deadline.left())\n            return",
                "            return",
            ),
        ),
        (
            "tests/pipeline/channels/webhook/test_webhook.py::test_an_answer_that_does_not_come_in_time_leaves_the_outcome_unknown",
            (
                "tests/proof/end_to_end/test_misbehaving.py"
                "::test_every_message_ends_in_the_right_state_and_the_other_24_in_their_own_time"
            ),
        ),
    ),
    Removal(
        "what is left of the deadline is the timeout of every read of a mail server's answer",
        (
            Edit(
                "pipeline/channels/email/client.py",
                "self._connection.settimeout(self._client.deadline.left())",
                "self._connection.settimeout(self._client.deadline.left() + 2.0)",
            ),
        ),
        (
            "tests/pipeline/channels/email/test_email_outcomes.py::test_a_server_without_an_answer_is_left_at_the_deadline",
        ),
    ),
    Removal(
        "webhook-id is made from the message",
        (
            Edit(
                "pipeline/channels/webhook/channel.py",
                "str(delivery.id).encode()",
                "f'{delivery.id}.{delivery.attempt}'.encode()",
            ),
        ),
        ("tests/pipeline/channels/webhook/test_webhook.py::test_a_repetition_has_the_same_id_and_the_same_body",),
    ),
    Removal(
        "the Message-ID of a mail is made from the message",
        (
            Edit(
                "pipeline/channels/email/mail.py",
                'f"<{message_id}@{sender.domain}>"',
                'str(__import__("secrets").token_hex())',
            ),
        ),
        ("tests/pipeline/channels/email/test_email.py::test_a_repeated_mail_is_the_same_to_the_byte",),
    ),
    Removal(
        "control characters in a mail's texts are refused, also where they are encoded",
        (
            Edit(
                "outbox/destination/header_text.py",
                "        if control := _control(text):\n            return control\n",
                "",
            ),
            Edit("pipeline/channels/email/mail.py", "    verify(message, {**headers", "    (message, {**headers"),
        ),
        (
            f"{HEADERS}::test_a_subject_that_could_begin_a_header_is_refused",
            f"{HEADERS}::test_a_name_that_could_begin_a_header_is_refused",
        ),
    ),
    Removal(
        "a mailbox is exactly one",
        (
            Edit("outbox/destination/mailboxes.py", "        if not _ATOM.fullmatch(atom) or any(", "        if any("),
            Edit(
                "outbox/destination/mailboxes.py",
                "    if special := _SPECIALS.search(text):\n",
                "    if special := None:\n",
            ),
        ),
        (f"{HEADERS}::test_what_is_not_exactly_one_address_is_refused",),
    ),
    Removal(
        "the finished mail is read back and compared",
        (Edit("pipeline/channels/email/mail.py", "    if not intact or _BARE.search(message):\n", "    if False:\n"),),
        (f"{HEADERS}::test_a_message_with_another_header_than_was_asked_for_is_not_sent",),
    ),
)
