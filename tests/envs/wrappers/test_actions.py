import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple

from rlcore.envs.wrappers import ClipAction, RandomizeAction, RescaleAction
from rlcore.rng import generator
from rlcore.tree import leaves, map_
from tests.envs.wrappers.fakes import Tape, same

TORQUES = Box(np.array([-2, 0], np.float32), np.array([2, 10], np.float32))


def around(wrapper, space, n=3, **settings):
    tape = Tape(n)
    tape.action_space = space
    return wrapper(tape, **settings)


def test_rescaled_by_hand():
    env = around(RescaleAction, TORQUES)
    assert env.action_space == Box(-1, 1, (2,), np.float32)
    done = env.act(np.array([[-1, -1], [0, 0.5], [1, 1]], np.float32))
    assert done.tolist() == [[-2, 0], [0, 7.5], [2, 10]]
    assert done.dtype == np.float32
    assert env.act(np.array([[-3, -3], [2, 2], [0, 0]], np.float32)).tolist() == [[-2, 0], [2, 10], [0, 5]]


def test_rescaled_from_other_bounds():
    env = around(RescaleAction, Box(-3, 1, (1,), np.float64), low=0, high=2)
    assert env.act(np.array([[0], [0.5], [2]])).tolist() == [[-3], [-2], [1]]
    assert env.action_space == Box(0, 2, (1,), np.float64)
    exported = env.exported()
    assert exported.pop("kind") == "rescale_action"
    assert {name: array.tolist() for name, array in exported.items()} == {
        "scale": [2], "shift": [-3], "to_low": [-3], "to_high": [1]
    }  # fmt: skip


def test_roundings_stay_within_the_bounds():
    rng = generator(0)
    for _ in range(200):
        low = rng.normal(size=4).astype(np.float32)
        box = Box(low, low + rng.random(4).astype(np.float32) + np.float32(0.1))
        env = around(RescaleAction, box, 2)
        assert all(row in box for row in env.act(np.array([[-1] * 4, [1] * 4], np.float32)))


def test_clipped():
    env = around(ClipAction, TORQUES)
    action = np.array([[-9, -1], [1, 5], [9, 11]], np.float32)
    assert env.act(action).tolist() == [[-2, 0], [1, 5], [2, 10]]
    assert env.action_space == Box(-np.inf, np.inf, (2,), np.float32)
    assert env.exported()["kind"] == "clip_action"
    assert same(env.exported()["high"], TORQUES.high)


def test_the_environment_gets_the_action():
    for wrapper, expected in ((RescaleAction, [[2, 5], [-2, 10]]), (ClipAction, [[1, 0], [-1, 1]])):
        env = around(wrapper, TORQUES, 2)
        env.reset()
        env.step(np.array([[1, 0], [-1, 1]], np.float32))
        assert env.env.actions[-1].tolist() == expected


DRAWN = [
    Discrete(5, start=-2),
    MultiDiscrete([3, 2], start=[1, 0]),
    MultiBinary((2, 2)),
    Box(-2, 3, (2,), np.float32),
    Box(-2, 3, (2,), np.float64),
    Box(0, 4, (1, 2), np.uint8),
    Dict({"a": Discrete(2), "b": Tuple((Box(-1, 1, (3,)), Discrete(3)))}),
]


@pytest.mark.parametrize("space", DRAWN, ids=repr)
def test_random_actions_are_of_the_space(space):
    n = 400
    env = around(RandomizeAction, space, n, fraction=1.0)
    space.seed(0)
    sample = space.sample()
    action = map_(lambda a: np.stack([np.asarray(a)] * n), dict(sample) if isinstance(sample, dict) else sample)
    before = map_(np.copy, action)
    done = env.act(action)
    assert same(action, before)
    for drawn, given in zip(leaves(done), leaves(action), strict=True):
        assert (drawn.shape, drawn.dtype) == (given.shape, given.dtype)
    for i in range(n):
        row = map_(lambda a, i=i: a[i], done)
        assert row in space, row
    for part, leaf in zip(leaves(done), leaves(flat_spaces(space)), strict=True):
        if leaf.dtype.kind != "f":  # every value comes, about as often
            values, counts = np.unique(part.reshape(n, -1)[:, 0], return_counts=True)
            expected = {Discrete: lambda s: s.n, MultiDiscrete: lambda s: s.nvec.flat[0], MultiBinary: lambda s: 2}
            k = expected.get(type(leaf), lambda s: 5)(leaf)
            assert len(values) == k
            assert abs(counts - n / k).max() < 5 * np.sqrt(n / k)
        else:
            assert abs(part.mean() - (leaf.low + leaf.high).mean() / 2) < 0.3


def test_masked_actions_are_not_drawn():
    """Of each choice's allowed values, all come, about as often."""
    n, rng = 3000, generator(0)
    for space, allowed in (
        (Discrete(4, start=2), [[3, 5]]),
        (Discrete(3), [[1]]),
        (MultiDiscrete([3, 2, 4], start=[0, 5, 0]), [[0, 2], [6], [0, 1, 3]]),
    ):
        sizes = [space.n] if isinstance(space, Discrete) else space.nvec
        starts = np.atleast_1d(space.start)
        mask = [s + i in a for size, s, a in zip(sizes, starts, allowed) for i in range(size)]
        tape = Tape(n, obs=lambda base, mask=mask: {"obs": base, "action_mask": np.tile(np.int8(mask), (len(base), 1))})
        tape.action_space = space
        tape.observation_space = Dict({"obs": tape.observation_space, "action_mask": MultiBinary(len(mask))})
        env = RandomizeAction(tape, 1.0, rng)
        env.reset()
        done = env.act(np.zeros((n, *space.shape), np.int64)).reshape(n, -1)
        for column, values in zip(done.T, allowed, strict=True):
            assert np.unique(column).tolist() == values
            assert np.abs(np.unique(column, return_counts=True)[1] - n / len(values)).max() < 5 * np.sqrt(n)
        assert len(np.unique(done, axis=0)) == np.prod([len(values) for values in allowed])
    tape.action_space = Box(-1, 1, (2,))
    with pytest.raises(ValueError, match="an action mask tells nothing about Box"):
        RandomizeAction(tape, 0.5)
    tape.action_space = MultiDiscrete([3, 2])
    with pytest.raises(
        ValueError, match=r"MultiDiscrete\(\[3 2\]\) has 5 choices, its action mask is MultiBinary\(9\)"
    ):
        RandomizeAction(tape, 0.5)


def flat_spaces(space):
    if isinstance(space, Dict):
        return {name: flat_spaces(part) for name, part in space.spaces.items()}
    return tuple(map(flat_spaces, space.spaces)) if isinstance(space, Tuple) else space


def test_the_fraction():
    env = around(RandomizeAction, Discrete(10), 1000, fraction=0.3, rng=5)
    env.reset()
    changed = [int((env.act(np.full(1000, 10)) != 10).sum()) for _ in range(20)]
    assert abs(np.mean(changed) - 300) < 5 * np.sqrt(1000 * 0.3 * 0.7 / 20)
    assert len(set(changed)) > 5
    action = np.full(1000, 10)
    assert around(RandomizeAction, Discrete(10), 1000, fraction=0).act(action) is action


def test_its_generator():
    """Given, from a seed, or from the environment's; rewound by a reset, and its own for evaluation."""

    def drawn(env):
        env.reset()
        return env.act(np.zeros(50, np.int64)).tolist()

    def made(rng=None, seed=0):
        return RandomizeAction(Tape(50, seed), 1.0, rng)

    env = made(7)
    assert drawn(env) == drawn(env) == drawn(made(7)) == drawn(made(generator(7))) != drawn(made(8))
    assert drawn(made()) == drawn(made()) != drawn(made(seed=1))
    assert drawn(env.on(Tape(50, 3))) == drawn(made(seed=3)) != drawn(env)
    rng = generator(7)
    made(rng).act(np.zeros(50, np.int64))
    assert rng.bit_generator.state != generator(7).bit_generator.state  # the one that was given


def test_what_is_no_batch_reaches_the_environment():
    env = around(RandomizeAction, Discrete(3), 3, fraction=1.0)
    assert env.act(np.array([1, 1])).tolist() == [1, 1]
    assert np.ndim(env.act(1)) == 0


def test_what_is_refused():
    for wrapper in (RescaleAction, ClipAction):
        for space in (Discrete(3), Box(0, 9, (2,), np.int32), Dict({"a": TORQUES})):
            with pytest.raises(ValueError, match="needs actions that are a Box of floats"):
                around(wrapper, space)
    with pytest.raises(ValueError, match=r"RescaleAction needs bounds that are finite and apart, which Box\(-inf"):
        around(RescaleAction, Box(-np.inf, np.inf, (2,)))
    for low, high in ((1, 1), (0, np.inf), (np.nan, 1)):
        with pytest.raises(ValueError, match="low must be below high"):
            around(RescaleAction, TORQUES, low=low, high=high)
    for fraction in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match=r"fraction must be within \[0, 1\]"):
            around(RandomizeAction, Discrete(3), fraction=fraction)
    for space in (Box(-np.inf, 1, (2,)), spaces.Text(3), Tuple((Discrete(2), spaces.Text(3)))):
        with pytest.raises(ValueError, match="no random action can be drawn"):
            around(RandomizeAction, space, fraction=0.1)


def test_a_state_of_another_generator_changes_nothing():
    env = around(RandomizeAction, Discrete(3), fraction=0.5)
    state = env.state()
    state["own"]["rng"] = {"bit_generator": "MT19937"}
    before = env.rng.bit_generator.state
    with pytest.raises(ValueError, match="MT19937"):
        env.load(state)
    assert env.rng.bit_generator.state == before
