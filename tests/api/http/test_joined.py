"""How an answer is written."""

import asyncio
from unittest.mock import Mock

from herald.api.http.joined import JoinedAnswer

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def written(*pieces: bytes) -> list[bytes]:
    transport = Mock(spec=asyncio.Transport)
    answer = JoinedAnswer(transport)
    for piece in pieces:
        answer.write(piece)
    answer.flush()
    return [call.args[0] for call in transport.write.call_args_list]


def test_a_head_leaves_with_the_beginning_of_its_body() -> None:
    assert written(HEAD, b"a", HEAD, b"b") == [HEAD + b"a", HEAD, b"b"]


def test_a_head_without_a_body_leaves_when_the_answer_is_complete() -> None:
    assert written(HEAD) == [HEAD]


def test_a_client_that_waits_to_continue_is_told_at_once() -> None:
    assert written(CONTINUE, HEAD, b"a") == [CONTINUE, HEAD + b"a"]


def test_what_was_begun_leaves_before_the_connection_closes() -> None:
    transport = Mock(spec=asyncio.Transport)
    answer = JoinedAnswer(transport)

    answer.write(HEAD)
    answer.close()

    assert [call[0] for call in transport.method_calls] == ["write", "close"]
