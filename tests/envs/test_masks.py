"""MaskFromInfo: masks in infos become observations, in this process and in others."""

from __future__ import annotations

import multiprocessing

import numpy as np
import pytest
from gymnasium import spaces

from rlcore.envs import MaskFromInfo, ProcessEnv, SerialEnv
from rlcore.tree import map_
from tests.envs.test_vector import frozen
from tests.envs.worlds import Masked, Walk, World

multiprocessing.set_forkserver_preload(["tests.envs.worlds"])


def test_masks_from_info():
    process, serial = ProcessEnv(masked, 2, workers=1), SerialEnv(masked, 2)
    obs = process.reset()
    assert obs["action_mask"].tolist() == [[1, 0, 0]] * 2
    assert map_(np.ndarray.tolist, serial.reset()) == map_(np.ndarray.tolist, obs)
    seen = []
    for _ in range(4):
        step = process.step(np.zeros(2, int))
        assert frozen(step) == frozen(serial.step(np.zeros(2, int)))
        seen.append(step.final_obs["action_mask"][0].tolist())
    assert seen == [[0, 1, 0], [0, 0, 1], [1, 0, 0], [1, 1, 1]]  # after the end all is allowed
    assert step.obs["action_mask"][0].tolist() == [1, 0, 0]
    assert process.observation_space["action_mask"] == spaces.MultiBinary(3)
    process.close()


def masked():
    return MaskFromInfo(Masked())


def test_masks_of_several_choices_are_joined():
    env = MaskFromInfo(Masked(lambda t: (np.array([1, 0]), np.array([0, 0, 1])), spaces.MultiDiscrete([2, 3])))
    assert env.reset()[0]["action_mask"].tolist() == [1, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: MaskFromInfo(Masked(lambda t: np.ones(4))), "a mask of 4 actions, there are 3"),
        (lambda: MaskFromInfo(Walk()), r"reset\(\) of .*Walk.* gave no info\['action_mask'\]; its info has \[\]"),
        (lambda: MaskFromInfo(World(action_space=spaces.MultiBinary(3))), "only Discrete and MultiDiscrete"),
    ],
)
def test_masks_that_fit_nothing_are_refused(make, words):
    with pytest.raises(Exception, match=words):
        SerialEnv(make).reset()
