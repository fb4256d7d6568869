"""Runs of several ranks: what they record and save is that of one run."""

import json
import signal

import numpy as np
import pytest

import rlcore
from rlcore import A2C, DQN, PPO, Run
from rlcore.agents import A2C as A2CAgent
from rlcore.agents import DQN as DQNAgent
from rlcore.agents import PPO as PPOAgent
from rlcore.agents.descent import NonFiniteError
from rlcore.envs.make import EnvConfig
from rlcore.harness import RunFolder, load_state
from rlcore.harness.signals import Interrupted
from rlcore.parallel.local import run_processes, run_threads
from rlcore.ranks import RankRun, act_for, mode_of, own_seed, place_of

SMALL = {"hidden": (8,), "eval_episodes": 2, "eval_every": 64, "checkpoint_every": 64, "log_every": 32}
PPO_SMALL = SMALL | {"n_steps": 16, "batch_size": 16, "n_epochs": 1}


def data(comm, folder, steps, more=None):
    """A PPO run of all ranks, gone on with up to `more` rows; its parameters and rows."""
    rlcore.seed(comm.rank)
    run = RankRun(*place_of(comm, PPOAgent), PPOAgent, None, "CartPole-v1", 3, 2, **PPO_SMALL)
    if more is None:
        run.record_in(folder if comm.rank == 0 else "elsewhere")
    else:
        run.go_on(RunFolder.open(folder) if run.leads else None, more)
    run.learn((more or steps) - run.t)
    run.close()
    return run.agent.model.flat.copy(), run.t, run.folder


def test_ranks_that_learn_as_one_keep_one_run(tmp_path):
    ranks = run_processes(2, data, tmp_path / "run", 128)
    assert [t for _, t, _ in ranks] == [128, 128]
    assert [folder for *_, folder in ranks] == [tmp_path / "run"] * 2
    assert np.array_equal(ranks[0][0], ranks[1][0])
    scores = (tmp_path / "run" / "scores.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in scores] == ["steps", "64", "128"]
    saves = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert saves == [f"step-{t:012d}{part}" for t in (64, 128) for part in ("", ".rank-1")]
    assert json.loads((tmp_path / "run" / "config.json").read_text())["seed"] == 3
    assert Run.read(tmp_path / "run").agent.t == 128  # as that of one process
    lines = [json.loads(line) for line in (tmp_path / "run" / "scalars.jsonl").read_text().splitlines()]
    assert [line["t"] for line in lines if "eval/mean_reward" in line] == [64, 128]
    assert sum("time/fps" in line for line in lines) == 4  # every 32 rows, of rank 0 alone


def test_ranks_go_on_bit_for_bit(tmp_path):
    whole = run_processes(2, data, tmp_path / "whole", 192)
    run_processes(2, data, tmp_path / "parts", 128)
    parts = run_processes(2, data, tmp_path / "parts", 128, 192)
    assert np.array_equal(whole[0][0], parts[0][0])
    assert np.array_equal(whole[1][0], parts[1][0])


def signalled(comm, folder):
    """How each rank leaves when the second alone is signalled."""
    run = RankRun(*place_of(comm, PPOAgent), PPOAgent, None, "CartPole-v1", 3, 2, **PPO_SMALL)
    run.record_in(folder)
    try:
        run.learn(6_400, [lambda *step: comm.rank == 1 and run.t == 16 and signal.raise_signal(signal.SIGUSR1)])
    except Interrupted as left:
        return left.code, left.finished, run.t
    finally:
        run.close()


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="the platform has no SIGUSR1")
def test_a_signal_to_one_rank_is_one_to_all(tmp_path):
    first, second = run_processes(2, signalled, tmp_path / "run")
    assert first == second == (75, False, 32)  # the row at which they next tell each other
    assert not (tmp_path / "run" / "finished").exists()


def not_finite(comm, folder):
    def fails(t, step, stats):
        if t == 32:
            raise NonFiniteError(f"the loss of rank {comm.rank} is nan", {"rank": np.array([comm.rank])})

    run = RankRun(*place_of(comm, PPOAgent), PPOAgent, None, "CartPole-v1", 3, 2, **PPO_SMALL)
    run.record_in(folder)
    with pytest.raises(NonFiniteError, match=f"the loss of rank {comm.rank} is nan; what it learned from is kept"):
        run.learn(64, [fails])
    run.close()


def test_each_rank_keeps_what_its_update_failed_on(tmp_path):
    run_processes(2, not_finite, tmp_path / "run")
    for rank, part in enumerate(("", ".rank-1")):
        kept = load_state(tmp_path / "run" / "faults" / f"step-{32:012d}{part}")
        assert kept["batch"]["rank"] == [rank]


def refused(comm, folder):
    run = RankRun(*place_of(comm, A2CAgent), A2CAgent, None, "CartPole-v1", 0, 1, hidden=(4,))
    with pytest.raises(ValueError, match="exists; choose another folder"):
        run.record_in(folder)
    return True


def test_a_folder_that_exists_is_refused_on_all_ranks(tmp_path):
    assert run_processes(2, refused, tmp_path) == [True, True]


def actors(comm, folder, steps, learners):
    rlcore.seed(comm.rank)
    config = DQNAgent.Config(
        hidden=(8,), update_every=1, gradient_steps=1, learning_starts=8, batch_size=8, buffer_size=500
    )
    place = place_of(comm, DQNAgent, "auto", learners)
    if place is None:
        return act_for(comm, DQNAgent, config, "CartPole-v1", 0, 2, EnvConfig(), learners)
    run = RankRun(*place, DQNAgent, config, "CartPole-v1", 0, 2, **{k: v for k, v in SMALL.items() if k != "hidden"})
    run.record_in(folder)
    run.learn(steps)
    run.close()
    return run.agent.t, run.agent.n_updates, run.agent.q.flat.copy()


@pytest.mark.parametrize(("ranks", "learners"), [(3, 1), (4, 2)])
def test_learners_keep_one_run_of_what_actors_act(tmp_path, ranks, learners):
    results = run_processes(ranks, actors, tmp_path / "run", 300, learners)
    for t, n_updates, flat in results[:learners]:
        assert t >= 300
        assert n_updates == t - 8  # one a row, from learning_starts on
        assert np.array_equal(flat, results[0][2])
    assert all(rows > 0 for rows in results[learners:])
    lines = [json.loads(line) for line in (tmp_path / "run" / "scalars.jsonl").read_text().splitlines()]
    assert any("parallel/policy_lag" in line for line in lines)
    assert any("rollout/ep_rew_mean" in line for line in lines)
    assert Run.read(tmp_path / "run").agent.n_updates == results[0][1]


def test_one_process_is_as_before():
    assert mode_of(DQNAgent, "auto") == "actors"
    assert mode_of(PPOAgent, "auto") == "data"
    assert mode_of(rlcore.agents.APPO, "auto") == "actors"
    assert mode_of(DQNAgent, "data") == "data"
    assert all(callable(short) for short in (A2C, DQN, PPO))


def test_ranks_have_seeds_of_their_own():
    found = run_threads(3, lambda comm: own_seed(7, comm))
    assert found[0] == 7
    assert len(set(found)) == 3
