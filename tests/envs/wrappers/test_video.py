import warnings

import numpy as np
import pytest

from rlcore.envs import SerialEnv
from rlcore.envs.toy import HashChain
from rlcore.envs.wrappers import RecordVideo, innermost, twin
from rlcore.envs.wrappers import video as module
from rlcore.harness import evaluate
from tests.envs.wrappers.fakes import Tape, play, same
from tests.harness.fakes import Hashing

imageio = pytest.importorskip("imageio.v3")
pytest.importorskip("imageio_ffmpeg")


class Pictures(Tape):
    """Renders stream 0: red is the episode, a bar of green the step."""

    size = (48, 64)
    metadata = {"render_fps": 12}
    seen: list

    def render(self, stream=0):
        if stream:
            raise AssertionError("another stream was filmed")
        number, t = self.base[stream]
        frame = np.zeros((*self.size, 3), np.uint8)
        frame[:, :, 0] = 40 * number / self.n_envs
        frame[:, : int(t) * 8, 1] = 200
        self.seen = [*getattr(self, "seen", []), frame]
        return frame


def read(path, what=imageio.imread):
    """All frames of a video; imageio leaves pipes open."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        return what(path)


def about(path):
    """Its metadata."""
    return read(path, imageio.immeta)


def lengths_of_stream_0(tape):
    """The lengths of the episodes that stream 0 has ended."""
    ended = [step["info"].get("episode", ([], [], [])) for step in tape.given]
    return [int(length) for streams, _, lengths in ended for i, length in zip(streams, lengths) if i == 0]


def test_the_next_episodes_are_filmed(tmp_path):
    tape = Pictures(2, seed=4)
    env = RecordVideo(tape, tmp_path / "videos")
    env.reset()
    play(env, 5)
    assert not hasattr(tape, "seen")  # nothing is rendered that nobody asked for
    env.record("first", episodes=2)
    env.reset()
    tape.given.clear()
    while len(lengths_of_stream_0(tape)) < 3:
        play(env, 1)
    files = sorted(path.name for path in (tmp_path / "videos").iterdir())
    assert files == ["first-0.mp4", "first-1.mp4"]
    shown = [read(tmp_path / "videos" / name) for name in files]
    assert [len(frames) for frames in shown] == lengths_of_stream_0(tape)[:2]
    assert len(tape.seen) == sum(map(len, shown))
    for frames, expected in zip(np.concatenate(shown), tape.seen, strict=True):
        assert frames.shape == (48, 64, 3)
        assert abs(frames.astype(int) - expected).mean() < 12
    told = about(tmp_path / "videos" / "first-0.mp4")
    assert told["fps"] == 12
    assert told["codec"] == "h264"


def test_it_waits_for_an_episode_to_begin(tmp_path):
    """Armed in the middle of one, it films the next, also without a reset."""
    tape = Pictures(1, seed=4, ends=0.3)
    env = RecordVideo(tape, tmp_path, fps=5)
    env.reset()
    play(env, 1)
    assert not tape.given[-1]["info"]
    env.record("a")
    while len(lengths_of_stream_0(tape)) < 2:
        play(env, 1)
    assert len(read(tmp_path / "a-0.mp4")) == lengths_of_stream_0(tape)[1]
    assert about(tmp_path / "a-0.mp4")["fps"] == 5


@pytest.mark.parametrize("end", ["reset", "close", "record"])
def test_a_video_cut_short_can_be_played(tmp_path, end):
    env = RecordVideo(Pictures(1, ends=0), tmp_path)
    env.record("a", episodes=2)
    env.reset()
    play(env, 6)
    assert [path.name for path in tmp_path.iterdir()] in ([".a-0.mp4"], [])  # no name before it is whole
    {"reset": env.reset, "close": env.close, "record": lambda: env.record("b")}[end]()
    assert len(read(tmp_path / "a-0.mp4")) == 7
    env.close()


def test_a_stream_that_fails_begins_another_video(tmp_path):
    tape = Pictures(1, seed=1, ends=0, faults=0.2)
    env = RecordVideo(tape, tmp_path)
    env.record("a", episodes=2)
    env.reset()
    while sum(not step["valid"][0] for step in tape.given) < 2:
        play(env, 1)
    first, second = (i for i, step in enumerate(tape.given) if not step["valid"][0])
    assert len(read(tmp_path / "a-0.mp4")) == first + 1
    assert len(read(tmp_path / "a-1.mp4")) == second - first


def test_odd_sizes_lose_a_line(tmp_path):
    tape = Pictures(1, ends=0)
    tape.size = (49, 65)
    env = RecordVideo(tape, tmp_path)
    env.record("a")
    env.reset()
    play(env, 3)
    env.close()
    assert read(tmp_path / "a-0.mp4").shape == (4, 48, 64, 3)


def play_anew(env, steps):
    env.reset()
    play(env, steps)


def broken(tape, how, tmp_path):
    """A folder in which no video comes about."""
    if how == "render":
        tape.render = lambda stream: 1 / 0
    elif how == "picture":
        tape.render = lambda stream: None
    elif how == "size":
        tape.render = lambda stream: np.zeros((40 + 2 * len(tape.given), 64, 3), np.uint8)
    else:
        (tmp_path / "videos").write_text("a file in the way")
    return tmp_path / "videos"


@pytest.mark.fault(11)
@pytest.mark.parametrize("how", ["render", "picture", "size", "folder"])
def test_a_video_that_fails_is_one_warning(tmp_path, how):
    tape = Pictures(1, seed=4)
    env = RecordVideo(tape, broken(tape, how, tmp_path))
    env.record("a", episodes=3)
    with pytest.warns(UserWarning, match="no video .*a-0.mp4: ") as told:
        play_anew(env, 30)
    assert len(told) == 1
    assert same(env.obs, tape.obs)
    assert not list(tmp_path.rglob("*.mp4"))
    vars(tape).pop("render", None)
    env.folder = tmp_path / "others"
    env.record("b")  # later ones may go well
    env.reset()
    play(env, 3)
    env.close()
    assert (tmp_path / "others" / "b-0.mp4").exists()


def test_a_writer_that_dies_is_one_warning(tmp_path):
    env = RecordVideo(Pictures(1, ends=0), tmp_path)
    env.record("a")
    env.reset()
    env._writer.close()
    with pytest.warns(UserWarning, match="no video"):
        play(env, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env.close()


def test_nothing_is_saved_and_evaluation_goes_without(tmp_path):
    env = RecordVideo(Tape(2), tmp_path)
    env.reset()
    state = env.state()
    assert state["own"] == state["settings"] == {}
    bare = Tape(2)
    assert twin(env, bare) is bare
    assert innermost(env) is env.env
    assert not list(tmp_path.iterdir())


class Shown(HashChain):
    """A picture of the state in 16 x 16."""

    metadata = {"render_fps": 7}

    def __init__(self, render_mode="rgb_array"):
        super().__init__()
        self.render_mode = render_mode

    def render(self):
        return np.full((16, 16, 3), self.s % 256, np.uint8)


@pytest.mark.parametrize("n_envs", [1, 3])
def test_an_evaluation_is_filmed(tmp_path, n_envs):
    """Its returns are those of one that is not, and the videos those of the episodes of stream 0."""
    env = RecordVideo(SerialEnv(Shown, n_envs, seed=6), tmp_path)
    expected = evaluate(Hashing(), SerialEnv(HashChain, n_envs, seed=6), 9)
    env.record("a", episodes=3)
    assert same(evaluate(Hashing(), env, 9), expected)
    assert same(evaluate(Hashing(), env, 9), expected)
    shown = [read(tmp_path / f"a-{k}.mp4") for k in range(3)]
    assert [len(frames) for frames in shown] == expected[1][::n_envs][:3].tolist()
    assert about(tmp_path / "a-0.mp4")["fps"] == 7
    env.close()


def test_what_is_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match='make the environment with render_mode="rgb_array", not None'):
        RecordVideo(SerialEnv(lambda: Shown(render_mode=None)), tmp_path)
    for fps in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="fps must be positive"):
            RecordVideo(Tape(1), tmp_path, fps)
    env = RecordVideo(Tape(1), tmp_path)
    for name in ("", "a/b", "../a", "/a"):
        with pytest.raises(ValueError, match="name must be that of a file"):
            env.record(name)
    with pytest.raises(ValueError, match="episodes must be at least 1"):
        env.record("a", 0)
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "imageio_ffmpeg" else True)
    with pytest.raises(ImportError, match=r'needs imageio_ffmpeg: pip install "rlcore\[video\]"'):
        RecordVideo(Tape(1), tmp_path)
