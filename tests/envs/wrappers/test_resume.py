"""All wrappers around one environment, in a training run that is killed."""

import numpy as np
import pytest

from rlcore.agents import DQN, DQNConfig
from rlcore.envs import SerialEnv
from rlcore.envs.toy import HashChain
from rlcore.envs.wrappers import (
    CastObservation,
    ClipReward,
    EpisodeStatistics,
    FlattenObservation,
    FrameStack,
    LastActionReward,
    NormalizeObservation,
    NormalizeReward,
    RandomizeAction,
    RescaleObservation,
    ScaleReward,
    SignReward,
    TimeLimit,
    Wrapper,
    twin,
)
from rlcore.explorers import Schedule
from rlcore.harness import evaluate, load_state, save_state, train
from rlcore.rng import generator
from tests.envs.wrappers.fakes import same

ROWS = 300
STACK = [
    lambda env: TimeLimit(env, 6),
    EpisodeStatistics,
    lambda env: RandomizeAction(env, 0.2),
    lambda env: ScaleReward(env, 0.5),
    NormalizeReward,
    lambda env: ClipReward(env, -0.5, 0.5),
    SignReward,
    CastObservation,
    RescaleObservation,
    NormalizeObservation,
    lambda env: FrameStack(env, 3),
    LastActionReward,
    FlattenObservation,
]
SMALL = DQNConfig(
    learning_rate=Schedule(1e-2),
    buffer_size=200,
    learning_starts=40,
    batch_size=8,
    update_every=6,
    gradient_steps=2,
    target_update_interval=5,
    hidden=(8,),
)


def made(n_envs):
    env = SerialEnv(HashChain, n_envs, seed=3)
    for wrap in STACK:
        env = wrap(env)
    return env, DQN.from_spaces(env.observation_space, env.action_space, SMALL, generator(1))


def everything(env, agent):
    """The state of both but for clocks."""
    state = env.state()
    level = state
    while "own" in level:
        level["own"] = {k: v for k, v in level["own"].items() if k not in ("running", "seconds")}
        level = level["env"]
    return {"env": state, "agent": agent.state()}


@pytest.mark.parametrize("n_envs", [1, 3])
def test_killed_and_resumed_equals_never_killed(tmp_path, n_envs):
    """The one never killed is evaluated on the way, which leaves no trace either."""
    env, agent = made(n_envs)
    before, returns, t = None, None, 0
    for until in (100, ROWS):
        t = train(agent, env, until, t=t)
        returns = evaluate(agent.policy(), twin(env, SerialEnv(HashChain, 2, seed=99)), 4)
    whole = everything(env, agent)
    rng = generator(n_envs)
    for case in range(4):
        before, other = made(n_envs), made(n_envs)
        t = train(before[1], before[0], int(rng.integers(1, ROWS)))
        save_state(tmp_path / str(case), {"t": t, "env": before[0].state(), "agent": before[1].state()})
        state = load_state(tmp_path / str(case))
        other[0].load(state["env"])
        other[1].load(state["agent"])
        assert train(other[1], other[0], ROWS, t=state["t"]) == ROWS
        assert same(everything(*other), whole), t
        assert same(evaluate(other[1].policy(), twin(other[0], SerialEnv(HashChain, 2, seed=99)), 4), returns)


def test_the_stack_has_them_all():
    env, kinds = made(1)[0], set()
    while isinstance(env, Wrapper):
        kinds.add(type(env))
        env = env.env
    from rlcore.envs import wrappers

    named = {getattr(wrappers, name) for name in wrappers.__all__}
    others = {"ClipAction", "RescaleAction", "RecordVideo"}  # for other actions; keep no state
    bases = {"Wrapper", "ObservationWrapper", "RewardWrapper"}
    wanted = {w.__name__ for w in named if isinstance(w, type)} - others - bases
    assert {kind.__name__ for kind in kinds} == wanted


def test_the_episodes_are_raw_and_cut_at_the_limit():
    env = made(3)[0]
    env.reset()
    lengths = []
    for _ in range(100):
        step = env.step(np.zeros(3, np.int64))
        assert set(step.reward.tolist()) <= {-1.0, 0.0, 1.0}
        if step.info:
            _, returns, n = step.info["episode"]
            assert (returns == returns.round()).all()
            lengths += n.tolist()
    assert max(lengths) == 6
    assert min(lengths) < 6
