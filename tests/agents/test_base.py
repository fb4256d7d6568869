"""What every agent has from its base: states put together from parts, and the rows of spaces."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
from gymnasium import spaces

from rlcore.agents.base import Agent, Policy, rows_of
from rlcore.autograd import links as L
from rlcore.rng import generator
from rlcore.tree import named_leaves


class Made(Agent):
    """An agent of a network, two generators and a number, that does nothing."""

    COUNTS = ("t", "n_updates")

    def __init__(self, seed, size=2):
        self.model = L.Linear(3, size, initialW=float(seed))
        self.rngs = {"acting": generator(seed), "learning": {"first": generator(seed + 1)}}
        self.t, self.n_updates = seed * 10, seed

    def parts(self):
        return {"model": self.model, "rngs": self.rngs}

    from_spaces = act = observe = update = policy = None


class Reflex(Policy):
    def __call__(self, obs):
        return obs[:, 0]


def same(one, two):
    one, two = dict(named_leaves(one)), dict(named_leaves(two))
    assert one.keys() == two.keys()
    for path, leaf in one.items():
        np.testing.assert_array_equal(leaf, two[path], err_msg=path)


def test_a_state_is_of_counts_and_parts():
    agent = Made(3)
    state = agent.state()
    assert list(state) == ["t", "n_updates", "model", "rngs"]
    assert (state["t"], state["n_updates"]) == (30, 3)
    assert state["model"]["W"] is agent.model.state()["W"]  # live
    assert state["rngs"]["learning"]["first"] == generator(4).bit_generator.state


def test_a_loaded_agent_is_the_one_that_was_saved():
    agent, other = Made(3), Made(5)
    agent.rngs["learning"]["first"].random(7)
    state = copy.deepcopy(agent.state())
    other.load(state)
    same(other.state(), state)
    assert other.rngs["learning"]["first"].random() == agent.rngs["learning"]["first"].random()
    other.model.W.array[:] = 9  # what was loaded is a copy
    np.testing.assert_array_equal(state["model"]["W"], 3)


def test_parts_are_loaded_in_their_order():
    loaded = []

    def part(name):
        return SimpleNamespace(state=dict, check=lambda state: None, load=lambda state: loaded.append(name))

    agent = Made(1)
    agent.parts = lambda: {"b": part("b"), "a": {"z": part("z"), "y": part("y")}, "c": part("c")}
    agent.load({"c": {}, "a": {"y": {}, "z": {}}, "b": {}, "t": 1, "n_updates": 2})
    assert loaded == ["b", "z", "y", "c"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: s.pop("rngs"), "load: the state is not of a Made: it differs in rngs"),
        (lambda s: s.update(extra=1, more=2), "it differs in extra, more"),
        (lambda s: s.pop("t"), "it differs in t"),
        (lambda s: s.update(t=1.0), "t must be a whole number, got 1.0"),
        (lambda s: s.update(n_updates=True), "n_updates must be a whole number, got True"),
        (lambda s: s["rngs"].pop("acting"), "expected a state for each of acting, learning, got learning"),
        (lambda s: s.update(rngs=3), "expected a state for each of acting, learning, got 3"),
        (lambda s: s["rngs"]["learning"].update(first={}), "random state is of None, this generator is a PCG64"),
        (lambda s: s.update(model=Made(1, size=4).model.state()), r"/W is \(4, 3\) float32 in the state"),
    ],
)
def test_a_wrong_state_changes_nothing(spoil, message):
    agent, state = Made(3), copy.deepcopy(Made(5).state())
    before = copy.deepcopy(agent.state())
    spoil(state)
    with pytest.raises(ValueError, match=message):
        agent.load(state)
    same(agent.state(), before)


def test_most_agents_bear_any_number_of_streams():
    assert Made(1).check_streams(7) is None


def test_a_policy_without_a_memory():
    policy, obs = Reflex(), np.arange(6).reshape(3, 2)
    policy.reset()
    policy.reset(np.array([True, False, True]))
    actions, state = policy.predict(obs, episode_start=np.array([True, True, False]))
    assert (actions.tolist(), state, policy.initial(3)) == ([0, 2, 4], None, None)
    with pytest.raises(ValueError, match="Reflex cannot be exported"):
        policy.exported()


F32, I8, I64 = np.dtype("f4"), np.dtype("i1"), np.dtype("i8")


@pytest.mark.parametrize(
    ("space", "rows"),
    [
        (spaces.Box(-1, 1, (3, 2), np.float64), ((3, 2), F32)),
        (spaces.Box(-1, 1, (), np.float16), ((), F32)),
        (spaces.Box(0, 255, (2,), np.uint8), ((2,), np.dtype("u1"))),
        (spaces.Discrete(3), ((), I64)),
        (spaces.MultiDiscrete([[2, 3]]), ((1, 2), I64)),
        (spaces.MultiBinary(4), ((4,), I8)),
        (
            spaces.Dict({"b": spaces.Discrete(2), "a": spaces.Tuple([spaces.MultiBinary(1), spaces.Box(0, 1, (1,))])}),
            {"a": (((1,), I8), ((1,), F32)), "b": ((), I64)},
        ),
    ],
)
def test_rows_of_spaces(space, rows):
    assert rows_of(space) == rows
