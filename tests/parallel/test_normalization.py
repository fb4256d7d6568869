"""Moments of all ranks' rows, batch normalisation with its gradient, and the moments that environments keep."""

import copy

import numpy as np
import pytest

from rlcore.autograd import Sequential, using_config
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.autograd.optimizers import SGD
from rlcore.envs import SerialEnv
from rlcore.envs.toy import Chain
from rlcore.envs.wrappers.normalize import Moments, NormalizeObservation, NormalizeReward
from rlcore.parallel.base import Alone
from rlcore.parallel.data_parallel import loop, rank_seed
from rlcore.parallel.local import run_threads
from rlcore.parallel.normalization import MultiNodeBatchNormalization, SharedMoments, moments_of, synchronized
from rlcore.rng import generator

SIZES = (3, 7, 2)


def network(kind):
    with using_config("dtype", np.float64):
        first = L.Linear(4, 3) if kind == "rows" else L.Convolution2D(2, 3, 2)
        body = (first, L.BatchNormalization(3), F.tanh, L.BatchNormalization(3))
        model = Sequential(*body, L.Linear(3 if kind == "rows" else 12, 1))
        rng = generator(0)
        for p in model.params():
            p.array = rng.normal(size=p.shape)
    return model


def data(kind, n):
    return generator(1).normal(size=(n, 4) if kind == "rows" else (n, 2, 3, 3)), generator(2).normal(size=n)


def learned(model, x, y, optimizer, weight):
    for _ in range(5):
        loss = F.mean_squared_error(F.reshape(model(x), (-1,)), y)
        model.cleargrads()
        loss.backward()
        optimizer.update(weight=weight)
    return np.concatenate([model.flat_state, model[1].avg_var]), loss.array


@pytest.mark.parametrize("kind", ["rows", "images"])
def test_batch_normalisation_of_ranks_is_that_of_their_rows_together(kind):
    x, y = data(kind, sum(SIZES))
    one = network(kind)
    want, loss = learned(one, x, y, SGD(0.01).setup(one), 1)
    starts = np.cumsum((0, *SIZES))

    def rank(comm):
        rows, model = slice(*starts[comm.rank : comm.rank + 2]), synchronized(network(kind), comm)
        return learned(model, x[rows], y[rows], SGD(0.01).setup(model, comm.mean_), SIZES[comm.rank])

    found = run_threads(3, rank)
    for state, _ in found:
        np.testing.assert_allclose(state, want, rtol=0, atol=1e-12)
    assert np.dot(SIZES, [part for _, part in found]) / sum(SIZES) == pytest.approx(float(loss), rel=1e-12)


def test_a_copy_a_view_and_test_mode():
    def rank(comm):
        model = synchronized(Sequential(L.Linear(4, 3), L.BatchNormalization(3)), comm)
        x = generator(comm.rank).normal(size=(6, 4)).astype(np.float32)
        model(x)
        twin = copy.deepcopy(model)
        assert type(model[1]) is type(twin[1]) is MultiNodeBatchNormalization
        assert twin[1].comm is comm
        results = [model.view()(x).array]  # by the running moments: ranks need not call it together
        if comm.rank:
            model.view()(x)
        with using_config("train", False):
            results.append(model(x).array)
        comm.barrier()
        np.testing.assert_array_equal(*results)
        return model[1].avg_mean.copy()

    first, second = run_threads(2, rank)
    np.testing.assert_array_equal(first, second)
    assert (first != 0).all()


def test_alone_it_is_batch_normalisation():
    model, other = network("rows"), synchronized(network("rows"), Alone())
    x, y = data("rows", 9)
    want, _ = learned(model, x, y, SGD(0.01).setup(model), 1)
    got, _ = learned(other, x, y, SGD(0.01).setup(other), 1)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-13)


# the moments of environments


def test_moments_join_to_those_of_all_rows():
    rows = [generator(r).normal(r, 1 + r, size=(20 + 5 * r, 3)) for r in range(3)]
    one = Moments(3, 1e-8)
    one.update(np.concatenate(rows))
    parts = [Moments(3, 1e-8) for _ in rows]
    for moments, own in zip(parts, rows):
        moments.share()
        moments.update(own[:7])
        moments.update(own[7:])
    told = [(m.own.count, m.own.mean.copy(), m.own.var.copy()) for m in parts]
    for moments in parts:
        moments.join(told)
        moments.join([(0.0, np.zeros(3), np.zeros(3))] * 3)  # nothing new
        for name in ("mean", "var", "std", "count"):
            np.testing.assert_allclose(getattr(moments, name), getattr(one, name), rtol=1e-12)
        np.testing.assert_array_equal(moments.mean, parts[0].mean)


def test_shared_moments_go_on_from_a_state_bit_for_bit():
    rows, moments, other = generator(0).normal(size=(9, 2)), Moments(2, 1e-8), Moments(2, 1e-8)
    moments.update(rows[:2])
    moments.share()
    moments.update(rows[2:5])
    state = copy.deepcopy(moments.state())
    other.check(state)
    other.load(state)
    for one in (moments, other):
        one.update(rows[5:])
        one.join([(one.own.count, one.own.mean, one.own.var), (2.0, np.ones(2), np.ones(2))])
    for name in ("mean", "var", "std", "count"):
        np.testing.assert_array_equal(getattr(moments, name), getattr(other, name))
    state["own"]["var"] = np.zeros(3)
    with pytest.raises(ValueError, match="shared between ranks must be"):
        other.check(state)


class Random:
    """An agent that acts at random, and never learns."""

    def __init__(self, seed):
        self.rng = generator(seed)

    def act(self, obs):
        return self.rng.integers(0, 2, len(obs)), {}

    def observe(self, *row):
        pass

    def update(self):
        return {}


@pytest.mark.parametrize("steps", [64, 80])  # 32 and 40 steps: exchanges after 16 and 32 of them
def test_ranks_share_the_moments_of_observations_and_returns(steps):
    def rank(comm):
        inner = SerialEnv(lambda: Chain(5, 9), 2, rank_seed(0, comm))
        seen, own = [], inner.step

        def step(action):
            row = own(action)
            seen.append(row.obs.copy())
            return row

        inner.step = step
        env = NormalizeReward(NormalizeObservation(inner))
        loop(comm)(Random(comm.rank), env, steps)
        first = np.zeros((2, 6), np.float32)
        first[:, 0] = 1
        return [first, *seen], list(moments_of(env))

    (obs, (_, moments)), (others, (_, theirs)) = run_threads(2, rank)
    one = Moments(6, 1e-8)
    for rows in (*obs[:33], *others[:33]):
        one.update(rows.astype(float))
    assert one.count == pytest.approx(132, abs=1e-3)
    mine, yours = [(m.mean, m.var, m.count) if steps == 64 else m._before for m in (moments, theirs)]
    for a, b, c in zip(mine, yours, (one.mean, one.var, one.count), strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a, c, rtol=1e-9, atol=1e-12)
    if steps == 80:
        for rows in obs[33:]:
            one.update(rows.astype(float))
        np.testing.assert_allclose(moments.mean, one.mean, rtol=1e-9, atol=1e-12)  # its own rows count at once


def test_an_evaluations_wrappers_are_left_alone():
    env = NormalizeObservation(SerialEnv(Chain, 1, 0))
    twin = env.on(SerialEnv(Chain, 1, 1))
    assert list(moments_of(twin)) == []
    assert SharedMoments(env, Alone()).moments == [env.moments]
