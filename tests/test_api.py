"""Run, the short form: train, predict, save, load, resume; and what it refuses."""

import json
import multiprocessing
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import rlcore
from rlcore import api
from rlcore.agents import A3C, DQN, DRQN, algorithm, name_of
from rlcore.envs import SerialEnv
from rlcore.envs.toy import Chain, HashChain
from rlcore.explorers import Schedule
from rlcore.harness import RunFolder, load_state, newest_state, train
from rlcore.harness.checkpoint import load_parts
from rlcore.rng import generator
from tests.autograd import device

QUICK = dict(learning_starts=50, update_every=4, gradient_steps=1, batch_size=8, hidden=(8,), buffer_size=500)


def quick(env="CartPole-v1", **settings):
    return rlcore.DQN(env, **{**QUICK, **settings})


def test_the_short_form_trains_and_predicts():
    run = quick(seed=1, n_envs=2, learning_rate=1e-2, epsilon="linear:1:0.1:100").learn(200)
    assert run.t == run.agent.t == 200
    assert run.agent.n_updates == 200 // 4 - 50 // 4
    assert run.config.learning_rate == Schedule(1e-2)
    assert run.config.epsilon == Schedule(1, 0.1, 100)
    action, state = run.predict(np.zeros(4))
    assert state is None
    assert action in run.env.action_space
    batch, _ = run.predict(np.zeros((3, 4), np.float32))
    assert batch.tolist() == [action] * 3
    assert {int(run.predict(np.zeros(4), deterministic=False)[0]) for _ in range(200)} == {0, 1}
    assert run.evaluate(3).shape == (3,)
    assert run.learn(100).t == 300


def test_predict_takes_and_gives_the_state_of_a_policy_that_remembers():
    run = api.Run(DRQN, None, "CartPole-v1", seed=0, **QUICK)
    policy, seen, state = run.agent.policy(), generator(0).normal(size=(6, 2, 4)).astype(np.float32), None
    for t, obs in enumerate(seen):
        start = np.array([t == 3, False])
        policy.reset(start)
        action, after = run.predict(obs, state, start)
        assert action.tolist() == policy(obs).tolist()
        np.testing.assert_array_equal(after, policy.state)
        if t:
            kept = [h.copy() for h in state]
            run.predict(obs, state, [True, True])
            np.testing.assert_array_equal(state, kept)  # what was given is not written to
        state = after
    action, state = run.predict(seen[0, 0])
    assert action in run.env.action_space
    assert [h.shape for h in state] == [(1, 64)] * 2
    np.testing.assert_array_equal(run.predict(seen[1, 0], state, True)[1], run.predict(seen[1, 0])[1])
    for wrong, message in (
        ((state[0], state[0][:, :3]), r"recurrent state: column h/1: expected float32 \(1, 64\), got float32 \(1, 3\)"),
        (state[0], "recurrent state: column h/0: expected .*, got no array"),
        (7, "got no array"),
    ):
        with pytest.raises(ValueError, match=message):
            run.predict(seen[1, 0], wrong)
    with pytest.raises(ValueError, match="observations of 2 streams, but the recurrent state is that of 1"):
        run.predict(seen[1], state)
    with pytest.raises(ValueError, match=r"a mask of the 1 streams, \(1,\), got \(2,\)"):
        run.predict(seen[1, 0], state, [True, False])


def test_double_dqn_has_a_short_form_too():
    assert type(rlcore.DoubleDQN("CartPole-v1", **QUICK).learn(60).agent).__name__ == "DoubleDQN"


def test_environments_are_made_of_ids_callables_and_vector_envs():
    assert quick(lambda: Chain(3)).learn(20).env.observation_space.shape == (4,)
    assert quick(SerialEnv(lambda: Chain(3), n_envs=3)).learn(21).t == 21
    vector = gymnasium.make_vec("CartPole-v1", num_envs=2, vectorization_mode="sync")
    assert quick(vector).learn(60).t == 60
    with pytest.raises(ValueError, match="to evaluate, give the environment as an id or a callable"):
        quick(SerialEnv(lambda: Chain(3))).evaluate()


def test_one_environment_is_not_trained_and_evaluated_at_once():
    env = Chain(3)
    with pytest.raises(ValueError, match="gave the environment of the training again"):
        quick(lambda: env).evaluate(1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: quick("CartPol-v1"), "unknown environment id 'CartPol-v1'; did you mean CartPole-v1"),
        (lambda: quick("Pendulum-v1"), "DQN needs a Discrete action space, got Box"),
        (lambda: quick(learning_rat=1), "DQN has no setting 'learning_rat'; did you mean learning_rate"),
        (lambda: quick(train_freq=1), r"DQN has no setting 'train_freq'; did you mean update_every\?"),
        (lambda: quick(gamma="high"), "gamma takes float, got 'high'"),
        (lambda: quick(learning_rate="fast"), "learning_rate: 'fast' is no schedule"),
        (lambda: quick(eval_every=0), "eval_every must be at least 1"),
        (lambda: quick(n_envs=0), "n_envs must be at least 1, got 0"),
        (lambda: quick(seed=-1), "seed must not be negative, got -1"),
        (
            lambda: rlcore.PPO("CartPole-v1", n_envs=3, n_steps=8, batch_size=25),
            "batch_size 25 is more than the 24 rows of an update",
        ),
        (lambda: quick().learn(-1), "steps must not be negative, got -1"),
        (lambda: quick(seed="0"), "seed takes a whole number, got '0'"),
        (lambda: quick(n_envs=1.5), "n_envs takes a whole number, got 1.5"),
        (lambda: quick().learn(50.5), "steps takes a whole number, got 50.5"),
        (lambda: quick().evaluate("all"), "episodes takes a whole number, got 'all'"),
        (lambda: quick().evaluate(0), "evaluate: episodes must be at least 1, got 0"),
        (lambda: quick(SerialEnv(lambda: Chain(3)), n_envs=2), "the vector environment has n_envs 1, not 2"),
        (lambda: quick(SerialEnv(lambda: Chain(3)), seed=2), "the vector environment has seed 0, not 2"),
        (lambda: quick(gymnasium.make_vec("CartPole-v1", 2), n_envs=3), "the vector environment has n_envs 2, not 3"),
        (lambda: quick(SerialEnv(lambda: Chain(3)), folder="never"), "to evaluate, give the environment as an id"),
        (lambda: quick(gymnasium.make("CartPole-v1")), "expected an id, a callable .* or a vector env"),
        (lambda: quick().predict(np.zeros(5)), r"an observation of shape \(5,\); expected \(4,\) or \(N, \*\(4,\)\)"),
        (lambda: quick().predict(np.array(["a"])), "an observation of dtype <U1; expected float32"),
    ],
)
def test_bad_input_is_refused_in_one_message(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


class Nested(gymnasium.Env):
    """Ends at once; the two parts of its observations have as many axes as each other's batches."""

    observation_space = spaces.Tuple((spaces.Discrete(3), spaces.Dict({"x": spaces.Box(-1, 1, (2,))})))
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return (1, {"x": np.zeros(2, np.float32)}), {}

    def step(self, action):
        return self.reset()[0], 0.0, True, False, {}


def test_predict_takes_one_nested_observation_or_a_batch():
    run = rlcore.PPO(Nested, n_envs=3, n_steps=4, batch_size=4)
    for one in [(1, {"x": np.ones(2)}), [1, {"x": [1, 1]}], Nested().reset()[0]]:
        action, state = run.predict(one)
        assert (np.shape(action), state) == ((), None)
        assert action in run.env.action_space
    assert run.predict((np.array([1, 2]), {"x": np.ones((2, 2))}))[0].shape == (2,)
    assert run.predict(run.env.reset())[0].shape == (3,)
    for wrong, words in [
        ({"x": 1}, r"an observation that is a dict, .* promises a tuple of \[0, 1\]"),
        ((1, {"y": 1}), r"an observation\[1\] that is a dict of \['y'\]"),
        ((1, {"x": np.ones(3)}), r"an observation\[1\]\['x'\] of shape \(3,\); expected \(2,\)"),
        ((1.5, {"x": np.ones(2)}), r"an observation\[0\] of dtype float64; expected int64"),
        ((1, {"x": np.ones((2, 2))}), r"have shapes \(\), \(2, 2\)"),
        ((np.array([1, 2, 0]), {"x": np.ones((2, 2))}), r"have shapes \(3,\), \(2, 2\)"),
    ]:
        with pytest.raises(ValueError, match=f"predict: .*{words}"):
            run.predict(wrong)


def test_a_vector_env_without_a_known_auto_reset_mode_is_refused():
    vector = gymnasium.make_vec("CartPole-v1", num_envs=2, vectorization_mode="sync")
    del vector.metadata["autoreset_mode"]
    with pytest.raises(ValueError, match=r"metadata\['autoreset_mode'\] is None"):
        quick(vector)


def test_seed_and_n_envs_may_come_from_a_vector_env_or_numpy():
    run = quick(SerialEnv(lambda: Chain(3), n_envs=2, seed=7))
    assert (run.seed, run.env.n_envs) == (7, 2)
    assert json.loads(json.dumps(quick(seed=np.int64(3), n_envs=np.int32(2)).header()))["seed"] == 3


class Interrupt:
    """A function that raises at its n-th call."""

    def __init__(self, function, n):
        self.function, self.left = function, n

    def __call__(self, *args):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return self.function(*args)


@pytest.mark.parametrize("when", ["act", "step", "second env", "update", "hook"])
@pytest.mark.parametrize("after", [1, 7])
def test_an_interrupted_run_goes_on(when, after, monkeypatch):
    """In rows and successors: HashChain's law holds for all that is in the replay."""
    run = quick(SerialEnv(HashChain, n_envs=2), n_step=1)
    hooks = []
    if when in ("act", "update"):
        monkeypatch.setattr(run.agent, when, Interrupt(getattr(run.agent, when), after))
    if when == "hook":
        hooks = [Interrupt(lambda *args: None, after)]
    if when in ("step", "second env"):
        env = run.env.envs[when == "second env"]
        monkeypatch.setattr(env.unwrapped, "step", Interrupt(env.unwrapped.step, after))
    with pytest.raises(KeyboardInterrupt):
        run.learn(100, hooks)
    assert run.t == run.agent.t == 2 * after - 2 * (when in ("act", "step", "second env"))
    numbers = run.env.state()["numbers"]
    run.learn(100)
    assert run.t == run.agent.t
    if run.t > 100:  # it has not begun anew
        assert run.env.state()["numbers"] != [0, 1]
        assert all(now >= then for now, then in zip(run.env.state()["numbers"], numbers))
    batch = run.agent.replay.sample(2_000)
    one = batch["discount"] > 0
    assert one.any()
    np.testing.assert_array_equal(batch["obs"][one, 0], batch["next_obs"][one, 0])  # of one episode
    np.testing.assert_array_equal(HashChain.after(batch["obs"], batch["action"])[one], batch["next_obs"][one])


def test_a_used_agent_is_not_trained_from_row_0():
    run = quick().learn(7)
    with pytest.raises(ValueError, match=r"the agent has seen 7 rows; go on with t=7, or train a new agent"):
        train(run.agent, run.env, 20)
    assert train(run.agent, run.env, 20, t=7) == 20


def test_a_saved_run_goes_on_bit_for_bit(tmp_path):
    run = quick(seed=2).learn(300)
    run.save(tmp_path / "saved")
    other = rlcore.Run.load(tmp_path / "saved")
    assert (other.t, other.seed, other.config) == (300, 2, run.config)
    np.testing.assert_array_equal(other.learn(200).agent.q.flat, run.learn(200).agent.q.flat)
    with pytest.raises(ValueError, match=r"saved exists; choose another folder"):
        run.save(tmp_path / "saved")


def test_what_was_saved_is_not_loaded_into_another_environment(tmp_path):
    quick().learn(20).save(tmp_path / "saved")
    with pytest.raises(ValueError, match=r"observation_space Box\(.*\(4,\), float32\), this one has Box\(.*\(6,\)"):
        rlcore.Run.load(tmp_path / "saved", env=lambda: Chain(5))
    quick(lambda: Chain(3)).learn(20).save(tmp_path / "chain")
    with pytest.raises(ValueError, match="the environment was not made from a Gymnasium id; give env="):
        rlcore.Run.load(tmp_path / "chain")
    assert rlcore.Run.load(tmp_path / "chain", env=lambda: Chain(3)).t == 20


def test_a_damaged_file_is_refused(tmp_path):
    quick().learn(20).save(tmp_path / "saved")
    path = tmp_path / "saved" / "tensors.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 4
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"tensors\.safetensors is damaged"):
        rlcore.Run.load(tmp_path / "saved")


def test_a_folder_keeps_the_run(tmp_path):
    folder = tmp_path / "run"
    run = quick(folder=folder, eval_every=200, eval_episodes=2, checkpoint_every=100, log_every=100, keep=2).learn(250)
    assert json.loads((folder / "config.json").read_text())["agent"]["hidden"] == [8]
    assert [p.name for p in sorted((folder / "checkpoints").iterdir())] == ["step-000000000200", "step-000000000250"]
    rows = (folder / "scores.tsv").read_text().splitlines()
    assert rows[0].split("\t") == ["steps", "episodes", "elapsed", "mean", "median", "stdev", "max", "min"]
    assert rows[1].split("\t")[0] == "200"
    assert (folder / "best" / "state.json").exists()
    again = rlcore.Run.read(folder)
    np.testing.assert_array_equal(again.agent.q.flat, run.agent.q.flat)
    assert again.t == 250
    with pytest.raises(ValueError, match="run exists; choose another folder"):
        quick(folder=folder)
    with pytest.raises(ValueError, match=r"no run folder: it has no config\.json"):
        rlcore.Run.read(tmp_path)


def test_a_checkpoint_of_another_run_is_refused_before_anything_changes(tmp_path):
    folder = tmp_path / "run"
    quick(folder=folder, checkpoint_every=100, eval_every=1_000).learn(100)
    config = json.loads((folder / "config.json").read_text())
    config["agent"]["hidden"] = [9]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"the checkpoint is of a run with agent\.hidden \[8\], this one has \[9\]"):
        rlcore.Run.resume(folder)


def test_only_known_algorithms_are_loaded(tmp_path):
    run = quick().learn(20)
    run.header = lambda: {**api.Run.header(run), "algorithm": "os.system"}
    run.save(tmp_path / "saved")
    with pytest.raises(ValueError, match=r"unknown algorithm 'os.system'; known are dqn"):
        rlcore.Run.load(tmp_path / "saved")


def test_a_run_goes_on_on_another_device(tmp_path, monkeypatch):
    with monkeypatch.context() as there:
        device.install(there)
        run = quick(folder=tmp_path / "run", device="gpu", eval_every=40, checkpoint_every=40).learn(100)
        assert isinstance(run.agent.actor.flat_state, device.Array)
        weights, returns = run.agent.actor.flat_state.get(), run.evaluate(3)
        action, _ = run.predict(np.zeros(4, np.float32))
        run.save(tmp_path / "saved")
    for here in (rlcore.Run.load(tmp_path / "saved"), rlcore.Run.resume(tmp_path / "run", steps=140)):
        np.testing.assert_array_equal(here.agent.actor.flat_state, weights)
        np.testing.assert_array_equal(here.evaluate(3), returns)
        assert here.predict(np.zeros(4, np.float32))[0] == action
    here.learn(40)
    with monkeypatch.context() as there:
        device.install(there)
        run = rlcore.Run.resume(tmp_path / "run", steps=180, device="gpu").learn(40)
        assert run.t == 180


def no_gpu(array):
    raise RuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")


def test_devices_that_are_not_there(monkeypatch):
    with pytest.raises(ValueError, match=r"gpu needs CuPy .*rlcore\[cuda12\]"):
        quick(device="gpu")
    with monkeypatch.context() as there:
        device.install(there)
        there.setattr(sys.modules["cupy"], "asarray", no_gpu)
        with pytest.raises(ValueError, match="no CUDA-capable device is detected"):
            quick(device="gpu")
    with pytest.raises(ValueError, match="expected 'cpu', 'gpu', 'gpu:1'"):
        quick(device="tpu")
    with pytest.raises(ValueError, match="A3C's workers share parameters in the host's memory"):
        api.Run(A3C, device="gpu")


class Mine(DQN):
    """An agent of the user's."""


def test_an_agent_of_the_users_is_loaded_by_its_class(tmp_path):
    folder = tmp_path / "run"
    run = api.Run(Mine, folder=folder, **QUICK).learn(60)
    run.save(tmp_path / "saved")
    with pytest.raises(ValueError, match=r"unknown algorithm 'Mine'; known are .*; or give agent_class="):
        rlcore.Run.load(tmp_path / "saved")
    with pytest.raises(ValueError, match=r"saved is of algorithm 'Mine', agent_class is 'dqn'"):
        rlcore.Run.load(tmp_path / "saved", agent_class=DQN)
    runs = (
        rlcore.Run.load(tmp_path / "saved", agent_class=Mine),
        rlcore.Run.read(folder, agent_class=Mine),
        rlcore.Run.resume(folder, agent_class=Mine),
    )
    for other in runs:
        assert (type(other.agent), other.t) == (Mine, 60)
        np.testing.assert_array_equal(other.agent.q.flat, run.agent.q.flat)
    runs[-1].learn(1)


def test_a_checkpoint_is_loaded_as_a_save_is(tmp_path):
    run = quick(folder=tmp_path / "run", eval_every=30, eval_episodes=1).learn(60)
    (path,) = (tmp_path / "run" / "checkpoints").iterdir()
    other = rlcore.Run.load(path)
    assert other.t == 60
    np.testing.assert_array_equal(other.agent.q.flat, run.agent.q.flat)
    with pytest.raises(ValueError, match=r"best is a saved state, but no checkpoint of a run"):
        rlcore.Run.load(tmp_path / "run" / "best")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": None}, r"config\.json: 'seed' is None, which no run has"),
        ({"agent": [1]}, r"config\.json: 'agent' is \[1\]"),
        ({"n_envs": True}, "'n_envs' is True"),
        ("algorithm", r"config\.json is of no run: it has no 'algorithm'"),
        ("monitor", "it has no 'monitor'"),
    ],
)
def test_a_damaged_header_is_refused(tmp_path, change, message):
    folder = tmp_path / "run"
    quick(folder=folder, eval_every=1_000).learn(20)
    header = json.loads((folder / "config.json").read_text())
    header = {k: v for k, v in header.items() if k != change} if isinstance(change, str) else {**header, **change}
    (folder / "config.json").write_text(json.dumps(header))
    for call in (rlcore.Run.read, rlcore.Run.resume):
        with pytest.raises(ValueError, match=message):
            call(folder)
    RunFolder.open(folder).close()  # nobody holds it


def test_a_file_imports_no_module(tmp_path, monkeypatch):
    (tmp_path / "rlcore_trap.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    run = quick(folder=tmp_path / "run", eval_every=1_000).learn(20)
    header = {**api.Run.header(run), "env": "rlcore_trap:CartPole-v1"}
    run.header = lambda: header
    run.save(tmp_path / "saved")
    (tmp_path / "run" / "config.json").write_text(json.dumps({**header, "steps": 20}))
    for call, path in ((rlcore.Run.load, "saved"), (rlcore.Run.read, "run"), (rlcore.Run.resume, "run")):
        with pytest.raises(ValueError, match="names the environment 'rlcore_trap:CartPole-v1', but no file may import"):
            call(tmp_path / path)
    assert rlcore.Run.load(tmp_path / "saved", env="CartPole-v1").t == 20
    monkeypatch.setitem(sys.modules, "rlcore_trap", sys)  # imported by the user
    assert rlcore.Run.load(tmp_path / "saved").t == 20


def test_a_start_that_fails_leaves_nothing(tmp_path):
    made = []

    def make():
        made.append(Chain(3) if len(made) < 2 else made[0])
        return made[-1]

    run = quick(make, folder=tmp_path / "run")
    for _ in range(2):
        with pytest.raises(ValueError, match="make gave the same environment twice"):
            run.learn(10)
        assert not (tmp_path / "run").exists()
    run = quick(folder=tmp_path / "run", seed=np.int64(3), eval_every=1_000).learn(10)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["seed"] == 3


def test_a_run_that_a_hook_ends_is_not_finished(tmp_path):
    run = quick(folder=tmp_path / "run", eval_every=1_000)
    run.learn(50, hooks=[lambda t, step, stats: t == 20])
    assert run.t == 20
    assert not (tmp_path / "run" / "finished").exists()
    assert newest_state(tmp_path / "run" / "checkpoints")[1]["t"] == 20
    assert run.learn(30).t == 50
    assert (tmp_path / "run" / "finished").exists()


def test_a_run_of_no_steps_has_a_checkpoint(tmp_path):
    quick(folder=tmp_path / "run").learn(0)
    assert rlcore.Run.read(tmp_path / "run").t == 0
    assert rlcore.Run.resume(tmp_path / "run").learn(10).t == 10


def test_a_state_that_the_environment_refuses_changes_no_agent(tmp_path):
    quick(folder=tmp_path / "run", eval_every=1_000).learn(60)
    run = quick(seed=1)
    parts = newest_state(tmp_path / "run" / "checkpoints")[1]["parts"]
    parts["env"]["n_envs"] = 2
    before = run.agent.q.flat.copy()
    with pytest.raises(ValueError, match="with n_envs 2, here it is 1"):
        load_parts({"agent": run.agent, "env": run.env}, parts)
    assert run.agent.q.flat.tobytes() == before.tobytes()
    assert run.agent.t == 0


def test_seeds_decide_everything():
    one, two, other = (quick(seed=s).learn(150).agent.q.flat for s in (5, 5, 6))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


def test_names_of_the_package():
    assert rlcore.Run is api.Run
    rlcore.seed(3)
    with pytest.raises(AttributeError, match="has no attribute 'PPOO'"):
        rlcore.PPOO  # noqa: B018
    assert name_of(DQN) == "dqn"
    assert algorithm("dqn", None, "here") is DQN
    with pytest.raises(ValueError, match="unknown algorithm 'ppoo'"):
        algorithm("ppoo", None, "here")


def test_films_of_evaluations(tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    pytest.importorskip("pygame")
    run = quick(folder=tmp_path / "run", eval_every=50, eval_episodes=2, video_every=2)
    run.learn(200)
    films = sorted(path.name for path in (tmp_path / "run" / "videos").iterdir())
    assert films == ["step-000000000050-0.mp4", "step-000000000150-0.mp4"]
    run.close()


def test_films_that_cannot_be_made_leave_no_folder(tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    run = api.Run(DQN, env=lambda: gymnasium.make("CartPole-v1"), folder=tmp_path / "run", video_every=1)
    with pytest.raises(ValueError, match='make the environment with render_mode="rgb_array"'):
        run.learn(10)
    assert list(tmp_path.iterdir()) == []


def test_what_an_update_failed_on_is_kept(tmp_path, monkeypatch):
    run = quick(folder=tmp_path / "run", epsilon=1.0)
    run.learn(100)
    run.agent.q.flat[...] = np.nan
    with (
        pytest.warns(RuntimeWarning, match="an update is left out"),
        pytest.raises(FloatingPointError, match=r"lower the learning rate.*; what it learned from is kept in .*faults"),
    ):
        run.learn(100)
    (kept,) = (tmp_path / "run" / "faults").iterdir()
    assert load_state(kept)["batch"]["obs"].shape == (QUICK["batch_size"], 4)
    assert not (tmp_path / "run" / "finished").exists() or run.t < 200


def test_settings_of_monitoring_reach_the_recorder(tmp_path):
    run = quick(folder=tmp_path / "run", tags="cleanrl", histograms_every=50, log_every=50).learn(100)
    recorder = run._recorder
    assert (recorder.tags, recorder.histograms_every, recorder.model) == ("cleanrl", 50, run.agent.q)
    assert recorder.hyperparameters["agent"]["batch_size"] == 8
    assert "charts/episodic_return" in (tmp_path / "run" / "scalars.jsonl").read_text()


def test_a_closed_run_leaves_no_process():
    run = quick(vector="process", n_envs=2).learn(40)
    assert run.evaluate(1).shape == (1,)
    run.close()
    assert multiprocessing.active_children() == []
