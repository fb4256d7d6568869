import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple

from rlcore.envs.wrappers import CastObservation, FlattenObservation, RescaleObservation
from rlcore.tree import map_
from tests.envs.worlds import OBSERVATIONS
from tests.envs.wrappers.fakes import Tape, nested, same

FRAMES = Box(0, 255, (2, 3), np.uint8)
SPACES = [
    Box(-1, 1, (2, 3), np.float32),
    Box(-np.inf, np.inf, (), np.float64),
    FRAMES,
    Discrete(4, start=-1),
    MultiDiscrete([3, 2, 4]),
    MultiDiscrete([[3, 2], [2, 5]], start=[[1, 0], [-2, 7]]),
    MultiBinary((2, 2)),
    OBSERVATIONS,
    Dict(
        {"b": Tuple((Discrete(2), MultiDiscrete([2, 3]))), "a": Dict({"x": FRAMES}), "c": Box(0, 1, (2,), np.float64)}
    ),
    Tuple((Discrete(3), Tuple((MultiBinary(2), Box(-5, 5, (1,), np.int16))))),
]


def around(wrapper, space, n=5, **settings):
    """The wrapper around an environment of a space, n of its elements as a batch, and these one by one."""
    tape = Tape(n)
    tape.observation_space = space
    space.seed(1)
    elements = [space.sample() for _ in range(n)]
    return wrapper(tape, **settings), map_(lambda *parts: np.stack(parts), *map(plain, elements)), elements


def plain(element):
    """As rlcore's environments give it: arrays in dicts and tuples, floats as float32."""
    array = map_(np.asarray, dict(element) if isinstance(element, dict) else element)
    return map_(lambda a: a.astype(np.float32) if a.dtype.kind == "f" else a, array)


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_flat_as_gymnasium_flattens(space):
    env, batch, elements = around(FlattenObservation, space)
    expected = np.stack([spaces.flatten(space, element) for element in elements])
    flat = env.first(batch)
    assert flat.dtype == np.float32
    np.testing.assert_array_equal(flat, expected.astype(np.float32))
    there = spaces.flatten_space(space)
    assert env.observation_space == Box(there.low.astype(np.float32), there.high.astype(np.float32), dtype=np.float32)
    assert flat[0] in env.observation_space


def test_flat_by_hand():
    space = Dict({"kind": Discrete(3, start=1), "at": Box(0, 9, (2,), np.float32)})  # keys are sorted: at, kind
    env, _, _ = around(FlattenObservation, space, n=2)
    obs = {"at": np.array([[4, 5], [6, 7]], np.float32), "kind": np.array([3, 1])}
    assert env.first(obs).tolist() == [[4, 5, 0, 0, 1], [6, 7, 1, 0, 0]]
    assert env.exported() == {
        "kind": "flatten",
        "leaves": [
            {"keys": ["at"], "categories": None, "start": None},
            {"keys": ["kind"], "categories": [3], "start": [1]},
        ],
        "masked": False,
    }


@pytest.mark.parametrize("value", [0, 4])
def test_what_is_outside_its_space_has_no_place_in_the_vector(value):
    env, _, _ = around(FlattenObservation, Tuple((Discrete(3, start=1), Discrete(2))), n=1)
    with pytest.raises(ValueError, match="FlattenObservation: an observation outside Tuple"):
        env.first((np.array([value]), np.array([0])))


def test_a_mask_stays_beside_the_vector():
    env = FlattenObservation(Tape(obs=nested))
    env.reset()
    step = env.step(np.zeros(3, np.int64))
    assert set(step.obs) == {"obs", "action_mask"} == set(env.observation_space)
    assert same(step.obs["action_mask"], env.env.obs["action_mask"])
    assert step.obs["obs"].shape == (3, 2 + 100 + 6)
    assert env.exported()["masked"]


@pytest.mark.parametrize("dtype", [np.float32, "float32", np.int32])
def test_cast(dtype):
    env, batch, _ = around(CastObservation, FRAMES, dtype=dtype)
    assert same(env.first(batch), batch.astype(dtype))
    assert env.observation_space == Box(0, 255, (2, 3), np.dtype(dtype).type)
    assert env.exported() == {"kind": "cast", "dtype": np.dtype(dtype).name}


def test_cast_leaves_what_is_no_box():
    env, batch, _ = around(CastObservation, OBSERVATIONS)
    seen = env.first(batch)
    assert same(seen["image"], batch["image"].astype(np.float32))
    assert same(seen["bits"], batch["bits"])
    assert same(seen["pair"][1], batch["pair"][1])
    assert env.exported()["dtype"] == {"pair": ("float32", None), "bits": None, "image": "float32"}


def test_frames_from_0_to_1():
    env, batch, _ = around(RescaleObservation, FRAMES)
    np.testing.assert_allclose(env.first(batch), batch / 255, rtol=1e-6)
    extremes = env.first(np.array([[[0, 51, 102], [153, 204, 255]]] * 5, np.uint8))
    assert extremes[0].tolist() == np.array([[0, 0.2, 0.4], [0.6, 0.8, 1]], np.float32).tolist()
    assert extremes.dtype == np.float32
    assert env.observation_space == Box(0, 1, (2, 3), np.float32)


def test_bounds_of_each_element():
    space = Box(np.array([-2, 10], np.float32), np.array([2, 20], np.float32))
    env, _, _ = around(RescaleObservation, space, n=2, low=-1, high=1)
    assert env.first(np.array([[-2, 10], [1, 20]], np.float32)).tolist() == [[-1, -1], [0.5, 1]]
    exported = env.exported()
    assert exported["kind"] == "affine"
    assert exported["divisor"].tolist() == [2, 5]
    assert exported["shift"].tolist() == [0, -3]


def test_rescaling_leaves_what_is_no_box():
    env, batch, _ = around(RescaleObservation, OBSERVATIONS, low=-1, high=1)
    seen = env.first(batch)
    np.testing.assert_allclose(seen["image"], batch["image"] / 127.5 - 1, atol=1e-6)
    np.testing.assert_allclose(seen["pair"][0], batch["pair"][0] / 10, atol=1e-6)
    assert same(seen["bits"], batch["bits"])
    assert env.exported()["divisor"]["bits"] is None


def test_what_is_refused():
    for dtype in (np.float64, np.float16, bool):
        with pytest.raises(ValueError, match="dtype must be float32 or an integer type"):
            around(CastObservation, FRAMES, dtype=dtype)
    with pytest.raises(ValueError, match=r"int8 does not hold all of Box\(0, 255"):
        around(CastObservation, FRAMES, dtype=np.int8)
    with pytest.raises(ValueError, match=r"int32 does not hold all of Box\(-inf"):
        around(CastObservation, Box(-np.inf, 1, (1,)), dtype=np.int32)
    with pytest.raises(ValueError, match=r"there is no Box in Discrete\(3\)"):
        around(CastObservation, Discrete(3))
    with pytest.raises(ValueError, match=r"RescaleObservation needs bounds that are finite and apart, which Box\(-1"):
        around(RescaleObservation, Box(-1, np.inf, (1,)))
    with pytest.raises(ValueError, match="finite and apart"):
        around(RescaleObservation, Box(1, 1, (1,)))
    for low, high in ((1, 1), (0, np.inf), (np.nan, 1)):
        with pytest.raises(ValueError, match="low must be below high"):
            around(RescaleObservation, FRAMES, low=low, high=high)
    with pytest.raises(ValueError, match="no vector is known for Text"):
        around_text()


def around_text():
    tape = Tape()
    tape.observation_space = gymnasium.spaces.Text(3)
    return FlattenObservation(tape)
