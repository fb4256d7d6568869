"""The recurrent state of streams: which of them forget, and what was given away stays as it was."""

import numpy as np
import pytest

from rlcore.agents.recurrent import RecurrentPolicy, Remembered


class Counter:
    """Its state counts the steps of each stream, and is what it gives."""

    def initial(self, n):
        return {"steps": np.zeros((n, 1), np.float32)}

    def __call__(self, obs, h):
        after = {"steps": h["steps"] + 1}
        return after["steps"], after


def counted(*steps):
    return {"steps": np.array(steps, np.float32)[:, None]}


def test_some_streams_forget_by_their_numbers():
    remembered = Remembered(Counter())
    remembered.forget(np.array([True]))  # of nothing yet
    remembered.keep(counted(1, 2, 3, 4))
    given = remembered.of(4)
    remembered.forget(np.array([False, True]), first=2)
    assert remembered.h["steps"].ravel().tolist() == [1, 2, 3, 0]
    remembered.forget(np.array([True, False]))
    assert remembered.h["steps"].ravel().tolist() == [0, 2, 3, 0]
    assert given["steps"].ravel().tolist() == [1, 2, 3, 4]


def test_another_number_of_streams_is_refused():
    remembered = Remembered(Counter())
    assert remembered.of(3)["steps"].shape == (3, 1)
    with pytest.raises(ValueError, match="observations of 2 streams, but the recurrent state is that of 3"):
        remembered.of(2)


def test_a_state_that_was_given_to_a_policy_stays_as_it_was():
    policy = RecurrentPolicy(Counter(), lambda out, obs: out[:, 0], {}, lambda tree: tree)
    given, obs = counted(5, 6), np.zeros((2, 1))
    actions, after = policy.predict(obs, given, np.array([True, False]))
    assert actions.tolist() == [1, 7]
    assert (given["steps"].ravel().tolist(), after["steps"].ravel().tolist()) == ([5, 6], [1, 7])
    policy.reset(np.array([False, True]))
    assert after["steps"].ravel().tolist() == [1, 7]
    assert policy.state["steps"].ravel().tolist() == [1, 0]
    policy.reset()
    assert policy.state is None
    with pytest.raises(ValueError, match=r"reset takes a mask of the 2 streams, \(2,\), got \(3,\)"):
        policy.predict(obs, given, np.zeros(3, bool))


def test_a_state_is_saved_and_checked():
    one, two = Remembered(Counter()), Remembered(Counter())
    two.load(one.state())
    assert two.h is None
    one.keep(counted(1, 2))
    two.load(one.state())
    one.h["steps"][:] = 9
    assert two.h["steps"].ravel().tolist() == [1, 2]
    for wrong, message in (
        ({}, "a recurrent state has h"),
        ({"h": [np.zeros((2, 1), np.float32)] * 2}, "of 2 arrays, expected 1"),
        ({"h": [np.zeros((2, 3), np.float32)]}, r"h/steps: expected float32 \(2, 1\), got float32 \(2, 3\)"),
    ):
        with pytest.raises(ValueError, match=message):
            two.load(wrong)
    assert two.h["steps"].ravel().tolist() == [1, 2]
