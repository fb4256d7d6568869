"""One environment: what makes it, and how that says what cannot be made."""

import sys
from functools import partial

import gymnasium
import pytest

from rlcore.envs.atari import Atari
from rlcore.envs.single import by_spec, maker, name_of, new_envs, reseed_of
from rlcore.envs.toy import Chain


def test_an_id_and_a_callable_make_new_ones():
    for make in (maker("CartPole-v1"), maker(partial(gymnasium.make, "CartPole-v1"))):
        first, second = new_envs(make, 2)
        assert first.unwrapped is not second.unwrapped
        assert name_of(first) == "CartPole-v1"
    assert name_of(Chain(3)) == "Chain"


def test_keywords_reach_the_environment():
    assert maker("FrozenLake-v1", map_name="8x8")().observation_space.n == 64
    assert maker(Chain, n=4)().observation_space.shape == Chain(4).observation_space.shape
    assert maker("CartPole-v1", render_mode="rgb_array")().render_mode == "rgb_array"


def test_a_module_before_the_id_is_imported(tmp_path, monkeypatch):
    entry = "gymnasium.envs.classic_control.cartpole:CartPoleEnv"
    (tmp_path / "module_of_one.py").write_text(f"import gymnasium\ngymnasium.register('Single-v0', '{entry}')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        assert name_of(maker("module_of_one:Single-v0")()) == "Single-v0"
    finally:
        gymnasium.registry.pop("Single-v0", None)
        sys.modules.pop("module_of_one", None)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        ("CartPol-v1", ValueError, "unknown environment id 'CartPol-v1'; did you mean CartPole-v1"),
        ("Some/Thing-v0", ValueError, "in MODULE:ID a module is imported first, one that registers it"),
        ("no_such_module:Thing-v0", ValueError, "unknown environment id 'no_such_module:Thing-v0'.*ModuleNotFound"),
        (3, TypeError, "expected a Gymnasium id or a callable that gives a gymnasium.Env, got 3"),
    ],
)
def test_what_names_none_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        maker(make)


def test_what_gives_none_is_refused():
    env = gymnasium.make("CartPole-v1")
    with pytest.raises(TypeError, match=r"make must give a gymnasium\.Env, it gave dict"):
        new_envs(dict, 1)
    with pytest.raises(ValueError, match="make gave the same environment twice"):
        new_envs(lambda: gymnasium.wrappers.TimeLimit(env, 3), 2)


@pytest.mark.parametrize("extra", ["box2d", "mujoco"])
def test_an_extra_that_is_missing_is_named(extra):
    class Spec:
        id, entry_point = "Missing-v0", f"gymnasium.envs.{extra}:Missing"

    def missing(spec, **kwargs):
        raise gymnasium.error.DependencyNotInstalled("there is none")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gymnasium, "make", missing)
        with pytest.raises(ImportError, match=rf'Missing-v0 needs the extra {extra}: pip install "rlcore\[{extra}\]"'):
            by_spec(Spec)
        Spec.entry_point = "elsewhere:Missing"
        with pytest.raises(gymnasium.error.DependencyNotInstalled):
            by_spec(Spec)


def test_how_episodes_are_seeded_is_asked_of_what_makes_them():
    assert reseed_of(Chain) == "episode"
    for make in (Atari, partial(Atari, render_mode="human")):
        assert reseed_of(make) == "once"
