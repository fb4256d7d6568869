"""How on-policy agents act: what they remember of the streams, noise that depends on the state, their policies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rlcore.actor_critic import RecurrentActorCritic, headed
from rlcore.agents.base import Policy
from rlcore.agents.recurrent import RecurrentPolicy, Remembered
from rlcore.autograd import as_array
from rlcore.backend import to_cpu
from rlcore.bodies import MASK
from rlcore.distributions.base import array_like
from rlcore.heads import StateDependent, StateDependentNormal
from rlcore.tree import Tree, leaves, map_


class Memory(Remembered):
    """The recurrent state of N streams, and `starts`, on the host, as it was when the sequences of a rollout began."""

    def __init__(self, model: Any):
        super().__init__(model)
        self.starts: list[Tree] = []  # (N, ...) each
        self.acted = False  # for the row that is observed next: h is the state after it

    def state(self) -> dict[str, Any]:
        return {**super().state(), "starts": [list(leaves(h)) for h in self.starts]}

    def check(self, state: dict[str, Any]) -> None:
        if state.keys() != {"h", "starts"}:
            raise ValueError(f"load: a memory has h and starts, this one {sorted(state)}")
        super().check({"h": state["h"]})
        for h in state["starts"]:
            super().check({"h": h})

    def load(self, state: dict[str, Any]) -> None:
        self.check(state)
        h = self._nested(state["h"])
        self.h = None if h is None else self.copied(h)
        self.starts = [map_(np.array, self._nested(h)) for h in state["starts"]]


class Exploration:
    """State-dependent noise of N streams, whose coefficients hold for `every` steps of a rollout."""

    def __init__(self, head: StateDependent, every: int, rng: np.random.Generator):
        self.head, self.every, self.rng = head, every, rng
        self.coefficients: Any = None  # (N, features, actions); None: not drawn yet

    def __call__(self, distribution: StateDependentNormal, step: int) -> tuple[Any, Any]:
        """Actions and their log_probs in this step of the rollout."""
        if step % self.every == 0:
            self.coefficients = self.head.coefficients(len(distribution.features), self.rng)
        return distribution.explored(self.coefficients)

    def state(self) -> dict[str, Any]:
        return {} if self.coefficients is None else {"coefficients": self.coefficients}

    def check(self, state: dict[str, Any]) -> None:
        """ValueError unless `load` can take this state."""
        got, size = np.shape(state.get("coefficients", ())), (self.head.size, self.head.mean.b.array.size)
        if state and (state.keys() != {"coefficients"} or len(got) != 3 or got[1:] != size):
            raise ValueError(f"load: exploration has coefficients {('N', *size)}, got {sorted(state)} {got}")

    def load(self, state: dict[str, Any]) -> None:
        self.check(state)
        self.coefficients = array_like(self.head.log_std, np.array(state["coefficients"])) if state else None


class ActorPolicy(Policy):
    """Acts by a model's distribution: the likeliest action, or one drawn from rng.

    there: what brings arrays to the model.
    """

    def __init__(self, model: Any, rng: np.random.Generator | None, there: Callable[[Tree], Tree]):
        self.model, self.rng, self.there = model, rng, there

    def __call__(self, obs: Any) -> Any:
        return self.chosen(self.model.numbers(self.there(obs)), obs)

    def chosen(self, numbers: Any, obs: Any) -> Any:
        """Actions for the environment by the numbers of the model."""
        seen = {MASK: self.there(obs[MASK])} if self.model.masked else obs
        distribution = headed(self.model, numbers, seen)
        action = distribution.mode if self.rng is None else distribution.sample(rng=self.rng)
        return self.model.head.to_env(map_(lambda a: to_cpu(as_array(a)), action))

    def head(self) -> dict[str, Any]:
        """The head, as it is exported."""
        return {**self.model.head.exported(), **({"mask": MASK} if self.model.masked else {})}

    def exported(self) -> tuple[Any, dict[str, Any]]:
        model = self.model
        return lambda obs: plain(model, model.numbers(obs)), self.head()


class RecurrentActorPolicy(RecurrentPolicy):
    """An `ActorPolicy` of a model with a memory, of which it keeps the state for its streams."""

    def __init__(self, policy: ActorPolicy):
        super().__init__(Numbers(policy.model), policy.chosen, policy.head(), policy.there)

    def exported(self) -> tuple[Any, dict[str, Any]]:
        model = self.model.actor_critic

        def network(obs: Any, h: Tree) -> tuple[Any, Tree]:
            out, h = model.numbers(obs, h)
            return plain(model, out), h

        return network, self.head


class Numbers:
    """model(obs, h) gives the numbers for the head of a RecurrentActorCritic, and its policy's state after the step."""

    def __init__(self, model: RecurrentActorCritic):
        self.actor_critic = model

    def initial(self, n: int) -> Tree:
        return self.actor_critic.initial(n)[:1]

    def __call__(self, obs: Any, h: Tree) -> tuple[Any, Tree]:
        return self.actor_critic.numbers(obs, h)


def plain(model: Any, out: Any) -> Any:
    """The numbers of the likeliest actions alone."""
    return model.head.mean(out) if isinstance(model.head, StateDependent) else out


def resets(columns: dict[str, Tree]) -> Any:
    """Bool (T, N): before which rows of a rollout the state is zeroed, the first ones excepted."""
    cut = columns["terminated"] | columns["truncated"] | ~columns["valid"]
    return np.concatenate((np.zeros_like(cut[:1]), cut[:-1]))
