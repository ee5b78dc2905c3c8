"""The door and its time limits."""

import asyncio
from unittest.mock import Mock

from herald.api.http.door import LOOK, Door, Guest
from herald.api.http.resources import Budget
from tests.api.conftest import NOWHERE, make_settings


def test_a_guest_that_fails_leaves_the_others_their_limits() -> None:
    loop = Mock(spec=asyncio.AbstractEventLoop, **{"time.return_value": 1.0})
    bad, good = Mock(spec=Guest), Mock(spec=Guest)
    bad.end_if_late.side_effect = RuntimeError
    door = Door(make_settings(NOWHERE), Budget(1))
    door.enter(bad, 1, loop)
    door.enter(good, 2, loop)
    (_, look, given), _ = loop.call_later.call_args

    look(given)

    good.end_if_late.assert_called_once_with(1.0, 1.0)
    assert [call.args[0] for call in loop.call_later.call_args_list] == [LOOK, LOOK]
