"""Numbers that several processes count together."""

import os

from herald.api.http.resources import Budget
from herald.api.http.totals import Totals, make_file


def test_each_seat_sees_the_sum_of_all_and_what_was_cleared_counts_no_more() -> None:
    file = make_file(2)
    first, second = (Totals(file, processes=2, seat=seat) for seat in (0, 2))
    os.close(file)

    first.connections.own, second.connections.own, first.body_bytes.own = 2, 3, 7
    together = first.connections.all, second.connections.all, second.body_bytes.all
    second.clear()

    assert together == (5, 5, 7)
    assert (first.connections.all, second.body_bytes.all) == (2, 7)


def test_bodies_of_one_process_leave_the_others_less_room() -> None:
    file = make_file(2)
    first, second = (Budget(100, Totals(file, processes=2, seat=seat).body_bytes) for seat in (0, 1))
    os.close(file)

    taken = first.take(70), second.take(40), second.take(30)
    first.give_back(70)

    assert taken == (True, False, True)
    assert second.take(1000, own=30), "what is larger than all of the budget passes alone"
