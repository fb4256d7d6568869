"""Hogwild: real processes that learn on one buffer, what ends them, and what they tell."""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from rlcore.agents.a3c import A3C, A3CConfig
from rlcore.agents.descent import NonFiniteError
from rlcore.autograd import links as L
from rlcore.envs import SerialEnv
from rlcore.envs.layout import size
from rlcore.envs.make import EnvConfig
from rlcore.fields import Schedule
from rlcore.harness import evaluate, train
from rlcore.parallel import hogwild as module
from rlcore.parallel import hogwild_worker
from rlcore.parallel.hogwild import alone, hogwild, loop_of, own_share, summary
from rlcore.parallel.hogwild_worker import LINE, MANY, Clerk, Job, Report, Shared, plan_of
from rlcore.rng import generator
from rlcore.stream import Step
from tests.parallel import players


@pytest.fixture(autouse=True)
def nothing_is_left():
    """No process, and no shared memory."""
    before = mapped()
    yield
    assert multiprocessing.active_children() == []
    assert mapped() <= before


def mapped() -> set[str]:
    shm = Path("/dev/shm")
    return {path.name for path in shm.iterdir()} if shm.is_dir() else set()


def new(make=players.chain, seed=0, **settings):
    return players.agent(make(0), generator(seed), **settings)


def flat(agent):
    return agent.model.flat.copy()


class Diary:
    """A hook that keeps what it is told."""

    def __init__(self, stop_at=np.inf):
        self.turns, self.stop_at = [], stop_at

    def __call__(self, t, step, stats):
        self.turns.append((t, len(step.reward), step.info.get("episode"), stats))
        return t >= self.stop_at

    @property
    def episodes(self):
        found = [episodes for _, _, episodes, _ in self.turns if episodes is not None]
        return [np.concatenate(column) for column in zip(*found)]


def test_two_workers_write_into_one_buffer():
    """Each sees a number of its own, so that of the first weights only those of two numbers can move."""
    agent, diary = new(players.marked), Diary()
    weights = next(iter(agent.model.policy.params()))
    before = weights.array.copy()
    t = hogwild(agent, players.agent, players.marked, 3_000, 2, [diary], seed=3)
    moved = (weights.array != before).any(0)
    assert np.count_nonzero(moved) == 2
    assert t == 3_000
    assert agent.t == t == diary.turns[-1][0] == sum(rows for _, rows, _, _ in diary.turns)
    assert agent.n_updates in (t // 5, t // 5 - 1)  # a rollout of each may be unfinished
    streams, returns, lengths = diary.episodes
    assert set(streams.tolist()) == {0, 1}
    assert (returns == 10).all()
    assert (lengths == 10).all()
    assert len(streams) == sum(np.count_nonzero(streams == w) for w in (0, 1))
    assert t // 10 - 1 <= len(streams) <= t // 10
    assert diary.turns[-1][3]["n_updates"] == agent.n_updates


@pytest.mark.slow
def test_one_worker_learns_alike_whatever_the_hooks_do():
    """An evaluation sees copies, and takes no worker's time: parameters and the optimizer's state, bit for bit."""
    ends = []
    for evaluated in (False, True):
        agent, returns = new(), []

        def look(t, step, stats, agent=agent, returns=returns, evaluated=evaluated):
            if evaluated:
                returns.append(evaluate(agent.policy(), players.chain(9), 2))

        assert hogwild(agent, players.agent, players.chain, 400, 1, [look], seed=5) == 400
        assert bool(returns) == evaluated
        ends.append((flat(agent).tobytes(), agent.optimizer.state()["ms"].tobytes(), agent.n_updates))
    assert ends[0] == ends[1]
    assert ends[0][2] == 80


@pytest.mark.slow
def test_it_goes_on_and_a_hook_ends_it():
    agent, diary = new(), Diary()
    agent.t, agent.n_updates = 1_000, 7
    middle = Diary(stop_at=1_000)  # at the first turn
    t = hogwild(agent, players.agent, players.chain, 10**9, 1, [middle, diary], t=1_000, seed=1)
    assert 1_000 < t < 10**6
    assert [turn[0] for turn in diary.turns] == [turn[0] for turn in middle.turns]
    assert agent.t == t
    assert agent.n_updates == 7 + (t - 1_000) // 5
    with pytest.raises(ValueError, match=f"the agent has seen {t} rows; go on with t={t}, or train a new agent"):
        hogwild(agent, players.agent, players.chain, 10**9, 2)
    assert hogwild(agent, players.agent, players.chain, t, 2, t=t) == t  # nothing is left to do
    assert hogwild(agent, players.agent, players.chain, t + 1, 2, t=t) == t + 1


@pytest.mark.parametrize(
    ("make_env", "kind", "message"),
    [
        pytest.param(*case, id=name, marks=[] if name in ("raises", "is killed") else [pytest.mark.slow])
        for name, case in {
            "raises": (
                partial(players.failing, players.boom), RuntimeError, r"(?s)^worker 0: .*in boom.*the cat is out",
            ),
            "is killed": (
                partial(players.failing, players.die), RuntimeError, r"worker 0 \(process \d+\) was killed by SIGKILL",
            ),
            "hangs": (
                partial(players.failing, players.hang), RuntimeError, r"not come further for 0\.5 s.*in row 29 of its",
            ),
            "hangs at start": (
                players.never_ready, RuntimeError, r"has not answered in time \(.* 0\.5\) before it was ready; if",
            ),
            "cannot start": (players.unhappy, ValueError, "^worker 0: no such world$"),
        }.items()
    ],
)  # fmt: skip
def test_what_befalls_a_worker_ends_the_run(monkeypatch, make_env, kind, message):
    monkeypatch.setattr(module, "START_S", 1.5 if make_env is players.never_ready else 60)
    with pytest.raises(kind, match=message):
        hogwild(new(), players.agent, make_env, 10**6, 1, timeout_s=0.5)


@pytest.mark.slow
def test_updates_that_fail_end_the_run_with_what_they_failed_on():
    with pytest.raises(
        NonFiniteError, match="worker 0: 3 updates in a row had a loss or gradient that is NaN"
    ) as caught:
        hogwild(new(), players.agent, players.rich, 10**6, 1)
    assert (caught.value.batch["reward"] > 9e37).all()
    assert caught.value.batch["obs"].shape[:2] == (5, 1)


# in this process
def shared_by_two():
    config = replace(players.CONFIG, learning_rate=Schedule(1e-2, 0.0, 200))
    agents = [new(seed=seed, config=config) for seed in (0, 1)]
    plan = plan_of(agents[0], 2)
    buffer = bytearray(size(plan))
    boards = [Shared(agent, plan, buffer) for agent in agents]
    boards[0].give()
    for board in boards:
        board.join()
    return agents, boards, plan


class Wire:
    """A connection that keeps what is sent."""

    def __init__(self):
        self.read, self.write = os.pipe()
        self.sent = []

    def fileno(self):
        return self.write

    def send(self, value):
        os.read(self.read, 1)
        self.sent.append(value)


def step_of(episodes=None):
    info = {} if episodes is None else {"episode": tuple(map(np.array, zip(*episodes)))}
    no = np.zeros(1, bool)
    return Step(None, np.zeros(1, np.float32), no, no, None, ~no, info)


def test_agents_learn_from_copies_and_step_what_is_shared():
    (one, two), boards, _ = shared_by_two()
    assert flat(one).tobytes() == flat(two).tobytes()
    train(one, players.chain(0), 5)
    assert flat(one).tobytes() != flat(two).tobytes()
    assert boards[1].vectors[0][0].tobytes() == flat(one).tobytes()
    train(two, players.chain(1), 5)
    assert flat(two).tobytes() == boards[0].vectors[0][0].tobytes() != flat(one).tobytes()
    assert one.optimizer.state()["ms"] is two.optimizer.state()["ms"] or (
        one.optimizer.state()["ms"].tobytes() == two.optimizer.state()["ms"].tobytes()
    )
    third = new(seed=2)
    Shared(third, plan_of(third, 2), bytearray(size(plan_of(third, 2)))).take()  # zeros
    assert not flat(third).any()


def test_counts_lie_in_lines_of_their_own_and_are_whole():
    _, (one, two), plan = shared_by_two()
    assert plan["counts"].shape == (2, LINE)
    one.rows[0], two.rows[1], two.updates[1] = 2**40 + 1, 2**50 + 3, 5
    assert list(two.rows) == [2**40 + 1, 2**50 + 3]
    assert list(one.updates) == [0, 5]
    assert one.counts.ctypes.data % 64 == two.counts.ctypes.data % 64


def test_a_worker_reports_when_it_has_been_heard():
    (agent, _), (board, other), plan = shared_by_two()
    wire = Wire()
    job = Job(players.agent, players.chain, plan, 0, 0, 100, 10**6)
    clerk = Clerk(agent, players.chain(0), wire, board, job)
    agent.n_updates = 1
    assert not clerk(101, step_of(), {"loss": np.array(2.0, np.float32)})
    assert wire.sent == [Report({"loss": (2.0, 1)})]
    assert not clerk(102, step_of([(0, 3.0, 4)]), {"loss": 4.0, "x": 1})
    assert not clerk(103, step_of(), {"loss": 6.0})
    assert len(wire.sent) == 1  # nobody has heard the first one
    other.heard[0] = 1
    other.rows[1] = 2  # of another worker
    assert not clerk(104, step_of(), {})
    assert wire.sent[1].sums == {"loss": (10.0, 2), "x": (1.0, 1)}
    assert [column.tolist() for column in wire.sent[1].episodes] == [[0], [3.0], [4]]
    assert agent.t == 106
    assert agent.begin()["learning_rate"] == pytest.approx(1e-2 * (1 - 106 / 200))  # by the rows of all
    assert list(board.rows) == [4, 2]
    other.stop[0] = 1
    assert clerk(104, step_of(), {})
    job = job._replace(steps=10**6, number=1)
    assert Clerk(agent, players.chain(0), wire, board, job)(101, step_of([(0, 1.0, 2)]), {})
    assert wire.sent[2].episodes[0].tolist() == [1]  # its streams come behind the first worker's


def test_the_first_worker_makes_the_last_rows_when_the_others_have_left(monkeypatch):
    (one, two), (board, other), plan = shared_by_two()
    jobs = [Job(players.agent, players.chain, plan, w, 0, 100, 110) for w in (0, 1)]
    first, second = (
        Clerk(agent, players.chain(w), Wire(), shared, jobs[w])
        for w, (agent, shared) in enumerate(((one, board), (two, other)))
    )
    assert not second(103, step_of(), {})
    assert not first(104, step_of(), {})  # 7 rows of 10: each may make one more
    slept = []

    def sleep(seconds):
        """Meanwhile the other one makes a row, and leaves at its next look."""
        slept.append(seconds)
        if len(slept) == 1:
            other.rows[1] = 4
        assert second.over()
        other.left[1] = 1

    monkeypatch.setattr(hogwild_worker, "sleep", sleep)
    assert not first(105, step_of(), {})
    assert len(slept) == 1
    assert one.t == 109
    assert first(106, step_of(), {})
    assert one.t == 110


def test_reports_are_short_and_the_last_one_says_so():
    (agent, _), (board, _), plan = shared_by_two()
    wire = Wire()
    clerk = Clerk(agent, players.chain(0), wire, board, Job(players.agent, players.chain, plan, 0, 0, 0, 10**9))
    clerk(1, step_of([(0, float(k), k) for k in range(2 * MANY + 1)]), {})
    clerk.report(last=True)
    assert [len(report.episodes[0]) for report in wire.sent] == [MANY, MANY, 1]
    assert [report.last for report in wire.sent] == [False, False, True]
    assert np.concatenate([report.episodes[2] for report in wire.sent]).tolist() == list(range(2 * MANY + 1))


def test_a_summary_tells_rows_and_episodes():
    one = Report(episodes=(np.array([0, 1]), np.array([1.0, 2.0]), np.array([3, 4])))
    step = summary(7, [one, Report(), Report(episodes=(np.array([5]), np.array([6.0]), np.array([7])))])
    assert (len(step.reward), len(step.ended), len(step.valid)) == (7, 7, 7)
    assert [column.tolist() for column in step.info["episode"]] == [[0, 1, 5], [1.0, 2.0, 6.0], [3, 4, 7]]
    assert summary(0, []).info == {}


def test_what_cannot_be_done_is_refused_before_anything_starts():
    agent = new()
    for workers, steps in ((0, 10), (2, -1)):
        with pytest.raises(ValueError, match=f"at least 1 and steps at least 0, got {workers} and {steps}"):
            hogwild(agent, players.agent, players.chain, steps, workers)
    with pytest.raises(ValueError, match=r"(?s)hogwild: make_env, .*cannot be sent to another process.*no lambda"):
        hogwild(agent, players.agent, lambda seed: players.chain(seed), 10, 2)
    adam = new(config=A3CConfig(use_rms_prop=False))
    with pytest.raises(ValueError, match="Adam counts its steps, which processes cannot share; RMSprop and SGD do not"):
        hogwild(adam, players.agent, players.chain, 10, 2)
    agent.model.norm = L.BatchNormalization(3)
    with pytest.raises(ValueError, match="has moments, of batch normalization say"):
        hogwild(agent, players.agent, players.chain, 10, 2)


# of runs
def test_workers_are_those_that_learn_or_those_that_step():
    two, stepping = EnvConfig(workers=2), EnvConfig(workers=2, vector="process")
    assert not alone(A3C, two)
    assert own_share(A3C, two) == EnvConfig()
    assert alone(A3C, EnvConfig(workers=1))
    assert own_share(A3C, EnvConfig(workers=1)) == EnvConfig()
    for cls, config in ((A3C, stepping), (A3C, EnvConfig())):
        assert alone(cls, config)
        assert own_share(cls, config) == config
        assert loop_of(new(), CONFIG, "CartPole-v1", 1, 0, config) is train


CONFIG = A3CConfig()


@pytest.mark.parametrize(
    ("env", "settings", "message"),
    [
        (lambda: None, {}, "workers 2: env, .*cannot be sent to another process"),
        (SerialEnv("CartPole-v1"), {}, "workers 2: each makes environments of its own; give an id or a callable"),
        ("CartPole-v1", {"normalize_obs": True}, "workers 2: normalize_obs and normalize_reward learn from what one"),
        (
            "CartPole-v1",
            {"normalize_reward": True},
            "workers 2: normalize_obs and normalize_reward learn from what one",
        ),
    ],
)
def test_runs_that_several_processes_cannot_do_are_refused(env, settings, message):
    with pytest.raises(ValueError, match=message):
        loop_of(new(), CONFIG, env, 1, 0, EnvConfig(workers=2, **settings))
