"""What holds for every algorithm: evaluation changes nothing, one seed gives one run, faults and foreign states."""

import copy
import dataclasses
import hashlib
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces

import rlcore
from rlcore.agents import A2C, ALGORITHMS, PPO, NonFiniteError
from rlcore.envs import SerialEnv
from rlcore.envs.make import EnvConfig, evaluation_env, make_env
from rlcore.envs.toy import HashChain
from rlcore.harness import evaluate, train
from rlcore.rng import default, generator, state_of
from rlcore.tree import Ring, named_leaves
from tests.test_resume import IDS, SMALL

ROOT = Path(__file__).parents[2]
N, STEPS = 2, 120  # environments, rows of a run
LEARNED = EnvConfig(normalize_obs=True, normalize_reward=True, time_limit=15)


def agent_for(env, algorithm, seed=3, **settings):
    cls = ALGORITHMS[algorithm]
    fields = {field.name for field in dataclasses.fields(cls.Config)}
    given = {name: value for name, value in {**SMALL, **settings}.items() if name in fields}
    return cls.from_spaces(env.observation_space, env.action_space, cls.Config(**given), generator(seed))


def made(algorithm, config=LEARNED, seed=3, **settings):
    """An agent, its environment, and the name of that: the first in which it can act."""
    for name in IDS:
        env = make_env(name, N, 5, config)
        try:
            return agent_for(env, algorithm, seed, **settings), env, name
        except ValueError:
            env.close()
            if name == IDS[-1]:
                raise
    raise AssertionError


def bits(leaf):
    """What a leaf of a state holds, be it an array, a Ring of rows, or a JSON scalar."""
    array = leaf.array if isinstance(leaf, Ring) else leaf
    return array.tobytes() if isinstance(array, np.ndarray) else json.dumps(array).encode()


def digest(*parts):
    """SHA-256 of states, whatever they are made of, and of the library's own generator."""
    found = hashlib.sha256(json.dumps(state_of(default())).encode())
    for part in parts:
        for path, leaf in named_leaves(part.state()):
            found.update(path.encode() + bits(leaf))
    return found.hexdigest()


def run(algorithm, hooks=(), **settings):
    rlcore.seed(0)
    agent, env, name = made(algorithm, **settings)
    train(agent, env, STEPS, [hook(agent, env, name) for hook in hooks])
    return digest(agent, env)


def digests():
    """Of a run of each algorithm."""
    return {algorithm: run(algorithm) for algorithm in ALGORITHMS}


@pytest.fixture(scope="module")
def elsewhere():
    """`digests` in another process, whose hashes of strings differ."""
    code = "import json; from tests.agents.test_every import digests; print(json.dumps(digests()))"
    env = {**os.environ, "PYTHONHASHSEED": "4321", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def evaluating(agent, env, name):
    """A hook that evaluates every 20 rows, both policies, and looks that it has changed nothing."""
    second = evaluation_env(env, name, 3, 77, LEARNED)

    def hook(t, step, stats):
        if t % 20 == 0:
            before = digest(agent, env)
            for policy in (agent.policy(), agent.policy(deterministic=False, rng=generator(t))):
                evaluate(policy, second, 2)
            assert digest(agent, env) == before

    return hook


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_one_seed_gives_one_run_in_any_process_with_evaluations_or_without(algorithm, elsewhere):
    assert run(algorithm, [evaluating]) == elsewhere[algorithm]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_another_seed_gives_another_run(algorithm, elsewhere):
    assert run(algorithm, seed=4) != elsewhere[algorithm]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_policy_that_draws_does_so_from_a_generator_of_its_own(algorithm):
    agent, env, _ = made(algorithm)
    train(agent, env, 60)
    before = copy.deepcopy(dict(named_leaves(agent.state())))
    agent.policy(deterministic=False)(env.obs)
    after = dict(named_leaves(agent.state()))
    changed = [path for path, leaf in after.items() if bits(leaf) != bits(before[path])]
    assert changed
    assert all(path.startswith(("rng/", "rngs/policy/")) for path in changed), changed


class Spoiled:
    """An environment whose rewards are NaN from row `since` on, behind the checks of real ones."""

    def __init__(self, env, since):
        self.env, self.since, self.rows = env, since, 0

    def __getattr__(self, name):
        return getattr(self.env, name)

    def step(self, action):
        step = self.env.step(action)
        self.rows += self.env.n_envs
        return step._replace(reward=step.reward * np.float32(np.nan)) if self.rows > self.since else step


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_losses_that_are_nan_are_left_out_and_counted_and_three_in_a_row_end_the_run(algorithm):
    agent, env, _ = made(algorithm, EnvConfig(time_limit=15))
    seen = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(NonFiniteError, match="3 updates in a row") as e:
            train(agent, Spoiled(env, 0), 400, [lambda t, step, stats: seen.append(stats)])
    assert sum("an update is left out" in str(w.message) for w in caught) >= 2
    assert sum([descent.skipped for descent in agent.descents()]) >= 3
    assert agent.n_updates == 0 or not hasattr(agent, "replay")  # others count epochs, or rollouts
    for stats in seen:
        assert stats.get("faults/nonfinite_update", 0) > 0 or not stats
    learned = {name: part for name, part in agent.state().items() if name not in ("replay", "rollout")}
    for path, leaf in named_leaves(learned):
        if isinstance(leaf, np.ndarray) and leaf.dtype.kind == "f":
            assert np.isfinite(leaf).all(), path
    assert any(np.isnan(leaf).any() for _, leaf in named_leaves(e.value.batch) if leaf.dtype.kind == "f")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_spaces_that_it_cannot_handle_are_refused_with_those_that_it_can(algorithm):
    _, env, _ = made(algorithm)
    cls, good = ALGORITHMS[algorithm], (env.observation_space, env.action_space)
    for space in ((spaces.Text(3), good[1]), (good[0], spaces.Text(3))):
        with pytest.raises(ValueError, match=r"(needs|expected|handles?) .*(Box|Discrete).* got .*Text"):
            cls.from_spaces(*space, cls.Config(), generator(0))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_state_of_another_agent_is_refused_and_changes_nothing(algorithm):
    agent, env, _ = made(algorithm)
    other, elsewhere, _ = made(algorithm, seed=4, hidden=(9,))
    train(agent, env, 60)
    train(other, elsewhere, 30)
    before, state = digest(agent), copy.deepcopy(agent.state())
    alike = (A2C, PPO) if isinstance(agent, (A2C, PPO)) else type(agent)  # these two have the same parts
    strangers = [name for name, cls in ALGORITHMS.items() if not (issubclass(cls, alike) or isinstance(agent, cls))]
    lacking = [{k: v for k, v in state.items() if k != name} for name in state]
    foreign = [made(name)[0].state() for name in strangers]
    for wrong in (other.state(), *lacking, {**state, "more": 1}, {}, *foreign):
        with pytest.raises(ValueError, match=r"load: |state"):
            agent.load(wrong)
        assert digest(agent) == before
    agent.load(state)
    assert digest(agent) == before


class HashedBox(HashChain):
    """HashChain with an action of a continuous kind, whose bits are hashed."""

    def __init__(self):
        super().__init__()
        self.action_space = spaces.Box(-1, 1, (1,), np.float32)

    @staticmethod
    def after(obs, action):
        return HashChain.after(
            obs, np.ascontiguousarray(action, np.float32).reshape(-1).view(np.int32).astype(np.int64)
        )


def transitions(batch):
    """obs, action and successor of a batch, in rows; sequences have them one behind the other, after a burn-in."""
    if "next_obs" in batch:
        return batch["obs"], batch["action"], batch["next_obs"]
    mask = batch["mask"]  # (T, n)
    obs = batch["obs"][-len(mask) - 1 :]
    return obs[:-1][mask], batch["action"][mask], obs[1:][mask]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_no_transition_is_mixed_from_two_episodes_or_streams(algorithm):
    """The next state is a hash of where it came from; the replay wraps several times."""
    for make in (HashChain, HashedBox):
        env = SerialEnv(make, 3, 5)
        try:
            agent = agent_for(env, algorithm, n_step=1, update_every=1)
            break
        except ValueError:
            continue
    if not hasattr(agent, "replay"):
        pytest.skip("learns from its newest rows alone")
    seen = []

    def look(batch):
        obs, action, following = transitions(batch)
        np.testing.assert_array_equal(make.after(obs, action), following)
        seen.append(len(obs))
        return {}

    agent.learn = look
    train(agent, env, 600)
    assert len(seen) > 400
    assert min(seen) > 0
