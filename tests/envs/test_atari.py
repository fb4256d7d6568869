"""Atari: frames against a hand-made sequence, how games begin and end, and ale_py's vector environment beside ours."""

from __future__ import annotations

import sys
from itertools import pairwise

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from rlcore.envs import SerialEnv
from rlcore.envs.atari import PROTOCOLS, Frames, Protocol, atari, atari_vector, played, rom
from rlcore.envs.capture import levels
from rlcore.rng import generator
from tests.envs.worlds import through_a_file

pytest.importorskip("ale_py")
pytest.importorskip("cv2")

BARE = {"noop_max": 0, "fire": False, "sticky": 0.0}
WHOLE = {"life_loss": False, "sign_reward": False}
PLAIN = Protocol(**WHOLE, **BARE)
HEIGHT, WIDTH = 210, 160


class Film(gymnasium.Env):
    """Shows one RGB picture a frame as ALE's grey, from a film without end; events change lives and end the game."""

    def __init__(self, film=None, lives=(), over=(), cut=(), reward=None, fire=True):
        self.film = film or (lambda t: np.full((HEIGHT, WIDTH, 3), t % 256, np.uint8))
        self.lives_at, self.over_at, self.cut_at = dict(lives), set(over), set(cut)
        self.reward = reward or (lambda t: float(t))
        self.names = ["NOOP", "FIRE", "LEFT"] if fire else ["NOOP", "LEFT"]
        self.observation_space = spaces.Box(0, 255, (HEIGHT, WIDTH), np.uint8)
        self.action_space = spaces.Discrete(len(self.names))
        self.actions, self.games, self.t, self.lives = [], 0, 0, 0

    def get_action_meanings(self):
        return self.names

    def grey(self):
        return np.rint(self.film(self.t) @ np.array([0.2989, 0.5870, 0.1140])).astype(np.uint8)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.lives, self.actions = 0, 3, []
        self.games += 1
        return self.grey(), {"lives": self.lives}

    def step(self, action):
        self.t += 1
        self.actions.append(int(action))
        self.lives = self.lives_at.get(self.t, self.lives)
        over, cut = self.t in self.over_at, self.t in self.cut_at
        return self.grey(), self.reward(self.t), over, cut, {"lives": self.lives}


def area(image):
    """84 x 84 by areas: an output pixel is the mean of the input under it, with the shares that its edges cut off."""

    def shares(n, m):
        edges = np.arange(n + 1)
        low, high = np.arange(m)[:, None] * n / m, (np.arange(m)[:, None] + 1) * n / m
        return np.clip(np.minimum(high, edges[1:]) - np.maximum(low, edges[:-1]), 0, None) * m / n

    return shares(image.shape[0], 84) @ image @ shares(image.shape[1], 84).T


def flicker(t):
    """Sprites of a game: one moves, one is drawn in even frames, one in odd ones, as the 2600 does it."""
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[:34] = (60, 72, 160)
    picture[50 + t : 58 + t, 10 + 3 * t : 14 + 3 * t] = (200, 72, 72)
    if t % 2:
        picture[100:111, 31:37] = (255, 255, 0)
    else:
        picture[150:153, 77:120] = (0, 200, 255)
    return picture


def test_frames_are_those_of_a_hand_made_sequence():
    env = Frames(Film(flicker), PLAIN)

    def expected(*pooled):
        luminance = [
            np.rint(0.2989 * p[..., 0] + 0.5870 * p[..., 1] + 0.1140 * p[..., 2]) for p in map(flicker, pooled)
        ]
        return area(np.max(luminance, axis=0))

    frames = [np.zeros((84, 84))] * 3 + [expected(0)]
    obs, _ = env.reset(seed=0)
    for k in range(6):
        assert type(obs) is np.ndarray
        assert obs.dtype == np.uint8
        assert env.observation_space.contains(obs)
        np.testing.assert_allclose(obs, np.stack(frames[-4:]), atol=0.51)
        obs = env.step(0)[0]
        frames.append(expected(4 * k + 3, 4 * k + 4))  # both sprites that flicker are in each
    assert (frames[-1][100 * 84 // 210 + 1, 31 * 84 // 160 + 1], frames[-1][60, 50]) > (200, 100)
    obs, _ = env.reset()
    assert not obs[:3].any()  # of the game before
    np.testing.assert_allclose(obs[3], expected(0), atol=0.51)


@pytest.mark.parametrize("skip", [1, 2, 5])
def test_the_last_two_frames_of_a_step_are_pooled(skip):
    env = Frames(
        Film(lambda t: np.full((HEIGHT, WIDTH, 3), 200 - 10 * t, np.uint8)), Protocol(frame_skip=skip, **WHOLE, **BARE)
    )
    env.reset(seed=0)
    obs, reward, *_ = env.step(0)
    assert obs[-1].max() == obs[-1].min() == 200 - 10 * max(skip - 1, 1)
    assert reward == sum(range(1, skip + 1))


@pytest.mark.parametrize(("end", "seen", "total"), [(5, 150, 5.0), (6, 150, 11.0), (7, 140, 18.0)])
@pytest.mark.parametrize("kind", ["over", "cut"])
def test_a_game_that_ends_within_a_step_shows_its_last_two_frames(end, seen, total, kind):
    env = Frames(Film(lambda t: np.full((HEIGHT, WIDTH, 3), 200 - 10 * t, np.uint8), **{kind: [end]}), PLAIN)
    env.reset(seed=0)
    env.step(0)
    obs, reward, over, cut, _ = env.step(0)
    assert (over, cut) == (kind == "over", kind == "cut")
    assert (obs[-1].max(), reward) == (seen, total)
    assert obs[-2].max() == 170


def test_observations_are_arrays_of_their_own():
    env = Frames(Film(), PLAIN)
    seen = [env.reset(seed=0)[0], *(env.step(0)[0] for _ in range(3))]
    kept = [obs.copy() for obs in seen]
    env.step(0)
    assert all((a == b).all() for a, b in zip(seen, kept))
    assert not any(np.shares_memory(a, b) for a, b in pairwise(seen))
    assert np.array(seen[0], copy=None).shape == (4, 84, 84)  # what broke ChainerRL's lazy frames with NumPy 2


def test_the_games_own_generator_draws_1_to_30_no_ops():
    film = Film(fire=False)
    env = Frames(film, Protocol(noop_max=30, fire=False, sticky=0.0, **WHOLE))
    counts = []
    for seed in range(60):
        env.reset(seed=seed)
        expected = film.np_random.__class__(type(film.np_random.bit_generator)(0))
        expected.bit_generator.state = gymnasium.utils.seeding.np_random(seed)[0].bit_generator.state
        assert film.actions == [0] * int(expected.integers(1, 31))
        counts.append(len(film.actions))
    assert (min(counts), max(counts)) == (1, 30)
    env.reset()  # of the same generator, which goes on
    assert len(film.actions) == int(expected.integers(1, 31))


@pytest.mark.parametrize("fire", [True, False])
def test_fire_is_held_for_one_action_where_the_game_has_it(fire):
    film = Film(fire=fire)
    env = Frames(film, Protocol(noop_max=3, fire=True, sticky=0.0, **WHOLE))
    obs, _ = env.reset(seed=0)
    noops = len(film.actions) - 4 * fire
    assert film.actions == [0] * noops + [1] * 4 * fire
    assert 1 <= noops <= 3
    assert obs[-1].max() == film.t  # what is on the screen now, after no other frame
    assert not obs[:-1].any()


def test_a_game_that_ends_in_its_no_ops_begins_again():
    film = Film(over=[2], fire=False)
    env = Frames(film, Protocol(noop_max=30, fire=False, sticky=0.0, **WHOLE))
    env.reset(seed=1)
    assert film.games > 1
    assert film.t < 2
    assert not env.step(0)[2] or film.t == 2


def test_a_lost_life_ends_the_episode_and_not_the_game():
    film = Film(lives={6: 2, 13: 3, 18: 2}, over=[23])
    env = played(film, Protocol(life_loss=True, sign_reward=False, **BARE))
    env.reset(seed=0)
    first = env.step(0)
    assert first[2:4] == (False, False)
    obs, reward, over, cut, info = env.step(0)
    assert (over, cut, film.t, reward) == (True, False, 8, 5 + 6 + 7 + 8.0)  # the action is played to its end
    assert "episode" not in info
    again, _ = env.reset()
    assert (film.games, film.t) == (1, 8)
    assert (again == obs).all()
    assert env.step(0)[2:4] == (False, False)
    assert env.step(0)[2:4] == (False, False)  # a life is won
    obs, *_, info = env.step(0)
    assert film.t == 20
    env.reset()
    _, _, over, cut, info = env.step(0)
    assert (over, cut, film.t) == (True, False, 23)
    assert (info["episode"]["r"], info["episode"]["l"]) == (sum(range(1, 24)), 6)  # of the whole game
    env.reset()
    assert (film.games, film.t) == (2, 0)


def test_lives_end_nothing_at_zero_or_at_a_game_over():
    film = Film(lives={2: 2, 6: 0}, over=[14], cut=[])  # Qbert: no life is left, but the game takes some frames yet
    env = played(film, Protocol(life_loss=True, sign_reward=False, **BARE))
    env.reset(seed=0)
    assert [env.step(0)[2] for _ in range(2)] == [True, False]
    assert [env.step(0)[2] for _ in range(2)] == [False, True]
    env.reset()
    assert film.games == 2


def test_a_life_lost_at_the_time_limit_is_a_cut():
    film = Film(lives={4: 2}, cut=[4])
    env = played(film, Protocol(life_loss=True, sign_reward=False, **BARE))
    env.reset(seed=0)
    assert env.step(0)[2:4] == (False, True)
    env.reset()
    assert film.games == 2


def test_a_seeded_reset_begins_a_new_game_at_any_time():
    film = Film(lives={2: 2})
    env = played(film, Protocol(life_loss=True, sign_reward=False, **BARE))
    env.reset(seed=0)
    env.step(0)
    env.reset(seed=0)
    assert (film.games, film.t) == (2, 0)
    env.step(0)
    env.reset()
    assert (film.games, film.t) == (2, 4)


def test_rewards_are_signs_and_games_are_counted_by_raw_ones():
    rewards = {4: 30.0, 8: -0.5, 10: 1.0, 11: -1.0, 13: 2.0}
    film = Film(reward=lambda t: rewards.get(t, 0.0), over=[13])
    env = played(film, Protocol(life_loss=False, sign_reward=True, **BARE))
    env.reset(seed=0)
    seen = [env.step(0) for _ in range(4)]
    assert [step[1] for step in seen] == [1.0, -1.0, 0.0, 1.0]
    assert seen[-1][-1]["episode"]["r"] == 31.5


def test_the_protocols():
    dqn, machado = PROTOCOLS["dqn"], PROTOCOLS["machado"]
    assert (dqn.noop_max, dqn.fire, dqn.life_loss, dqn.sign_reward, dqn.sticky) == (30, True, True, True, 0.0)
    assert (machado.noop_max, machado.fire, machado.life_loss, machado.sticky) == (0, False, False, 0.25)
    assert {(p.frame_skip, p.max_frames, p.size, p.stack) for p in (dqn, machado)} == {(4, 108_000, 84, 4)}
    game = atari("Breakout", evaluation=True)
    assert game == atari("breakout").evaluation
    p = game.protocol
    assert (p.noop_max, p.fire, p.life_loss, p.sign_reward) == (30, True, False, False)


@pytest.mark.parametrize(
    "name", ["ms_pacman", "MsPacman", "mspacman", "ALE/MsPacman-v5", "MsPacmanNoFrameskip-v4", "MsPacman-v4"]
)
def test_a_game_has_many_names(name):
    assert rom(name) == "ms_pacman"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: atari("Pnog"), "unknown Atari game 'Pnog'; did you mean pong"),
        (lambda: atari("pong", "nature"), "protocol must be one of dqn, machado, got 'nature'"),
        (lambda: atari("pong", noops=3), "no 'noops'; did you mean noop_max"),
        (lambda: atari("pong", sticky=1.0), r"sticky must be within \[0, 1\), got 1.0"),
        (lambda: atari("pong", frame_skip=0), "frame_skip must be at least 1, got 0"),
    ],
)
def test_bad_arguments_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("missing", ["ale_py", "cv2"])
def test_a_missing_package_is_named(missing, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=r'pip install "rlcore\[atari\]"'):
        atari("pong")()


def test_a_real_game_by_the_protocol():
    env = atari("breakout", full_action_space=True)()
    assert env.action_space == spaces.Discrete(18)
    assert env.unwrapped.spec.id == "ALE/Breakout-v5"
    assert env.unwrapped.ale.getFloat("repeat_action_probability") == 0
    obs, info = env.reset(seed=3)
    assert obs.shape == (4, 84, 84)
    assert 5 <= info["episode_frame_number"] <= 34  # no-ops and FIRE
    ale = env.unwrapped.ale
    grey, rgb = ale.getScreenGrayscale().astype(float), ale.getScreenRGB().astype(float)
    assert abs(grey - rgb @ [0.2989, 0.5870, 0.1140]).max() <= 0.51
    assert env.render().shape == (HEIGHT, WIDTH, 3)
    assert env.metadata["render_fps"] == 15  # pictures a second, at the speed of the console


def test_a_game_is_cut_at_its_limit():
    env = atari("pong", "machado", max_frames=40)()
    env.reset(seed=0)
    ends = [env.step(0)[2:4] for _ in range(10)]
    assert ends == [(False, False)] * 9 + [(False, True)]


@pytest.mark.parametrize("probability", [0.25, 0.6])
def test_sticky_actions_repeat_the_one_before_in_so_many_frames(probability):
    film = Film(fire=False)
    assert [type(level).__name__ for level in levels(played(film, PLAIN))].count("Sticky") == 0
    env = played(film, Protocol(noop_max=0, fire=False, sticky=probability, frame_skip=1, **WHOLE))
    env.reset(seed=0)
    n = 4000
    for k in range(n):
        env.step(k)
    stuck = np.array(film.actions) != np.arange(n)
    assert abs(stuck.mean() - probability) < 4 * 0.5 / n**0.5  # 4 standard deviations
    assert abs(stuck[1:][stuck[:-1]].mean() - probability) < 0.05  # each frame by itself
    assert (np.array(film.actions)[1:][stuck[1:]] == np.array(film.actions)[:-1][stuck[1:]]).all()


def test_actions_stick_within_a_step_and_not_beyond_a_game():
    film = Film(over=[8], fire=False)
    env = played(film, Protocol(noop_max=0, fire=False, sticky=0.5, **WHOLE))
    seen = []
    for seed in range(40):
        env.reset(seed=seed)
        env.step(1)
        seen.append(film.actions)
        assert sorted(film.actions) == film.actions  # no-ops until the action is taken
        env.step(1)
    assert len({tuple(actions) for actions in seen}) == 5


def test_serial_envs_seed_a_game_once():
    seeds = []
    make = atari("pong", max_frames=40)

    def watched():
        env = make()
        seed_game = env.unwrapped.seed_game
        env.unwrapped.seed_game = lambda seed=None: seeds.append(seed) or seed_game(seed)
        return env

    watched.reseed = make.reseed
    env = SerialEnv(watched, seed=1)
    env.reset()
    for _ in range(25):
        env.step(np.zeros(1, np.int64))
    assert len(seeds) == 1


@pytest.mark.parametrize(
    ("game", "protocol", "changes"),
    [
        ("breakout", "dqn", {"noop_max": 0, "fire": False}),
        ("breakout", "machado", {"full_action_space": True, "sticky": 0.0}),
        ("pong", "machado", {"frame_skip": 5, "stack": 2, "size": 64, "sticky": 0.0}),
    ],
)
def test_the_vector_environment_gives_the_same_frames(game, protocol, changes):
    vector = atari_vector(game, 2, seed=5, protocol=protocol, **changes)
    singles = [atari(game, protocol, **changes)() for _ in range(2)]
    obs = vector.reset()
    assert (obs == np.stack([env.reset(seed=i)[0] for i, env in enumerate(singles)])).all()
    assert vector.observation_space == singles[0].observation_space
    assert vector.action_space == singles[0].action_space
    rng, lost = generator(0), 0
    for _ in range(150):
        action = rng.integers(vector.action_space.n, size=2)
        step = vector.step(action)
        rows = [env.step(int(a)) for env, a in zip(singles, action)]
        over = [any(row[2:4]) and row[-1]["lives"] == 0 for row in rows]
        if any(over):  # the frame in which a game ends is not seen there
            break
        for i, (o, r, terminated, truncated, _) in enumerate(rows):
            assert (step.obs[i] == o).all()
            assert (step.final_obs[i] == o).all()
            assert (step.reward[i], step.terminated[i], step.truncated[i]) == (r, terminated, truncated)
            if terminated:
                lost += 1
                singles[i].reset()
    assert lost > 0 or protocol == "machado"


def test_the_vector_environment_has_sticky_actions():
    def frames(protocol):
        vector = atari_vector("breakout", 1, seed=0, protocol=protocol, noop_max=0, fire=False, life_loss=False)
        vector.reset()
        rng = generator(0)
        return [vector.step(rng.integers(4, size=1)).obs.copy() for _ in range(30)]

    assert any((a != b).any() for a, b in zip(frames("dqn"), frames("machado")))


def test_the_vector_environment_counts_whole_games_by_raw_rewards():
    vector = atari_vector("space_invaders", 2, seed=0)
    vector.reset()
    rng, games, ends, seen = generator(0), [], 0, np.zeros(2)
    while not games:
        step = vector.step(rng.integers(6, size=2))
        assert set(np.unique(step.reward)) <= {-1.0, 0.0, 1.0}
        seen += step.reward
        ends += int(step.terminated.sum())
        if "episode" in step.info:
            games += list(zip(*step.info["episode"]))
    assert ends >= 3 * len(games)  # three lives a game
    assert all(total >= 5 * 1 and total % 5 == 0 for _, total, _ in games)  # an invader is worth 5 to 30
    assert sum(total for _, total, _ in games) > seen.sum()


def test_an_evaluation_by_the_vector_environment_is_bare():
    vector = atari_vector("breakout", 1, seed=0, evaluation=True)
    vector.reset()
    rng = generator(0)
    for _ in range(2000):
        step = vector.step(rng.integers(4, size=1))
        assert step.terminated[0] == ("episode" in step.info)
        if step.terminated[0]:
            break
    assert step.terminated[0]


@pytest.mark.parametrize("protocol", ["dqn", "machado"])
def test_the_vector_environment_resumes_exactly_where_each_game_is_seeded(protocol):
    def made(seed):
        return atari_vector("breakout", 2, seed, protocol, reseed="episode", max_frames=120)

    def steps(env, rng, n):
        return [[a.copy() for a in env.step(rng.integers(4, size=2))[:6]] for _ in range(n)]

    env, other = made(1), made(2)
    env.reset()
    steps(env, generator(0), 25)
    state = through_a_file(env.state())
    assert other.load(state).tobytes() == env.obs.tobytes()
    for a, b in zip(steps(env, generator(1), 40), steps(other, generator(1), 40)):
        assert all(x.tobytes() == y.tobytes() for x, y in zip(a, b))
    assert atari_vector("breakout", 1).resumable == "no"
