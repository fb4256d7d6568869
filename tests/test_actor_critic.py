"""Actor-critics built from spaces: what policy and value share, sequences against steps, rows that are left out."""

import numpy as np
import pytest
from gymnasium import spaces

from rlcore.actor_critic import ActorCritic, RecurrentActorCritic, actor_critic
from rlcore.heads import Gaussian, StateDependent
from rlcore.rng import generator
from rlcore.tree import map_, named_leaves

VECTOR, THREE, BOX = spaces.Box(-1, 1, (4,), np.float32), spaces.Discrete(3), spaces.Box(-1, 1, (2,), np.float32)
FRAMES = spaces.Box(0, 255, (1, 36, 36), np.uint8)


def sizes(model):
    return {path: p.shape for path, p in model.namedparams()}


def test_policy_and_value_have_networks_of_their_own_or_share_all_but_the_last_layers():
    separate = sizes(actor_critic(VECTOR, THREE, (8, 6)))
    assert separate["/policy/0/W"] == separate["/value/0/W"] == (8, 4)
    assert not any(path.startswith("/body") for path in separate)
    shared = sizes(actor_critic(VECTOR, THREE, (8, 6), share_layers=True))
    assert {path: shape for path, shape in shared.items() if path.endswith("W")} == {
        "/body/1/W": (8, 4), "/body/3/W": (6, 8), "/policy/0/W": (3, 6), "/value/0/W": (1, 6),
    }  # fmt: skip


@pytest.mark.parametrize("nest", [tuple, lambda parts: dict(zip("ab", parts))])
@pytest.mark.parametrize("lstm", [None, 5])
def test_layers_are_shared_by_what_sees_several_parts(nest, lstm):
    parts = nest((VECTOR, THREE))
    space = spaces.Tuple(parts) if isinstance(parts, tuple) else spaces.Dict(parts)
    model = actor_critic(space, THREE, (8, 6), share_layers=True, lstm_hidden_size=lstm)
    obs = nest((np.ones((2, 4), np.float32), np.array([0, 2])))
    value = model(obs)[1] if lstm is None else model(obs, model.initial(2))[0][1]
    assert value.shape == (2,)


@pytest.mark.parametrize("share", [False, True])
def test_an_lstm_stands_behind_what_is_shared(share):
    model = actor_critic(VECTOR, THREE, (8, 6), share_layers=share, lstm_hidden_size=5)
    assert isinstance(model, RecurrentActorCritic)
    assert len(model.lstms) == (1 if share else 2)
    assert model.lstms[0].W_x.shape == ((20, 6) if share else (20, 4))
    assert model.policy[0].W.shape == ((3, 5) if share else (8, 5))
    frames = actor_critic(FRAMES, THREE, lstm_hidden_size=5)
    assert (frames.lstms[1].W_x.shape, frames.value[0].W.shape) == ((20, 512), (1, 5))


def test_orthogonal_weights_have_the_gain_of_their_place():
    model = actor_critic(VECTOR, BOX, (4, 4), sde=True, share_layers=True, rng=generator(0))
    for W, gain in ((model.body[1].W, 2), (model.body[3].W, 2), (model.head.mean.W, 1e-4), (model.value[0].W, 1)):
        np.testing.assert_allclose(W.array @ W.array.T, gain * np.eye(len(W.array)), atol=1e-5)
    model = actor_critic(VECTOR, BOX, (4, 4), sde=True, rng=generator(0))
    np.testing.assert_allclose(model.policy[2].W.array @ model.policy[2].W.array.T, 2 * np.eye(4), atol=1e-5)
    assert len(model.policy) == 4  # two layers and what follows each


@pytest.mark.parametrize(("hidden", "size"), [((8, 6), 6), ((), 4)])
@pytest.mark.parametrize("full_std", [True, False])
def test_state_dependent_noise_takes_the_last_hidden_layer(hidden, size, full_std):
    model = actor_critic(VECTOR, BOX, hidden, sde=True, full_std=full_std, log_std=-1.5)
    assert isinstance(model, ActorCritic)
    assert isinstance(model.head, StateDependent)
    assert model.head.log_std.shape == (size, 2 if full_std else 1)
    assert (model.head.log_std.array == -1.5).all()
    x = generator(0).normal(size=(5, 4)).astype(np.float32)
    features = model.policy(x)
    np.testing.assert_array_equal(model(x)[0].mode.array, model.head.mean(features).array)


@pytest.mark.parametrize("space", [THREE, spaces.Dict(a=BOX)])
def test_state_dependent_noise_is_for_one_box(space):
    with pytest.raises(ValueError, match="use_sde needs the actions of one Box, got"):
        actor_critic(VECTOR, space, sde=True)


def array(v):
    return np.asarray(getattr(v, "array", v))


@pytest.mark.parametrize("share", [False, True])
def test_a_sequence_gives_what_its_steps_give(share):
    """With resets inside, nested observations, and rows that are left out."""
    space = spaces.Dict(a=VECTOR, b=spaces.Discrete(3))
    model = actor_critic(space, BOX, (6,), ortho_init=False, share_layers=share, lstm_hidden_size=5, rng=generator(0))
    rng, (T, N) = generator(1), (7, 3)
    obs = {"a": rng.normal(size=(T, N, 4)).astype(np.float32), "b": rng.integers(0, 3, (T, N))}
    reset, valid = rng.random((T, N)) < 0.3, rng.random((T, N)) < 0.7
    first = h = map_(lambda a: rng.normal(size=a.shape).astype(np.float32), model.initial(N))
    actions, values, alone = [], [], []
    for t in range(T):
        h = map_(lambda a, t=t: array(a) * ~reset[t][:, None], h)
        row = map_(lambda a, t=t: a[t], obs)
        alone.append(array(model.values(row, h)[0]))
        np.testing.assert_array_equal(array(model.numbers(row, h)[0]), array(model.distribution(row, h)[0].mode))
        (d, v), h = model(row, h)
        actions.append(array(d.mode))
        values.append(array(v))
    (d, v), after = model(obs, first, reset)
    np.testing.assert_allclose(array(d.mode), np.concatenate(actions), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(array(v), np.concatenate(values), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(array(v), np.concatenate(alone), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(array(model.values(obs, first, reset)[0]), array(v), rtol=1e-4, atol=1e-6)
    for (path, one), (_, two) in zip(named_leaves(h), named_leaves(after)):
        np.testing.assert_allclose(array(one), array(two), rtol=1e-4, atol=1e-6, err_msg=path)
    (some, w), _ = model(obs, first, reset, valid)
    np.testing.assert_allclose(array(some.mode), array(d.mode)[valid.ravel()], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(array(w), array(v)[valid.ravel()], rtol=1e-5, atol=1e-6)


def test_the_deviation_of_continuous_actions_is_as_told():
    model = actor_critic(VECTOR, spaces.Dict(a=BOX, b=THREE), log_std=-0.5)
    (head,) = [link for link in model.links() if isinstance(link, Gaussian)]
    assert (head.log_std.array == -0.5).all()
