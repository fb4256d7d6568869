"""What agents that learn from their newest rows share: rollouts with values, advantages by hand, and their cuts."""

from types import SimpleNamespace

import numpy as np
import pytest

from rlcore.actor_critic import ActorCritic, head_of
from rlcore.agents.descent import Descent
from rlcore.agents.on_policy import OnPolicy, rollout_columns
from rlcore.autograd import Link
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.autograd.optimizers import SGD
from rlcore.buffers import Rollout
from rlcore.rng import generator
from rlcore.stream import Step
from rlcore.tree import named_leaves
from tests.envs.worlds import through_a_file


class Same(Link):
    def forward(self, x):
        return F.identity(x)


def one_number(space):
    """A model whose value of an observation is its only number, and whose two actions are equally likely."""
    value = L.Linear(1, 1, initialW=np.ones((1, 1), np.float32))
    return ActorCritic(Same(), L.Linear(1, 2, initialW=np.zeros((2, 1), np.float32)), value, head_of(space))


class Collecting(OnPolicy):
    """Keeps the rows that it should learn from."""

    from_spaces = None

    def __init__(self, n_steps=3, gamma=0.5, lam=0.5, seed=0):
        from gymnasium import spaces

        model = one_number(spaces.Discrete(2, start=5))
        columns = rollout_columns(spaces.Box(-100, 100, (1,), np.float32), model)
        config = SimpleNamespace(n_steps=n_steps, gamma=gamma, gae_lambda=lam)
        super().__init__(model, Descent(model, SGD(), 1.0), Rollout(n_steps, columns), config, generator(seed))
        self.seen, self.refused = [], False

    def check_streams(self, n):
        if self.refused:
            raise ValueError("no")

    def begin(self):
        assert self.rollout.full
        return {"learning_rate": 0.5}

    def learn_from(self, rows):
        self.n_updates += 1
        self.seen.append(rows)
        return {"loss": 7.0} | self.explained(rows)


def column(*numbers):
    return np.array(numbers, np.float32)[:, None]


def see(agent, obs, reward, after, terminated=(), truncated=(), invalid=(), final=None):
    """One step: observations and what followed; which streams end, are cut, are no transition."""
    n = len(obs)
    flags = [np.isin(np.arange(n), streams) for streams in (terminated, truncated, invalid)]
    action, extra = agent.act(column(*obs))
    after = column(*after)
    final = after if final is None else column(*final)
    step = Step(after, np.array(reward, np.float32), flags[0], flags[1], final, ~flags[2], {})
    agent.observe(column(*obs), action, step, extra)
    return agent.update()


def test_advantages_and_returns_by_hand():
    """gamma and lambda 1/2. Stream 0 terminates in its second row, stream 1 is cut there, stream 2 goes on."""
    agent = Collecting()
    assert see(agent, [8, 8, 8], [1, 1, 1], [4, 4, 4]) == {}
    assert see(agent, [4, 4, 4], [2, 2, 2], [16, 16, 6], [0], [1], final=[99, 6, 6]) == {}
    stats = see(agent, [16, 16, 6], [3, 3, 3], [10, 10, 10])
    (rows,) = agent.seen
    np.testing.assert_array_equal(rows["obs"][:, 0], [8, 8, 8, 4, 4, 4, 16, 16, 6])
    np.testing.assert_array_equal(rows["value"], rows["obs"][:, 0])
    last = [3 + 5 - 16, 3 + 5 - 16, 3 + 5 - 6]
    middle = [2 - 4, 2 + 3 - 4, 2 + 3 - 4 + last[2] / 4]
    first = [1 + 2 - 8 + middle[i] / 4 for i in range(3)]
    np.testing.assert_allclose(rows["advantage"], [*first, *middle, *last])
    np.testing.assert_allclose(rows["return"], rows["advantage"] + rows["value"])
    np.testing.assert_allclose(rows["log_prob"], np.log(0.5), rtol=1e-6)
    spread = 1 - rows["advantage"].var() / rows["return"].var()
    assert stats == {"loss": 7.0, "learning_rate": 0.5, "explained_variance": pytest.approx(spread), "n_updates": 1}
    assert (agent.t, agent.n_updates, len(agent.rollout)) == (9, 1, 0)


def test_the_last_row_counts_its_own_successor_also_where_it_is_cut():
    agent = Collecting(n_steps=1, gamma=0.5)
    see(agent, [8, 8, 8], [1, 1, 1], [50, 50, 4], [0], [1], final=[70, 6, 4])
    np.testing.assert_allclose(agent.seen[0]["advantage"], [1 - 8, 1 + 3 - 8, 1 + 2 - 8])


def test_rows_that_are_no_transitions_are_left_out_and_cut_the_stream():
    agent = Collecting(lam=1.0)
    see(agent, [8, 8], [1, 1], [4, 4])
    see(agent, [4, 4], [1e6, 2], [16, 2], invalid=[0])
    see(agent, [16, 2], [3, 3], [10, 10])
    rows = agent.seen[0]
    np.testing.assert_array_equal(rows["obs"][:, 0], [8, 8, 4, 16, 2])
    last, other = 3 + 5 - 2, 3 + 5 - 16
    middle = 2 + 1 - 4 + last / 2
    np.testing.assert_allclose(rows["advantage"], [1 + 2 - 8, 1 + 2 - 8 + middle / 2, middle, other, last])


def test_a_rollout_without_any_transition_is_forgotten():
    agent = Collecting(n_steps=2)
    for _ in range(2):
        assert see(agent, [8, 8], [1, 1], [4, 4], invalid=[0, 1]) == {}
    assert (agent.t, agent.n_updates, len(agent.rollout), agent.seen) == (4, 0, 0, [])


def test_what_was_left_out_is_counted():
    agent = Collecting(n_steps=1)
    agent.descend.skipped = 3
    stats = see(agent, [8], [1], [4])
    assert stats["faults/nonfinite_update"] == 3
    assert "explained_variance" not in stats  # one return has no variance


def test_the_environment_gets_its_action_and_the_loss_the_distributions():
    agent = Collecting()
    action, extra = agent.act(np.zeros((500, 1), np.float32))
    np.testing.assert_array_equal(action, extra["action"] + 5)
    assert set(action.tolist()) == {5, 6}
    assert set(extra) == {"action", "log_prob"}


def test_acting_learning_and_other_policies_draw_from_generators_of_their_own():
    agent, obs = Collecting(), np.zeros((50, 1), np.float32)
    before = through_a_file(agent.state()["rngs"])
    agent.policy()(obs)
    agent.policy(deterministic=False, rng=generator(3))(obs)
    assert agent.state()["rngs"] == before
    agent.policy(deterministic=False)(obs)
    assert [name for name, state in agent.state()["rngs"].items() if state != before[name]] == ["policy"]
    agent.act(obs)
    assert agent.state()["rngs"]["learning"] == before["learning"]
    assert agent.state()["rngs"]["acting"] != before["acting"]


def test_streams_come_all_at_once():
    agent = Collecting()
    step = Step(column(1), np.ones(1, np.float32), *np.zeros((2, 1), bool), column(1), np.ones(1, bool), {})
    with pytest.raises(ValueError, match="Collecting takes all its streams in one call, got stream=1"):
        agent.observe(column(1), np.array([5]), step, {}, stream=1)
    see(agent, [8, 8], [1, 1], [4, 4])
    with pytest.raises(ValueError, match="2 streams, which all come in one call; got 3"):
        see(agent, [8, 8, 8], [1, 1, 1], [4, 4, 4])
    assert (agent.t, len(agent.rollout)) == (2, 1)


def test_a_number_of_streams_that_is_refused_changes_nothing():
    agent = Collecting()
    agent.refused = True
    with pytest.raises(ValueError, match="no"):
        see(agent, [8], [1], [4])
    assert (agent.t, len(agent.rollout)) == (0, 0)


@pytest.mark.parametrize("stop", [1, 2, 4])
def test_a_loaded_agent_goes_on_from_the_middle_of_a_rollout(stop):
    def go(agent, first, last):
        for t in range(first, last):
            see(agent, [t, 2 * t], [1, -t], [t + 1, 2 * t + 2], terminated=[1] if t == 3 else [])
        return agent

    whole = go(Collecting(), 0, 6)
    other = go(Collecting(seed=9), 0, 2)
    other.load(through_a_file(go(Collecting(), 0, stop).state()))
    assert other.n_updates == stop // 3
    go(other, stop, 6)
    for (path, a), (_, b) in zip(named_leaves(whole.seen[-1]), named_leaves(other.seen[-1])):
        np.testing.assert_array_equal(a, b, err_msg=path)
    assert other.state()["rngs"] == whole.state()["rngs"]
