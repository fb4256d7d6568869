"""DDPG: one update against loops in float64, exploration; what it shares with TD3 and SAC: spaces, counts, faults."""

from dataclasses import replace

import numpy as np
import pytest
from gymnasium import spaces

from rlcore.agents import DDPG, SAC, TD3, DDPGConfig, NonFiniteError
from rlcore.autograd.optimizers import SGD
from rlcore.noise import Gaussian, OrnsteinUhlenbeck
from rlcore.rng import generator
from tests.agents import control
from tests.agents.control import BOX, SEEN, agent, batch, fill, step

ALL = [DDPG, TD3, SAC]
RATE = 0.05


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_an_update_is_the_papers(seed, weights):
    learner, data = agent(DDPG, tau=0.1), batch(seed, weights)
    for name, descent in learner.descend.items():
        descent.optimizer = learner.optimizers[name] = SGD(RATE).setup(descent.model)
    for p in [*learner.target_critic.params(), *learner.target_actor.params()]:
        p.array = p.array * 0.8
    links = learner.actor, learner.critic, learner.target_actor, learner.target_critic
    pi, q, target_pi, target_q = map(control.floats, links)
    stats = learner.learn(data)

    goals = []
    for i in range(control.N):
        action = control.mean_action(target_pi, data["next_obs"][i])
        value = control.q_values(target_q, data["next_obs"][i], action)[0]
        goals.append(data["reward"][i] + data["discount"][i] * value)
    loss, new_q = control.descended(lambda w: control.critic_loss(w, data, goals), q, RATE)
    assert stats["critic_loss"] == pytest.approx(loss, rel=1e-4)

    def actor_loss(w):
        actions = [control.mean_action(w, obs) for obs in data["obs"]]
        return -sum(control.q_values(new_q, o, a)[0] for o, a in zip(data["obs"], actions)) / control.N

    loss, new_pi = control.descended(actor_loss, pi, RATE)
    assert stats["actor_loss"] == pytest.approx(loss, rel=1e-4)
    for link, before, after in zip(links, (pi, q), (new_pi, new_q)):
        control.close(link, before, after)
    control.close(learner.target_actor, target_pi, control.moved(target_pi, new_pi, 0.1))
    control.close(learner.target_critic, target_q, control.moved(target_q, new_q, 0.1))


@pytest.mark.parametrize("cls", ALL)
def test_targets_begin_as_the_networks_are_at_the_first_update(cls):
    learner = agent(cls, tau=0.0)  # whose weights were changed after it was made
    targets = [(learner.target_critic, learner.critic)]
    if cls is not SAC:
        targets.append((learner.target_actor, learner.actor))
    before = [target.flat.copy() for target, _ in targets]
    for (_, network), flat in zip(targets, before):
        np.testing.assert_array_equal(flat, network.flat)
    fill(learner)
    learner.update()
    assert learner.n_updates > 1
    for (target, network), flat in zip(targets, before):
        np.testing.assert_array_equal(target.flat, flat)
        assert not np.array_equal(network.flat, flat)


@pytest.mark.parametrize("cls", [DDPG, TD3])
@pytest.mark.parametrize("tau", [0.0, 1.0])
def test_targets_that_stay_and_such_as_are_copied_are_exact(cls, tau):
    learner = agent(cls, tau=tau)
    for name in ("actor", "critic"):
        before = getattr(learner, f"target_{name}").flat.copy()
        for k in range(2):
            learner.learn(batch(k))
        expected = getattr(learner, name).flat if tau else before
        np.testing.assert_array_equal(getattr(learner, f"target_{name}").flat, expected)


def test_it_explores_with_noise_scaled_and_clipped_in_the_unit_box():
    learner = agent(DDPG, action_noise=(0.1, 0.8), learning_starts=0)
    for p in learner.actor.params():
        p.array = p.array * 0
    many = np.zeros((20_000, 3), np.float32)
    action, extra = learner.act(many)
    unit = extra["action"]
    assert unit[:, 0].std() == pytest.approx(0.1, rel=0.02)
    assert (abs(unit[:, 1]) == 1).mean() == pytest.approx(0.2113, abs=0.01)  # of a normal number beyond 1.25 deviations
    assert abs(unit).max() == 1
    np.testing.assert_allclose(action, [-0.5, 2] + unit.astype(float) * [1.5, 2], atol=1e-6)
    given = learner.policy(False, generator(0))(many)
    assert given.std(0) == pytest.approx(action.std(0), rel=0.05)
    assert learner.policy()(many).std(0).max() < 1e-6


@pytest.mark.parametrize("cls", ALL)
def test_actions_are_uniform_until_learning_starts(cls):
    learner = agent(cls, learning_starts=4)
    many = np.zeros((20_000, 3), np.float32)
    action, extra = learner.act(many)
    low, high = extra["action"].min(0), extra["action"].max(0)
    np.testing.assert_allclose([low, high], [[-1, -1], [1, 1]], atol=1e-3)
    np.testing.assert_allclose(extra["action"].var(0), 1 / 3, rtol=0.03)
    assert (action >= BOX.low).all()
    assert (action <= BOX.high).all()
    fill(learner, 4)
    assert learner.act(many)[1]["action"].var(0).min() < 0.3


def test_noise_of_a_kind_that_is_reset_where_episodes_end():
    learner = agent(DDPG, noise_type="ornstein-uhlenbeck", learning_starts=0, action_noise=(5.0,))
    assert type(learner.noise) is OrnsteinUhlenbeck
    assert type(agent(DDPG).noise) is Gaussian
    obs = np.zeros((3, 3), np.float32)
    for ends in ({"terminated": True}, {"truncated": True}, {"valid": False}):
        action, extra = learner.act(obs)
        learner.observe(obs, action, step(obs), extra)
        assert (learner.noise.x != 0).all()
        part = {name: learner.act(obs)[1]["action"][1:2] for name in ("action",)}
        learner.observe(obs[:1], action[:1], step(obs[:1], **ends), part, stream=1)
        assert (learner.noise.x != 0).all(axis=1).tolist() == [True, False, True]
        learner.act(obs)


@pytest.mark.parametrize("cls", ALL)
def test_what_is_kept_is_the_action_within_the_unit_box(cls):
    learner = agent(cls)
    fill(learner, 6)
    kept = learner.replay.state()["columns"]["action"].array[:6]
    assert kept.dtype == np.float32
    assert (abs(kept) <= 1).all()
    assert (kept.min(0) < 0).all()


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize(("every", "steps", "expected"), [(1, 1, 8), (2, 3, 12), (4, -1, 8), (1, -1, 8)])
def test_as_many_updates_as_are_asked_for(cls, every, steps, expected):
    learner = agent(cls, update_every=every, gradient_steps=steps, learning_starts=4)
    fill(learner, 12)
    learner.update()
    assert learner.n_updates == expected


@pytest.mark.parametrize("cls", ALL)
def test_n_steps_bootstrap_with_their_own_discount(cls):
    """Rewards 1, 1, 1, then an end: with two steps the targets are 1.5 + 0.25 V, 1.5 and 1."""
    learner = agent(cls, n_step=2, gamma=0.5)
    obs = np.zeros((1, 3), np.float32)
    for i in range(3):
        learner.observe(obs, np.zeros((1, 2), np.float32), step(obs, 1.0, i == 2), {"action": np.zeros((1, 2), "f4")})
    data = learner.replay.sample(64)
    seen = {(float(r), float(d)) for r, d in zip(data["reward"], data["discount"])}
    assert seen == {(1.5, 0.25), (1.5, 0.0), (1.0, 0.0)}
    goals = []
    learner.learn_critic = lambda data, value: goals.append((data["discount"], value)) or {}
    learner.learn(data)
    assert goals[0][1].shape == (64,)


@pytest.mark.parametrize("cls", ALL)
def test_prioritized_replay_gets_the_errors_and_weighs_the_loss(cls):
    learner = agent(cls, prioritized=True, priority_alpha=1.0, batch_size=4)
    fill(learner)
    told = []
    learner.replay.update = lambda row, error: told.append((row.copy(), error.copy()))
    data = {**batch(0), "weight": np.float32([1, 1, 1, 1, 1, 1])}
    goal = []
    plain = learner.learn_critic
    learner.learn_critic = lambda data, value: (
        goal.append(data["reward"] + data["discount"] * value) or plain(data, value)
    )
    q = learner.critic(data["obs"], data["action"]).array
    learner.learn(data)
    ((rows, errors),) = told
    np.testing.assert_array_equal(rows, data["row"])
    np.testing.assert_allclose(errors, abs(q - goal[0]).mean(0), rtol=1e-5)
    del learner.replay.update, learner.learn_critic
    for _ in range(3):
        learner.update()
    assert learner.n_updates > 8


SPACES = {
    "dict": spaces.Dict(a=SEEN, b=spaces.Discrete(3)),
    "tuple": spaces.Tuple((SEEN, spaces.Box(0, 5, (2, 2), np.int64))),
    "image": spaces.Box(0, 255, (1, 36, 36), np.uint8),
    "numbers": spaces.Discrete(4),
    "image and vector": spaces.Dict(a=spaces.Box(0, 255, (36, 36, 3), np.uint8), b=SEEN),
}


@pytest.mark.parametrize("kind", SPACES)
@pytest.mark.parametrize("cls", ALL)
def test_observations_of_any_space(cls, kind):
    from rlcore.envs import SerialEnv
    from rlcore.harness import train
    from tests.harness.exporting import Drawn

    env = SerialEnv(lambda: Drawn(SPACES[kind], BOX), 2, seed=0)
    settings = dict(batch_size=4, learning_starts=2, buffer_size=40, prioritized=kind == "dict", n_step=2)
    learner = cls.from_spaces(env.observation_space, BOX, cls.Config(hidden=(4,), **settings), generator(0))
    before = learner.actor.flat.copy()
    train(learner, env, 8)
    assert learner.n_updates == 6
    assert not np.array_equal(learner.actor.flat, before)
    assert learner.policy()(env.obs).shape == (2, 2)


def test_actions_of_any_shape():
    box = spaces.Box(-1, np.arange(1, 7, dtype=np.float64).reshape(2, 3), dtype=np.float64)
    learner = agent(DDPG, box=box)
    action, extra = learner.act(np.zeros((5, 3), np.float32))
    assert action.shape == (5, 2, 3)
    assert extra["action"].shape == (5, 6)
    assert all(box.contains(a.astype(np.float64)) for a in action)


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(3),
        spaces.MultiBinary(2),
        spaces.Box(-np.inf, np.inf, (2,), np.float32),
        spaces.Box(0, np.inf, (2,), np.float32),
        spaces.Box(0, 9, (2,), np.int64),
        spaces.Dict(a=BOX),
    ],
    ids=str,
)
def test_other_actions_are_refused(cls, space):
    with pytest.raises(
        ValueError, match=f"{cls.__name__} needs a Box of floats with finite bounds as action space, got"
    ):
        agent(cls, box=space)


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(buffer_size=7), "buffer_size 7 is smaller than batch_size 8"),
        (dict(hidden=(0,)), r"hidden\[0\] must be at least 1, got 0"),
        (dict(gradient_steps=-2), "gradient_steps must be at least -1, got -2"),
        (dict(tau=1.5), r"tau must be within \[0, 1\], got 1.5"),
        (dict(max_grad_norm=0.0), "max_grad_norm must be above 0"),
    ],
)
def test_settings_are_checked(cls, change, message):
    with pytest.raises(ValueError, match=message):
        agent(cls, **change)


@pytest.mark.parametrize("given", [(0.1, 0.2, 0.3), ()])
def test_noise_for_other_actions_is_refused(given):
    with pytest.raises(ValueError, match=f"action_noise has {len(given)} numbers and an action 2: give one for all"):
        agent(DDPG, action_noise=given)


def test_a_kind_of_noise_that_is_unknown_is_refused():
    with pytest.raises(ValueError, match="noise_type must be 'normal' or 'ornstein-uhlenbeck', got 'pink'"):
        replace(DDPGConfig(), noise_type="pink")


@pytest.mark.filterwarnings("ignore:an update is left out")
@pytest.mark.parametrize("cls", ALL)
def test_an_update_that_is_not_finite_is_left_out_and_the_third_in_a_row_raises(cls):
    learner, data = agent(cls), batch(0)
    spoiled = {**data, "reward": data["reward"] * np.float32("nan")}
    before = learner.critic.flat.copy()
    assert learner.learn(spoiled) == learner.learn(spoiled) == {}
    assert learner.n_updates == 0
    np.testing.assert_array_equal(learner.critic.flat, before)
    assert learner.learn(data)
    assert sum(descent.skipped for descent in learner.descents()) == 2
    assert not np.array_equal(learner.critic.flat, before)
    learner.learn(spoiled), learner.learn(spoiled)
    with pytest.raises(NonFiniteError) as error:
        learner.learn(spoiled)
    assert np.isnan(error.value.batch["reward"]).all()


@pytest.mark.parametrize("cls", ALL)
def test_gradients_are_clipped_if_asked(cls):
    learner = agent(cls, max_grad_norm=1e-3)
    by_name = {name: descent.optimizer for name, descent in learner.descend.items()}
    learner.learn(batch(0))
    norm = np.sqrt((learner.critic.flat_grad**2).sum())
    assert norm == pytest.approx(1e-3, rel=1e-4)
    assert by_name["critic"] is learner.optimizers["critic"]


@pytest.mark.parametrize("cls", ALL)
def test_the_learning_rate_of_all_networks_follows_its_schedule(cls):
    learner = agent(cls, learning_rate="linear:0.1:0:20")
    fill(learner, 10)
    assert learner.update()["learning_rate"] == pytest.approx(0.05)
    assert {optimizer.learning_rate for optimizer in learner.optimizers.values()} == {learner.config.learning_rate(10)}


@pytest.mark.parametrize("cls", ALL)
def test_one_seed_gives_one_run_and_a_loaded_one_goes_on(cls):
    def grown(learner, rows):
        fill(learner, rows)
        learner.update()
        return learner

    one, two, other = grown(agent(cls), 12), grown(agent(cls), 12), grown(agent(cls, seed=1), 12)
    np.testing.assert_array_equal(one.actor.flat, two.actor.flat)
    assert not np.array_equal(one.actor.flat, other.actor.flat)
    other.load(one.state())
    for link in ("actor", "critic", "target_critic"):
        np.testing.assert_array_equal(getattr(grown(other, 5), link).flat, getattr(grown(one, 5), link).flat)


@pytest.mark.parametrize("cls", ALL)
def test_a_state_of_other_networks_changes_nothing(cls):
    given, other = agent(cls).state(), agent(cls, hidden=(5,))
    before = other.critic.flat.copy()
    with pytest.raises(ValueError, match=r"is \(4, 3\) float32 in the state and \(5, 3\) float32 here"):
        other.load(given)
    np.testing.assert_array_equal(other.critic.flat, before)
