"""Actor-critics, built from spaces: one network gives the distribution over actions and the value of observations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from rlcore.autograd import ChainList, Link, as_array
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.autograd.initializers import Orthogonal, Uniform, generate_array
from rlcore.backend import xp_of
from rlcore.bodies import MASK, body_of, followed, one_image, split_mask
from rlcore.heads import Gaussian, StateDependent, head_of
from rlcore.networks import mlp
from rlcore.tree import map_

ACTIVATIONS = {"tanh": F.tanh, "relu": F.relu}
NETWORK = {  # options of `actor_critic` by the settings that they are
    "ortho_init": "ortho_init", "log_std_init": "log_std", "share_layers": "share_layers",
    "lstm_hidden_size": "lstm_hidden_size", "use_sde": "sde", "full_std": "full_std",
}  # fmt: skip


class ActorCritic(Link):
    """model(obs) gives the distribution over actions, and values (N,).

    body: observations to features; policy, value: features to the numbers that `head` takes, and to (N, 1). Where
    `masked`, observations are dicts whose "action_mask" (N, A) is nonzero for the actions that are allowed.
    """

    def __init__(self, body: Any, policy: Link, value: Link, head: Any, masked: bool = False):
        super().__init__()
        self.body, self.policy, self.value, self.head, self.masked = body, policy, value, head, masked

    def forward(self, obs: Any) -> tuple[Any, Any]:
        features = self.body(obs)
        return headed(self, self.policy(features), obs), F.reshape(self.value(features), (-1,))

    def distribution(self, obs: Any) -> Any:
        """The distribution over actions alone."""
        return headed(self, self.policy(self.body(obs)), obs)

    def numbers(self, obs: Any) -> Any:
        """The numbers (N, n) of which the head makes the likeliest actions."""
        return self.policy(self.body(obs))

    def values(self, obs: Any) -> Any:
        """The values (N,) alone."""
        return F.reshape(self.value(self.body(obs)), (-1,))


def headed(model: Any, out: Any, obs: Any) -> Any:
    """The distribution over actions that an actor-critic makes of numbers."""
    return model.head(out, as_array(obs[MASK]) != 0) if model.masked else model.head(out)


class RecurrentActorCritic(Link):
    """model(obs, h, reset) gives ((the distribution over actions, values), the state after them).

    Behind `body` is an LSTM, which policy and value share, or one for each. obs: one step (N, ...), or with reset, bool
    (T, N), sequences (T, N, ...): where it is True, the state is zeroed before the step. h: the state before the first
    step, as `initial` gives it. Distribution and values are of rows, the N or the T * N in order of time; of these, if
    `valid` (T, N) is given, only those which are.
    """

    def __init__(self, body: Any, lstms: Sequence[Any], policy: Link, value: Link, head: Any, masked: bool = False):
        super().__init__()
        self.body, self.lstms, self.policy, self.value = body, ChainList(*lstms), policy, value
        self.head, self.masked = head, masked

    def initial(self, n: int) -> tuple[Any, ...]:
        """The state at the start of n episodes: for each LSTM zeros h, c (n, units)."""
        W = self.lstms[0].W_x.array
        zeros = xp_of(W).zeros
        return tuple([(zeros((n, lstm.out_size), W.dtype), zeros((n, lstm.out_size), W.dtype)) for lstm in self.lstms])

    def forward(self, obs: Any, h: Any, reset: Any = None, valid: Any = None) -> tuple[tuple[Any, Any], Any]:
        if reset is not None:
            obs = map_(flat, obs)
        features = self._features(obs, reset)
        outs, states = zip(*[lstm(features, state, reset) for lstm, state in zip(self.lstms, h)])
        if reset is not None:
            at = None if valid is None or valid.all() else as_array(valid).ravel()
            outs = tuple([F.reshape(out, (-1, out.shape[-1])) for out in outs])
            if at is not None:
                outs, obs = tuple([out[at] for out in outs]), map_(lambda a: a[at], obs)
        value = F.reshape(self.value(outs[-1]), (-1,))
        return (headed(self, self.policy(outs[0]), obs), value), states

    def distribution(self, obs: Any, h: Any) -> tuple[Any, Any]:
        """The distribution over actions in one step (N, ...), and the state after it."""
        out, states = self.numbers(obs, h)
        return headed(self, out, obs), states

    def numbers(self, obs: Any, h: Any) -> tuple[Any, Any]:
        """The numbers (N, n) of which the head makes the distribution in one step, and the state after it.

        h may be of the first LSTM alone, which is the policy's.
        """
        features = self.body(obs)
        outs, states = zip(*[lstm(features, state) for lstm, state in zip(self.lstms, h)])
        return self.policy(outs[0]), states

    def values(self, obs: Any, h: Any, reset: Any = None) -> tuple[Any, Any]:
        """The values alone, and the state after them, in which the policy's own is as it was."""
        if reset is not None:
            obs = map_(flat, obs)
        out, state = self.lstms[-1](self._features(obs, reset), h[-1], reset)
        return F.reshape(self.value(F.reshape(out, (-1, out.shape[-1]))), (-1,)), (*h[:-1], state)

    def _features(self, rows: Any, reset: Any) -> Any:
        features = self.body(rows)
        return features if reset is None else F.reshape(features, (*reset.shape, -1))


def flat(a: Any) -> Any:
    """(T, N, ...) as rows (T * N, ...)."""
    return a.reshape(-1, *a.shape[2:])


def actor_critic(
    observation_space: Any,
    action_space: Any,
    hidden: Sequence[int] = (64, 64),
    *,
    activation: Any = F.tanh,
    ortho_init: bool = True,
    log_std: float = 0.0,
    share_layers: bool = False,
    lstm_hidden_size: int | None = None,
    sde: bool = False,
    full_std: bool = True,
    rng: np.random.Generator | None = None,
) -> ActorCritic | RecurrentActorCritic:
    """MLPs for policy and value; on one image a NatureCNN (512), which they share, and no layer in between.

    ortho_init: orthogonal weights with gain sqrt(2), 0.01 for the policy's last layer and 1 for the value's, zero
    biases; else uniform within 1 / sqrt(fan in). log_std: at the start, of continuous actions. share_layers: one MLP up
    to the last layers. lstm_hidden_size: a RecurrentActorCritic, its LSTM of so many units behind the layers that are
    shared; if none are, one for policy and value each. Its weights are uniform within 1 / sqrt(units). sde: exploration
    of Box actions by noise that depends on the state, `heads.StateDependent`.
    """
    head: Any = head_of(action_space, log_std)
    if sde and not isinstance(head, Gaussian):
        raise ValueError(f"use_sde needs the actions of one Box, got {action_space}")
    masked, observation_space = split_mask(observation_space, action_space)
    body, size = body_of(observation_space, rng)
    sizes = () if one_image(body) else tuple(hidden)
    if share_layers and sizes:
        *layers, _ = mlp(size, sizes, 1, rng, activation)
        body, size, sizes = followed(body, layers), sizes[-1], ()
    lstms: list[Any] = []
    if lstm_hidden_size is not None:
        uniform = Uniform(1 / math.sqrt(lstm_hidden_size), rng=rng)
        lstms = [L.LSTMScan(size, lstm_hidden_size, uniform, uniform) for _ in range(1 if share_layers else 2)]
        size = lstm_hidden_size
    policy, value = (mlp(size, sizes, n, rng, activation) for n in (head.size, 1))
    last: Link = policy
    if sde:
        policy.pop()
        head = StateDependent(action_space, sizes[-1] if sizes else size, log_std, full_std, rng)
        last = head.mean
    if ortho_init:
        for part, gain in ((body, math.sqrt(2)), (policy, math.sqrt(2)), (last, 0.01), (value, 1.0)):
            make_orthogonal(part, math.sqrt(2), gain, rng)
    if lstms:
        return RecurrentActorCritic(body, lstms, policy, value, head, masked)
    return ActorCritic(body, policy, value, head, masked)


def network_of(
    observation_space: Any, action_space: Any, config: Any, rng: np.random.Generator
) -> ActorCritic | RecurrentActorCritic:
    """The `actor_critic` of a config's settings, of which it may have some alone."""
    given: Any = {option: getattr(config, name) for name, option in NETWORK.items() if hasattr(config, name)}
    activation = ACTIVATIONS[config.activation]
    return actor_critic(observation_space, action_space, config.hidden, activation=activation, rng=rng, **given)


def make_orthogonal(link: Link, gain: float, last: float, rng: np.random.Generator | None) -> None:
    """Orthogonal weights with a gain, with another one in the last layer, and zero biases (Saxe et al. 2013)."""
    weights = [p for path, p in link.namedparams() if path.rsplit("/", 1)[-1] == "W"]
    for path, p in link.namedparams():
        if path.rsplit("/", 1)[-1] == "b":
            p.array = np.zeros_like(p.array)
    for p in weights:
        p.array = generate_array(Orthogonal(last if p is weights[-1] else gain, rng=rng), p.shape)
