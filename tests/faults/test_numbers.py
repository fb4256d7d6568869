"""Updates whose loss or gradient is not finite are left out, counted, and end the run when they do not stop."""

import warnings

import numpy as np
import pytest
from gymnasium import spaces

import rlcore
from rlcore.agents import DQN, PPO, DQNConfig, NonFiniteError, PPOConfig
from rlcore.agents.descent import Descent
from rlcore.autograd import Sequential
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.autograd.optimizers import Adam
from rlcore.envs.toy import Chain
from rlcore.explorers import Schedule
from rlcore.harness import load_state, newest_state, save_state
from rlcore.rng import default, generator, state_of
from rlcore.stream import Step
from rlcore.tree import named_leaves

pytestmark = [
    pytest.mark.fault(28),
    pytest.mark.filterwarnings("ignore:(overflow|invalid value):RuntimeWarning"),  # NumPy's own
    pytest.mark.filterwarnings("ignore:an update is left out:RuntimeWarning"),
]
OBS, TWO = spaces.Box(-1, 1, (3,), np.float32), spaces.Discrete(2)
AGENTS = {
    DQN: DQNConfig(
        learning_starts=0, batch_size=8, update_every=8, gradient_steps=1, buffer_size=64, hidden=(8,), n_step=1,
        target_update_interval=1,
    ),
    PPO: PPOConfig(n_steps=4, batch_size=8, n_epochs=1, hidden=(8,), learning_rate=Schedule(1e-2)),
}  # fmt: skip


def agent(cls):
    return cls.from_spaces(OBS, TWO, AGENTS[cls], generator(0))


def feed(learner, steps, seed, obs_at=None, value=np.inf):
    """Two streams of random experience; in step obs_at the observations hold a value that is not finite."""
    rng, stats = generator(seed), []
    obs = rng.normal(size=(2, 3)).astype(np.float32)
    for t in range(steps):
        action, extra = learner.act(obs)
        after = rng.normal(size=(2, 3)).astype(np.float32)
        flag = np.zeros(2, bool)
        reward = np.full(2, value if t == obs_at else 1.0, np.float32)
        learner.observe(obs, action, Step(after, reward, ~flag, flag, after, ~flag, {}), extra)
        stats.append(learner.update())
        obs = after
    return [s for s in stats if s]


def numbers(learner):
    """All that an update changes, as bytes, but the counts."""
    state = {k: v for k, v in learner.state().items() if k in ("q", "target", "model", "optimizer")}
    return [(path, np.asarray(leaf).tobytes()) for path, leaf in named_leaves(state)]


@pytest.mark.parametrize("value", [np.inf, np.nan])
@pytest.mark.parametrize("cls", AGENTS)
def test_a_reward_that_is_not_finite_moves_no_weight(cls, value):
    learner = agent(cls)
    feed(learner, 4, 0)
    before = numbers(learner)
    rate = learner.optimizer.learning_rate
    last = feed(learner, 4, 1, obs_at=0, value=value)[-1]
    if cls is DQN and learner.descend.skipped == 0:
        pytest.fail("the batch has missed the row")
    assert numbers(learner) == before
    assert (learner.descend.skipped, last["faults/nonfinite_update"]) == (1, 1)
    assert "loss" not in last
    assert learner.optimizer.learning_rate <= rate


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("cls", AGENTS)
def test_a_gradient_that_is_not_finite_moves_no_weight(cls, value):
    """The loss is finite: only the gradient, of one weight, is not."""
    learner = agent(cls)
    feed(learner, 4, 0)
    before, network = numbers(learner), learner.actor
    clip = learner.optimizer._hooks["pre"]["FiniteClipping"]

    def spoil(parts):
        next(iter(network.params())).grad[0, 0] = value

    learner.optimizer._hooks["pre"] = {"spoil": spoil, "FiniteClipping": clip}
    feed(learner, 4, 1)
    assert numbers(learner) == before
    assert learner.descend.skipped == 1
    learner.optimizer._hooks["pre"] = {"FiniteClipping": clip}
    assert "loss" in feed(learner, 4, 2)[-1]
    assert numbers(learner) != before


@pytest.mark.parametrize("cls", AGENTS)
def test_three_in_a_row_end_the_run_and_give_their_batch(cls, tmp_path):
    learner = agent(cls)
    feed(learner, 4, 0)
    for p in learner.actor.params():
        p.array = np.full_like(p.array, np.nan)
    if cls is PPO:
        learner.rollout.clear()
    before = numbers(learner)
    learn(learner)
    learn(learner)
    with pytest.raises(NonFiniteError, match=r"3 updates in a row .* lower the learning rate") as error:
        learn(learner)
    assert numbers(learner) == before
    assert learner.descend.skipped == 3
    batch = error.value.batch
    assert {"obs", "action"} <= batch.keys()
    save_state(tmp_path / "batch", {"batch": batch})
    again = load_state(tmp_path / "batch")["batch"]
    np.testing.assert_array_equal(again["obs"], batch["obs"])


@pytest.mark.parametrize("algorithm", [rlcore.DQN, rlcore.PPO])
def test_what_ended_a_run_is_kept_to_be_done_again(algorithm, tmp_path):
    """The batch, the networks and every generator, but no replay; the checkpoint before is there to go on from."""
    few = dict(learning_starts=0, batch_size=4, update_every=1, gradient_steps=1, buffer_size=64)
    many = dict(n_steps=8, batch_size=4, n_epochs=1)
    settings = dict(hidden=(8,), checkpoint_every=8, **(few if algorithm is rlcore.DQN else many))
    run = algorithm(lambda: Chain(3), folder=tmp_path / "run", **settings)

    def spoil(t, step, stats):
        if t == 20:
            run.agent.actor.flat[...] = np.nan

    with pytest.raises(NonFiniteError, match=r"what it learned from is kept in .*step-0000000000..") as error:
        run.learn(100, [spoil])
    assert 20 < run.t < 40
    kept = load_state(tmp_path / "run" / "faults" / f"step-{run.t:012d}")
    assert (kept["t"], kept["library_rng"]) == (run.t, state_of(default()))
    np.testing.assert_array_equal(kept["batch"]["obs"], error.value.batch["obs"])
    own = run.agent.state()
    assert own.keys() - kept["agent"].keys() == ({"replay"} if algorithm is rlcore.DQN else set())
    for path, leaf in named_leaves(kept["agent"]):
        np.testing.assert_array_equal(leaf, dict(named_leaves(own))[path])
    assert newest_state(tmp_path / "run" / "checkpoints") is not None
    assert not (tmp_path / "run" / "finished").exists()


def learn(learner):
    if isinstance(learner, DQN):
        learner.learn(learner.replay.sample(8))
        return
    rng = generator(0)
    row = {name: rng.normal(size=8).astype(np.float32) for name in ("log_prob", "advantage", "return", "value")}
    learner.learn({"obs": rng.normal(size=(8, 3)).astype(np.float32), "action": np.zeros(8, np.int64), **row})


def steep(scale):
    """A loss whose gradient is as large as one says."""
    model = Sequential(L.Linear(2, 1))
    descend = Descent(model, Adam(0.1), 1.0)

    def step(x):
        return descend(F.sum(model(np.full((1, 2), x, np.float32))) * scale, {"x": np.float32([x])})

    return model, descend, step


def test_a_finite_update_breaks_the_row_and_the_count_stays():
    _, descend, step = steep(1.0)
    taken = [step(x) for x in (1.0, np.inf, np.nan, 1.0, np.inf, np.inf, 1.0, np.nan)]
    assert taken == [True, False, False, True, False, False, True, False]
    assert descend.state() == {"skipped": 5, "in_a_row": 1}
    assert descend.optimizer.t == 3
    other = steep(1.0)[1]
    other.load(descend.state())
    assert other.state() == descend.state()


def test_what_is_left_out_is_said():
    _, _, step = steep(1.0)
    with pytest.warns(RuntimeWarning, match="an update is left out"), warnings.catch_warnings():
        step(np.inf)


def test_a_large_gradient_is_clipped_and_taken():
    model, _, step = steep(1e18)
    before = model.flat.copy()
    assert step(1.0)
    assert 0 < np.abs(model.flat - before).max() <= 0.1001
    _, descend, step = steep(1e30)  # its square is beyond float32
    assert not step(1.0)
    assert descend.skipped == 1
