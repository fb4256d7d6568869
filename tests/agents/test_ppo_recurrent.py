"""PPO with a memory: one update against an unrolled loop in float64, what the state follows, minibatches, and state."""

import math
from dataclasses import replace

import numpy as np
import pytest
from gymnasium import spaces

from rlcore.actor_critic import actor_critic
from rlcore.agents import PPO, PPOConfig
from rlcore.agents.on_policy import rollout_columns
from rlcore.autograd.optimizers import SGD
from rlcore.buffers import Rollout
from rlcore.explorers import Schedule
from rlcore.rng import generator
from rlcore.tree import map_, named_leaves
from tests.agents.test_ppo import (
    ACTIONS,
    OBSERVATIONS,
    THREE,
    VECTOR,
    agent,
    batch_of,
    feed,
    random_step,
    same,
    trained,
)
from tests.envs.worlds import through_a_file

SMALL = PPOConfig(
    n_steps=8, batch_size=8, n_epochs=3, learning_rate=Schedule(1e-2), hidden=(8,), ent_coef=0.01,
    lstm_hidden_size=5, sequence_length=4,
)  # fmt: skip
BOX = spaces.Box(-1, 1, (2,), np.float32)


# The update, unrolled in float64; of rlcore only the names of the weights take part


def step_lstm(w, k, x, state):
    """One row through LSTM k."""
    h, c = state
    i, f, a, o = np.split(w[f"/lstms/{k}/W_x"] @ x + w[f"/lstms/{k}/W_h"] @ h + w[f"/lstms/{k}/b"], 4)

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    c = sigmoid(f) * c + sigmoid(i) * np.tanh(a)
    return sigmoid(o) * np.tanh(c), c


def layers(w, part, x):
    """tanh between the layers."""
    numbers = sorted({int(path.split("/")[2]) for path in w if path.startswith(f"/{part}/")})
    for k in numbers:
        x = w[f"/{part}/{k}/W"] @ x + w[f"/{part}/{k}/b"]
        if k != numbers[-1] or part == "body":
            x = np.tanh(x)
    return x


def start(w):
    units = [len(w[path]) // 4 for path in sorted(w) if path.startswith("/lstms") and path.endswith("/b")]
    return [(np.zeros(n), np.zeros(n)) for n in units]


def forward(w, obs, state):
    """The policy's numbers, the value, and the states after one row."""
    x = layers(w, "body", obs)
    state = [step_lstm(w, k, x, state[k]) for k in range(len(state))]
    return layers(w, "policy", state[0][0]), layers(w, "value", state[-1][0])[0], state


def log_prob_entropy(w, kind, out, action):
    if kind == "discrete":
        log_p = out - math.log(np.exp(out).sum())
        return log_p[action], -(np.exp(log_p) * log_p).sum()
    s = w["/head/log_std"]
    log_prob = (-0.5 * ((action - out) / np.exp(s)) ** 2 - s - 0.5 * math.log(2 * math.pi)).sum()
    return log_prob, (s + 0.5 + 0.5 * math.log(2 * math.pi)).sum()


def columns_by_loops(w, kind, seen, config, clip, sequence):
    """For each sequence its rows (obs, action, log_prob, value, advantage, return, valid, cut), and its first state."""
    steps, n = len(seen), len(seen[0][1].reward)
    values, starts = np.zeros((steps, n)), {}
    following, advantage = np.zeros((steps, n)), np.zeros((steps + 1, n))
    for i in range(n):
        state = start(w)
        for t, (obs, step, _) in enumerate(seen):
            if t % sequence == 0:
                starts[t // sequence, i] = state
            _, values[t, i], state = forward(w, obs[i].astype(np.float64), state)
            following[t, i] = forward(w, step.final_obs[i].astype(np.float64), state)[1]
            if step.terminated[i] or step.truncated[i] or not step.valid[i]:
                state = start(w)
    for t in reversed(range(steps)):
        step = seen[t][1]
        for i in range(n):
            if step.valid[i]:
                ended = step.terminated[i] or step.truncated[i]
                # a row goes on to the next one, also if that is no transition
                after = following[t, i] if step.truncated[i] or t == steps - 1 else values[t + 1, i]
                delta = float(step.reward[i]) + config.gamma * (0 if step.terminated[i] else after) - values[t, i]
                advantage[t, i] = delta + config.gamma * config.gae_lambda * (not ended) * advantage[t + 1, i]
    rows = []
    for (c, i), state in sorted(starts.items()):
        part = []
        for t in range(c * sequence, (c + 1) * sequence):
            obs, step, extra = seen[t]
            ret, cut = advantage[t, i] + values[t, i], step.terminated[i] or step.truncated[i] or not step.valid[i]
            part.append(
                (obs[i].astype(np.float64), extra["action"][i], float(extra["log_prob"][i]), advantage[t, i], ret,
                 step.valid[i], cut)
            )  # fmt: skip
        rows.append((part, state))
    return rows


def loss_by_loops(w, kind, minibatch, config, clip):
    total, n = 0.0, sum(row[5] for part, _ in minibatch for row in part)
    chosen = [row[3] for part, _ in minibatch for row in part if row[5]]
    mean = sum(chosen) / n
    deviation = math.sqrt(sum((a - mean) ** 2 for a in chosen) / (n - 1))
    for part, state in minibatch:
        for obs, action, old, a, ret, valid, cut in part:
            out, v, state = forward(w, obs, state)
            if valid:
                log_prob, entropy = log_prob_entropy(w, kind, out, action)
                ratio, a = math.exp(log_prob - old), (a - mean) / (deviation + 1e-8)
                surrogate = min(ratio * a, max(1 - clip, min(1 + clip, ratio)) * a)
                total += (-surrogate - config.ent_coef * entropy + config.vf_coef * (v - ret) ** 2) / n
            if cut:
                state = start(w)
    return total


def gradient_by_differences(f, w, eps=1e-6):
    out = {}
    for path, array in w.items():
        g = out[path] = np.zeros_like(array)
        for at in np.ndindex(array.shape):
            before = array[at]
            array[at] = before + eps
            up = f()
            array[at] = before - eps
            g[at] = (up - f()) / (2 * eps)
            array[at] = before
    return out


@pytest.mark.parametrize(("kind", "share"), [("discrete", False), ("continuous", True)])
def test_an_update_is_the_papers_unrolled(kind, share):
    """Ends, cuts and dummies inside the sequences, whose states come from those before them."""
    config = replace(SMALL, batch_size=6, sequence_length=3, n_steps=6, n_epochs=2, hidden=(3,), lstm_hidden_size=2)
    config, rng = replace(config, max_grad_norm=0.7, learning_rate=Schedule(0.5), share_layers=share), generator(3)
    space = THREE if kind == "discrete" else BOX
    how = dict(ortho_init=False, share_layers=share, lstm_hidden_size=2, rng=rng)
    model = actor_critic(VECTOR, space, config.hidden, **how)
    learner = PPO(model, SGD(0.1), Rollout(config.n_steps, rollout_columns(VECTOR, model)), config, rng)
    for p in model.params():  # so that the state matters
        p.array = p.array * 2
    w = {path.replace("/body/1/", "/body/0/"): p.array.astype(np.float64) for path, p in model.namedparams()}
    before = {path: a.copy() for path, a in w.items()}
    shuffles = generator(0)
    shuffles.bit_generator.state = learner.rngs["learning"].bit_generator.state
    seen, stats = feed(learner, config.n_steps, 10, ends=0.4, invalid=0.2)
    assert stats[-1]["n_updates"] == 2
    steps = [step for _, step, _ in seen[:-1]]
    assert all(any(getattr(s, name).any() for s in steps) for name in ("terminated", "truncated"))
    assert any((~s.valid).any() for s in steps)
    sequences = columns_by_loops(w, kind, seen, config, 0.2, 3)
    assert len(sequences) == 6
    for _ in range(config.n_epochs):
        order = shuffles.permutation(6)
        for at in range(0, 6, 2):
            minibatch = [sequences[k] for k in order[at : at + 2]]
            g = gradient_by_differences(lambda m=minibatch: loss_by_loops(w, kind, m, config, 0.2), w)
            norm = math.sqrt(sum((x**2).sum() for x in g.values()))
            for path, x in g.items():
                w[path] -= 0.5 * min(1.0, config.max_grad_norm / norm) * x
    for path, p in model.namedparams():
        path = path.replace("/body/1/", "/body/0/")
        moved = np.abs(p.array - before[path]).max()
        np.testing.assert_allclose(p.array - before[path], w[path] - before[path], rtol=3e-3, atol=3e-6, err_msg=path)
        assert moved > 1e-4, path


@pytest.mark.parametrize("more", [{}, {"share_layers": True}, {"use_sde": True}])
def test_the_first_minibatch_has_ratio_one(more):
    """Whatever the rollout: the states at the sequences' starts are those of acting."""
    config = replace(SMALL, n_steps=16, batch_size=16, n_epochs=1, **more)
    learner, seen = agent(config, action_space=BOX if more.get("use_sde") else THREE), []
    learn = learner.learn
    learner.learn = lambda batch: seen.append(learn(batch)) or seen[-1]
    feed(learner, 32, 1, n=4)
    assert len(seen) == 8
    for k in (0, 4):
        assert seen[k]["approx_kl"] == pytest.approx(0, abs=2e-6)
        assert seen[k]["clip_fraction"] == 0
        assert seen[k]["policy_gradient_loss"] == pytest.approx(0, abs=3e-6)
        assert seen[k + 1]["approx_kl"] > 4e-6


def test_the_state_goes_on_between_rows_and_begins_anew_with_an_episode():
    """Row by row the policy acts as one that is given the same episode by itself."""
    learner = agent(replace(SMALL, n_steps=64))
    rng, n = generator(4), 3
    obs, episodes = batch_of(VECTOR, n, rng), [[] for _ in range(n)]
    for _ in range(40):
        _, extra = learner.act(obs)
        step = random_step(VECTOR, n, rng)
        learner.observe(obs, extra["action"], step, extra)
        for i in range(n):
            episodes[i].append(obs[i])
            h = learner.model.initial(1)
            for row in episodes[i][:-1]:
                _, h = learner.acting_model.distribution(row[None], h)
            expected = map_(lambda v: np.asarray(getattr(v, "array", v)), h)
            np.testing.assert_allclose(extra["h"][0][0][i], expected[0][0][0], rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(extra["h"][1][1][i], expected[1][1][0], rtol=1e-4, atol=1e-6)
            if step.ended[i] or not step.valid[i]:
                episodes[i] = []
        obs = step.obs


def test_a_dummy_row_leaks_nothing_into_the_next_episode():
    """Whatever such a row shows changes neither the actions after it nor a weight."""
    one, two = agent(SMALL), agent(SMALL)
    probabilities = []
    for learner, shown in ((one, 0.0), (two, 1e3)):
        rng = generator(0)
        obs, told = batch_of(VECTOR, 3, rng), []
        for t in range(8):
            action, extra = learner.act(obs)
            told.append(np.delete(extra["log_prob"], [0, 1]) if t in (3, 6) else extra["log_prob"])
            step = random_step(VECTOR, 3, rng, invalid=0, ends=0)
            if t in (2, 5):  # NEXT_STEP: the end, then a row without a transition, and a new episode
                step.terminated[:2] = True
                step.obs[:2] = shown
            step = step._replace(valid=np.array([t not in (3, 6)] * 2 + [True]))
            learner.observe(obs, action, step, extra)
            learner.update()
            obs = step.obs
        probabilities.append(np.concatenate(told))
    np.testing.assert_array_equal(*probabilities)
    np.testing.assert_array_equal(one.model.flat, two.model.flat)
    assert one.n_updates == 3


def test_values_of_successors_take_the_state_after_the_row():
    learner = agent(SMALL)
    obs = batch_of(VECTOR, 2, generator(0))
    _, extra = learner.act(obs)
    after = learner.memory.h
    step = random_step(VECTOR, 2, generator(1), ends=0, invalid=0)
    step.truncated[1] = True
    learner.observe(obs, extra["action"], step, extra)
    value, _ = learner.acting_model.values(step.final_obs, after)
    np.testing.assert_allclose(learner.rollout.columns["final_value"][0], [0, value.array[1]], rtol=1e-6)
    assert np.abs(value.array[1] - learner.acting_model.values(step.final_obs, learner.memory.h)[0].array[1]) > 1e-3
    assert not learner.memory.h[0][0][1].any()
    assert learner.memory.h[0][0][0].any()


def test_minibatches_are_sequences_each_once_an_epoch():
    learner, seen = agent(replace(SMALL, batch_size=20)), []
    learner.learn = lambda batch: seen.append(batch) or {}
    feed(learner, 8, 0, invalid=0)
    assert [batch["reset"].shape for batch in seen] == [(4, 5), (4, 1)] * 3
    assert [len(batch["value"]) for batch in seen] == [20, 4] * 3
    for epoch in range(3):
        rows = np.concatenate([batch["obs"].reshape(-1, 3) for batch in seen[2 * epoch : 2 * epoch + 2]])
        assert len(np.unique(rows, axis=0)) == 24
    # a column is one stream's steps in a row: its log_probs are those of acting, in the order of time
    kept = learner.rollout.columns["log_prob"]
    for s in range(5):
        part = seen[0]["log_prob"].reshape(4, 5)[:, s]
        assert any(np.array_equal(part, kept[t : t + 4, i]) for t in (0, 4) for i in range(3))


@pytest.mark.parametrize(
    ("space", "action_space"), [*[(s, THREE) for s in OBSERVATIONS], *[(VECTOR, a) for a in ACTIONS]]
)
@pytest.mark.parametrize("more", [{}, {"clip_range_vf": 0.2, "target_kl": 10.0, "share_layers": True}])
def test_spaces_of_each_kind_are_learned_from(space, action_space, more):
    config = replace(SMALL, n_steps=4, n_epochs=1, **more)
    learner = agent(config, observation_space=space, action_space=action_space)
    before = {path: p.array.copy() for path, p in learner.model.namedparams()}
    stats = feed(learner, 4, 0, space=space)[1][-1]
    assert np.isfinite(stats["loss"])
    for path, p in learner.model.namedparams():
        assert not np.array_equal(p.array, before[path]), path


def test_masked_actions_of_dummy_rows_may_all_be_forbidden():
    """Such a row has no action, so that nothing need be allowed in it: it is left out before the distribution."""
    space = spaces.Dict({"action_mask": spaces.MultiBinary(3), "obs": VECTOR})
    learner = agent(SMALL, observation_space=space)
    feed(learner, 7, 0, space=space, n=2)
    learner.rollout.columns["obs"]["action_mask"][3, 1] = 0
    learner.rollout.columns["valid"][3, 1] = False
    assert np.isfinite(feed(learner, 1, 1, space=space, n=2)[1][-1]["loss"])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"batch_size": 10}, "batch_size 10 is no whole number of sequences of sequence_length 4"),
        ({"n_steps": 10}, "n_steps 10 is no whole number of sequences of sequence_length 4"),
    ],
)
def test_sequences_that_do_not_fit_are_refused(more, message):
    with pytest.raises(ValueError, match=message):
        agent(replace(SMALL, **more))
    agent(replace(SMALL, **more, lstm_hidden_size=None))


def test_another_number_of_streams_is_refused_before_anything_changes():
    learner = agent(SMALL)
    feed(learner, 3, 0, n=3)
    before = learner.memory.h
    with pytest.raises(ValueError, match="observations of 2 streams, but the recurrent state is that of 3"):
        learner.act(batch_of(VECTOR, 2, generator(0)))
    assert learner.memory.h is before


def test_a_policy_remembers_for_itself():
    learner = agent(SMALL)
    for p in learner.model.params():
        p.array = p.array * 5
    obs = [batch_of(VECTOR, 4, generator(k)) for k in range(6)]
    before, policy, other = learner.memory.h, learner.policy(), learner.policy()
    first = [policy(o) for o in obs]
    assert learner.memory.h is before
    policy.reset()
    np.testing.assert_array_equal(first, [policy(o) for o in obs])
    # streams 0 and 2 begin anew
    for o in obs[:3]:
        other(o)
    other.reset(np.array([True, False, True, False]))
    mixed = [other(o) for o in obs]
    np.testing.assert_array_equal(np.array(mixed)[:, [0, 2]], np.array(first)[:, [0, 2]])
    h = learner.model.initial(1)
    for o in [*obs[:3], *obs]:
        distribution, h = learner.acting_model.distribution(o[1:2], map_(lambda v: getattr(v, "array", v), h))
    assert mixed[-1][1] == distribution.mode.array[0]
    drawn = learner.policy(False, generator(1))
    assert any((drawn(o) != f).any() for o, f in zip(obs, first))


@pytest.mark.parametrize("more", [{}, {"use_sde": True, "sde_sample_freq": 3}])
@pytest.mark.parametrize("stop", [0, 3, 8, 13])
def test_a_loaded_agent_goes_on_bit_for_bit(stop, more):
    """From the middle of a rollout and of a sequence, with the states of both."""
    config, space = replace(SMALL, **more), BOX if more else THREE

    def new(seed):
        return agent(config, seed, action_space=space)

    whole, state = trained(21, new(5)), through_a_file(trained(stop, new(5)).state())
    other = trained(5, new(9))
    other.load(state)
    same(trained(21, other).state(), whole.state())
    if stop:
        assert dict(named_leaves(state["memory"]))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: s.pop("memory"), "differs in memory"),
        (lambda s: s["memory"].pop("starts"), "a memory has h and starts"),
        (lambda s: s["memory"].update(h=s["memory"]["h"][:1]), "recurrent state of 1 arrays, expected 4"),
        (lambda s: s["memory"]["h"].__setitem__(0, np.zeros((3, 4), np.float32)), r"expected float32 \(3, 5\)"),
        (lambda s: s["memory"]["starts"].append(s["memory"]["h"][:3]), "recurrent state of 3 arrays, expected 4"),
    ],
)
def test_a_broken_state_changes_nothing(spoil, message):
    given, other = through_a_file(trained(10, agent(SMALL)).state()), trained(12, agent(SMALL, 9))
    before = through_a_file(other.state())
    spoil(given)
    with pytest.raises(ValueError, match=message):
        other.load(given)
    same(other.state(), before)
