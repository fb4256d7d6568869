"""On-policy agents on a device beyond the defaults: memories, noise that depends on the state, all kinds of actions."""

import numpy as np
import pytest
from gymnasium import spaces

from rlcore.agents import PPO
from rlcore.envs import SerialEnv
from rlcore.harness import train
from rlcore.rng import generator
from rlcore.tree import leaves, map_
from tests.agents.test_devices import Seen, _cupy, arrays, on_the_host  # noqa: F401  the fixture
from tests.agents.test_every import agent_for
from tests.autograd import device

N, STEPS = 3, 120  # environments, rows of a run
BOX = spaces.Box(-1, 1, (2,), np.float32)
NESTED = spaces.Dict({"go": spaces.Box(-1, 1, (2, 1), np.float32), "pick": spaces.Tuple((spaces.Discrete(3), BOX))})
MANY = spaces.MultiDiscrete([2, 3], start=[1, 0])
BITS = spaces.MultiBinary(3)
LSTM = {"lstm_hidden_size": 5, "sequence_length": 4, "n_episodes": 4}
SDE = {"use_sde": True, "sde_sample_freq": 3}
CASES = {  # name -> algorithm, what is seen, actions (None: two, one of them forbidden if masked), settings
    "ppo, memory": ("ppo", "dict", None, LSTM),
    "ppo, memory that is shared, masks": ("ppo", "masked", None, {**LSTM, "share_layers": True}),
    "ppo, memory behind images": ("ppo", "image", None, {**LSTM, "share_layers": True}),
    "ppo, memory and noise": ("ppo", "nested", BOX, {**LSTM, **SDE, "target_kl": 0.01}),
    "ppo, noise": ("ppo", "dict", BOX, {**SDE, "full_std": False, "share_layers": True}),
    "ppo, limits": ("ppo", "dict", NESTED, {"target_kl": 1e-3, "clip_range_vf": 0.1, "clip_range": 0.05}),
    "ppo, many actions": ("ppo", "dict", MANY, {"ent_coef": 0.01}),
    "appo, memory and masks": ("appo", "masked", None, LSTM),
    "appo, nested actions": ("appo", "nested", NESTED, {"normalize_advantage": True}),
    "impala, memory and masks": ("impala", "masked", None, LSTM),
    "impala, bits": ("impala", "dict", BITS, {"n_epochs": 2}),
    "a2c, memory": ("a2c", "dict", BOX, {**LSTM, "normalize_advantage": True}),
    "a2c, noise": ("a2c", "dict", BOX, SDE),
    "a2c, images": ("a2c", "stack", MANY, {"use_rms_prop": False}),
    "a2c, masks": ("a2c", "masked", None, {}),
    "reinforce, memory": ("reinforce", "dict", NESTED, LSTM),
    "reinforce, memory and masks": ("reinforce", "masked", None, {**LSTM, "n_steps": 6}),
    "reinforce, no baseline": ("reinforce", "nested", BITS, {"baseline": False, "n_episodes": 4}),
    "trpo, images": ("trpo", "image", BOX, {"cg_max_steps": 4, "n_critic_updates": 2}),
    "trpo, masks": ("trpo", "masked", None, {}),
    "trpo, nested actions": ("trpo", "dict", NESTED, {"sub_sampling_factor": 2}),
    "trpo, many actions": ("trpo", "nested", MANY, {"normalize_advantage": False}),
    "trpo, bits": ("trpo", "dict", BITS, {}),
}


class World(Seen):
    """Actions of any space, the larger the better."""

    def __init__(self, kind, action_space):
        super().__init__(kind)
        self.action_space = action_space

    def step(self, action):
        assert self.action_space.contains(action), action
        obs, _, terminated, truncated, info = super().step(None)
        return obs, float(sum([np.sum(leaf) for leaf in leaves(action)])), terminated, truncated, info


class Gaps:
    """An environment of whose first stream some rows are no transitions."""

    def __init__(self, env):
        self.env, self.rows = env, 0

    def __getattr__(self, name):
        return getattr(self.env, name)

    def step(self, action):
        step, self.rows = self.env.step(action), self.rows + 1
        if self.rows % 5:
            return step
        first = np.arange(len(step.valid)) == 0
        return step._replace(
            valid=step.valid & ~first, terminated=step.terminated & ~first, truncated=step.truncated & ~first
        )


def world(case):
    """An environment of a case."""
    _, kind, action_space, _ = CASES[case]
    return Gaps(SerialEnv(lambda: World(kind, action_space or Seen.action_space), N, seed=3))


def member(case, where):
    """An agent of a case on a device, and its environment."""
    algorithm, *_, settings = CASES[case]
    env = world(case)
    return agent_for(env, algorithm, **settings).to_device(where), env


def like(one, two):
    """The states of two agents are alike."""
    one, two = arrays(one), arrays(two)
    assert one.keys() == two.keys()
    for path, array in one.items():
        np.testing.assert_allclose(two[path], array, 1e-3, 1e-4, err_msg=path)


def same(one, two):
    """Two trees of the host's arrays are nearly equal."""
    assert all(isinstance(leaf, np.ndarray) for leaf in leaves((one, two)))
    map_(lambda a, b: np.testing.assert_allclose(a, b, 1e-3, 1e-4), one, two)


def acted(policy, env, steps=4):
    """What a policy does, and what it remembers then."""
    policy.reset()
    actions = [policy(env.obs) for _ in range(steps)]
    policy.reset(np.arange(N) == 1)
    state = policy.state
    return (*actions, policy(env.obs)), () if state is None else state


@pytest.mark.parametrize("case", CASES)
def test_a_run_on_a_device_is_that_on_the_host_and_so_are_its_policies(case):
    (here, env), (there, other) = member(case, "cpu"), member(case, "gpu")
    stats = [], []
    for agent, world_, seen in ((here, env, stats[0]), (there, other, stats[1])):
        train(agent, world_, STEPS, [lambda t, step, s, seen=seen: seen.append({k: float(v) for k, v in s.items()})])
    assert here.n_updates > 2
    assert isinstance(there.actor.flat_state, device.Array)
    for a, b in zip(*stats, strict=True):
        assert a == pytest.approx(b, rel=1e-3, abs=1e-4)
    like(here, there)
    for given in ((True, None), (False, 5)):
        policies = [agent.policy(given[0], given[1] and generator(given[1])) for agent in (here, there)]
        same(*[acted(policy, env) for policy in policies])
    same(*[agent.act(env.obs) for agent in (here, there)])


@pytest.mark.parametrize("case", CASES)
def test_a_state_goes_from_a_device_to_the_host_and_back(case):
    there, env = member(case, "gpu")
    train(there, env, STEPS - 2 * N)  # a rollout is half full
    obs, step = env.obs, env.step(there.act(env.obs)[0])
    for where in ("cpu", "gpu"):
        agent, _ = member(case, where)
        agent.load(on_the_host(there.state()))
        like(there, agent)
        (action, extra), (again, more) = there.act(obs), agent.act(obs)
        same((action, extra), (again, more))
        for one in (there, agent):
            one.observe(obs, action, step, extra)
            one.update()
        like(there, agent)
        there = agent


@pytest.mark.parametrize("case", [case for case in CASES if "memory" in case and not case.startswith("reinforce")])
def test_a_learner_on_a_device_learns_from_the_rows_of_others(case):
    learners = [member(case, where)[0] for where in ("cpu", "gpu")]
    actor, env = member(case, "gpu")
    obs = env.reset()
    for _ in range(20):
        action, extra = actor.act(obs)
        step = env.step(action)
        for learner in learners:
            learner.observe(obs, action, step, extra)
            learner.update()
        actor.forget(step.ended | ~step.valid)
        obs = step.obs
    assert learners[0].n_updates
    like(*learners)


def test_a_policy_takes_a_state_of_the_host_and_gives_one():
    here, there = (member("ppo, memory", where)[0] for where in ("cpu", "gpu"))
    assert isinstance(there, PPO)
    env = world("ppo, memory")
    obs, policies = env.reset(), [here.policy(), there.policy()]
    states = [policy.initial(N) for policy in policies]
    for start in ([True, True, True], [False, True, False]):
        same(*states)
        (a, first), (b, second) = (p.predict(obs, s, np.array(start)) for p, s in zip(policies, states, strict=True))
        same(a, b)
        states = [first, second]
    same(*states)
