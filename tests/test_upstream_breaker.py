"""Breakers and budgets, with a clock that the test moves."""

from __future__ import annotations

import pytest

from reliquary.errors import Unavailable
from reliquary.upstream.breaker import Breaker, Budget


class Clock:
    """Seconds that pass when told to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("index.example", failures=3, cooldown=4, longest=10, clock=clock)


def refused(breaker: Breaker) -> int:
    """Seconds that are left."""
    with pytest.raises(Unavailable) as problem:
        breaker.enter()
    return problem.value.retry_after


def trip(breaker: Breaker) -> None:
    for _ in range(3):
        assert breaker.enter() is False
        breaker.fail()


def test_opens_after_consecutive_failures_only(breaker: Breaker) -> None:
    for _ in range(5):
        breaker.fail()
        breaker.fail()
        breaker.succeed()
    assert breaker.enter() is False
    trip(breaker)
    assert breaker.open
    assert refused(breaker) == 4


def test_late_failures_change_nothing(breaker: Breaker, clock: Clock) -> None:
    trip(breaker)
    clock.now += 1.5
    breaker.fail()
    assert refused(breaker) == 3


def test_one_probe_at_a_time_then_recovery(breaker: Breaker, clock: Clock) -> None:
    trip(breaker)
    clock.now += 4
    assert breaker.enter() is True
    assert refused(breaker) == 4
    breaker.succeed()
    breaker.leave()
    assert breaker.enter() is False


def test_failed_probes_double_the_wait_up_to_a_cap(breaker: Breaker, clock: Clock) -> None:
    trip(breaker)
    waits = []
    for _ in range(4):
        waits.append(refused(breaker))
        clock.now += waits[-1]
        assert breaker.enter() is True
        breaker.fail()
        breaker.leave()
    assert waits == [4, 8, 10, 10]
    clock.now += 10
    breaker.enter()
    breaker.succeed()
    breaker.leave()
    trip(breaker)
    assert refused(breaker) == 4


def test_a_probe_that_is_given_up_lets_another_one_pass(breaker: Breaker, clock: Clock) -> None:
    trip(breaker)
    clock.now += 4
    assert breaker.enter() is True
    breaker.leave()
    assert breaker.enter() is True


def test_rest_is_honoured_and_never_shortened(breaker: Breaker, clock: Clock) -> None:
    breaker.rest(20)
    breaker.rest(5)
    assert refused(breaker) == 20
    clock.now += 20
    assert breaker.enter() is False


def test_budget_is_spent_and_earned() -> None:
    budget = Budget(2, earned=0.5)
    assert [budget.spend() for _ in range(3)] == [True, True, False]
    budget.earn()
    assert not budget.spend()
    budget.earn()
    assert budget.spend()
