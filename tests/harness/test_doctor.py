"""The doctor finds the fault of an environment that has one, and none in one that is sound."""

import re

import gymnasium
import pytest

from rlcore.harness import doctor
from rlcore.harness.doctor import audit
from tests.harness import patients

TOPICS = [
    "observation space", "action space", "running", "observations", "finite numbers", "buffers", "seeding",
    "determinism", "global generators", "episodes", "reward scale", "observation scale", "resume", "rendering", "speed",
    "Gymnasium's check",
]  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(doctor, "TIMED", 20)


def sick(found):
    return {f.topic: f.verdict for f in found if f.verdict != "ok"}


@pytest.mark.parametrize("env", ["CartPole-v1", patients.Sound, patients.TwoDifferent])
def test_a_sound_environment_has_no_finding(env):
    found = audit(env, steps=400)
    assert sick(found) == {}
    assert [f.topic for f in found] == [t for t in TOPICS if t in {f.topic for f in found}]
    assert len(found) == len(TOPICS)


@pytest.mark.parametrize(
    ("name", "topic", "verdict", "words"),
    [
        ("Strings", "spaces", "problem", "observations of Text"),
        ("OutOfBounds", "observations", "problem", r"element \[1\] is 3.0, outside \[-2.0, 2.0\], in step 7 of ep"),
        ("NestedOutside", "observations", "problem", r"observation\['b'\]\[0\] 2, which is not in Discrete\(2\)"),
        ("WrongShape", "observations", "problem", r"shape \(1,\) float32, .* promises \(2,\) float32"),
        ("Doubles", "observations", "warning", "of type float64, where the space says float32"),
        ("NotANumber", "finite numbers", "problem", "an observation that is not finite in step 7 of episode 0 .and"),
        ("InfiniteReward", "finite numbers", "problem", "the reward inf in step 7 of episode 0"),
        ("Raises", "running", "problem", "step 10 of episode 0 raised ZeroDivisionError: of mine"),
        ("NoSeed", "running", "problem", r"reset\(\) of episode 0 raised TypeError"),
        ("Reuses", "buffers", "warning", r"overwritten in step 1 of episode 0 \(and [\d,]+ more\); rlcore copies"),
        ("IgnoresSeed", "seeding", "problem", r"reset\(seed=s\) begins two episodes differently"),
        ("Moody", "determinism", "problem", "something else from row 2 on"),
        ("Remembers", "determinism", "warning", r"outlives reset\(\): played again, episodes differ from row 1 on"),
        ("AlwaysTheSame", "seeding", "warning", "seeds make no difference"),
        ("GlobalNumpy", "global generators", "warning", "it draws from NumPy's global generator, or seeds it"),
        ("GlobalPython", "global generators", "warning", "it draws from Python's random, or seeds it"),
        ("NeverEnds", "episodes", "problem", "has not ended after 4,000 steps; there is no time limit: it may"),
        ("SaysTerminated", "episodes", "warning", "8 ended, of 50 to 50 steps: 8 by term.*a time limit that says"),
        ("LargeRewards", "reward scale", "warning", "large: -.* to 1..*; mean return"),
        ("SmallRewards", "reward scale", "warning", "small: "),
        ("Sparse", "reward scale", "warning", "no reward but 0 in 400 random steps"),
        ("LargeObservations", "observation scale", "warning", r"element \d of the observation is .* \+- \d"),
        ("UnevenObservations", "observation scale", "warning", "vary up to [19]...?.? times as much as others"),
        ("Unbounded", "action space", "problem", "is not bounded"),
        ("Wide", "action space", "warning", r"Box\(-2.0, 2.0, \(2,\), float32\) is not \[-1, 1\]"),
        ("FromOne", "action space", "warning", "does not start at 0"),
        ("BadInfo", "Gymnasium's check", "problem", "info"),
    ],
)  # fmt: skip
def test_a_fault_is_found_and_no_other(name, topic, verdict, words):
    """Gymnasium's check may speak of it, too: that depends on its version."""
    found = audit(getattr(patients, name), steps=400)
    assert sick(found).pop(topic) == verdict
    assert sick(found).keys() - {"Gymnasium's check"} == {topic} - {"Gymnasium's check"}
    (one,) = [f for f in found if f.topic == topic]
    assert re.search(words, one.text), one.text
    assert one.remedy


def test_what_cannot_be_run_is_not_timed():
    topics = [f.topic for f in audit(patients.NotANumber, steps=50)]
    assert "resume" not in topics
    assert "speed" not in topics
    assert "Gymnasium's check" in topics


@pytest.fixture
def registered():
    names = {name: f"{name}-v0" for name in ("NoPicture", "CannotDraw", "Draws", "Sound")}
    for name, id_ in names.items():
        gymnasium.register(id_, f"tests.harness.patients:{name}", max_episode_steps=40)
    yield names
    for id_ in names.values():
        del gymnasium.registry[id_]


@pytest.mark.parametrize(
    ("name", "verdict", "words"),
    [
        ("NoPicture", "warning", r"render\(\) gave \(3, 4, 3\) float64, not a uint8 array"),
        ("CannotDraw", "warning", "RuntimeError: no screen"),
        ("Draws", "ok", "frames of 4 x 3"),
        ("Sound", "ok", "render modes are none: no videos"),
    ],
)
def test_rendering(registered, name, verdict, words):
    found = audit(registered[name], steps=200)
    (one,) = [f for f in found if f.topic == "rendering"]
    assert (one.verdict, bool(one.remedy)) == (verdict, verdict != "ok")
    assert re.search(words, one.text), one.text
    assert sick(found) == ({} if verdict == "ok" else {"rendering": verdict})
    (episodes,) = [f for f in found if f.topic == "episodes"]
    assert "a time limit cuts after 40 steps" in episodes.text


def test_the_kind_of_resume_is_said():
    from tests.envs.worlds import Hidden

    said = {
        name: {f.topic: f for f in audit(env, 200)}["resume"]
        for name, env in (("own", patients.Sound), ("replay", Hidden))
    }
    assert said["own"].text == "exact: its own state is saved"
    assert said["replay"].text == "exact: the running episode is replayed from its seed and actions"


def test_terminated_and_truncated_at_once_is_said():
    class Both(patients.Sound):
        def step(self, action):
            obs, reward, _, cut, info = super().step(action)
            return obs, reward, cut, cut, info

    (one,) = [f for f in audit(Both, steps=400) if f.topic == "episodes"]
    assert (one.verdict, one.text.rpartition("; ")[2]) == ("ok", "8 were both at once, which counts as terminated")


def test_the_doctor_leaves_the_environments_space_and_the_global_generators_alone():
    from rlcore.harness.walks import global_states

    before = global_states()
    patients.Sound.action_space.seed(3)
    expected = patients.Sound.action_space.sample()
    patients.Sound.action_space.seed(3)
    audit(patients.Sound, steps=100)
    assert patients.Sound.action_space.sample() == expected
    assert global_states() == before


def test_slow_steps_are_said_to_pay_in_worker_processes(monkeypatch):
    monkeypatch.setattr(doctor, "SLOW", 0.0)
    (one,) = [f for f in audit(patients.Sound, steps=50) if f.topic == "speed"]
    assert one.text.endswith("several in worker processes (--vector process) would pay")


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        audit("CartPole-v1", steps=0)
    with pytest.raises(ValueError, match="unknown environment id 'CartPol-v1'; did you mean CartPole"):
        audit("CartPol-v1")


def test_a_long_episode_is_waited_for():
    class Long(patients.Sound):
        def step(self, action):
            obs, reward, _, _, info = super().step(action)
            return obs, reward, self.t == 450, False, info

    (one,) = [f for f in audit(Long, steps=100) if f.topic == "episodes"]
    words = "a random one ended after 450 steps; there is no time limit: those of a policy may never end"
    assert (one.verdict, one.text) == ("warning", words)


def test_atari_has_a_limit_of_its_own():
    pytest.importorskip("ale_py")
    (one,) = [f for f in audit("ALE/Pong-v5", steps=20) if f.topic == "episodes"]
    assert (one.verdict, one.text) == (
        "ok",
        "no episode ended in 20 random steps; a time limit cuts after 27,000 steps",
    )


def test_an_error_in_a_check_is_a_finding():
    class Grudging(patients.NeverEnds):
        """Refuses its fifth reset: four walks were made, and one more to wait for an end."""

        resets = 0

        def reset(self, *, seed=None, options=None):
            type(self).resets += 1
            if type(self).resets == 5:
                raise OSError("enough")
            return super().reset(seed=seed)

    found = audit(Grudging, steps=20)
    assert sick(found) == {"episodes": "problem"}
    assert [f.text for f in found if f.topic == "episodes"] == ["OSError: enough"]
