"""Hooks of links: times, and weights that are normalised before they are used."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlcore import rng as _rng
from rlcore.autograd import functions as F
from rlcore.autograd.config import config
from rlcore.autograd.function import no_backprop_mode
from rlcore.autograd.function_hooks import Times
from rlcore.autograd.link_calls import LinkHook
from rlcore.autograd.parameter import Parameter
from rlcore.autograd.variable import as_array
from rlcore.backend import xp_of

__all__ = ["LinkHook", "SpectralNormalization", "TimerHook", "WeightStandardization"]


class TimerHook(Times, LinkHook):
    """Time and number of calls of each kind of link, those within it included: `with TimerHook() as hook: ...`."""

    name = "TimerHook"
    title, parts = "LinkName", ()

    def forward_preprocess(self, args: Any) -> None:
        args.before = len(self._starts)
        self.start(args.args)

    def forward_postprocess(self, args: Any) -> None:
        out = args.out if isinstance(args.out, tuple) else (args.out,)
        self.stop(type(args.link).__name__, tuple(map(as_array, out)))

    def finished(self, args: Any) -> None:
        del self._starts[args.before :]  # after an error it is still there, and would be the next outer link's


class _Weight(LinkHook):
    """A hook in whose forward a link's weight is a function of its parameter; gradients go through to it."""

    def __init__(self, weight_name: str, name: str | None):
        self.weight_name = weight_name
        if name is not None:
            self.name = name

    def added(self, link: Any) -> None:
        weight = getattr(link, self.weight_name, None)
        if not isinstance(weight, Parameter):
            raise ValueError(f"{self.name}: {type(link).__name__} has no weight {self.weight_name!r}")
        self.prepare(link, weight)

    def prepare(self, link: Any, weight: Any) -> None:
        """Called when the hook is added and, if the size was not known then, when it is."""

    def normalized(self, link: Any, weight: Any) -> Any:
        raise NotImplementedError

    def forward_preprocess(self, args: Any) -> None:
        link = args.link
        weight = link.__dict__[self.weight_name]
        if weight.array is None:  # the first call settles the size
            with no_backprop_mode():
                args()
            weight = link.__dict__[self.weight_name]
        self.prepare(link, weight)
        args.before = weight
        link.__dict__[self.weight_name] = self.normalized(link, weight)  # past __setattr__: nothing has changed

    def finished(self, args: Any) -> None:
        if args.before is not None:
            args.link.__dict__[self.weight_name] = args.before


class SpectralNormalization(_Weight):
    """The weight divided by its largest singular value, by power iteration (Miyato et al. 2018, algorithm 1).

    factor: of the result; use_gamma: a learnt factor, the parameter `gamma`, which starts as that singular value. The
    persistent `W_u` of shape (out,) moves in train mode only.
    """

    name = "SpectralNormalization"

    def __init__(
        self,
        n_power_iteration: int = 1,
        eps: float = 1e-6,
        use_gamma: bool = False,
        factor: float | None = None,
        weight_name: str = "W",
        name: str | None = None,
        *,
        rng: np.random.Generator | None = None,
    ):
        super().__init__(weight_name, name)
        if n_power_iteration < 1:
            raise ValueError(f"SpectralNormalization: n_power_iteration must be at least 1, got {n_power_iteration}")
        self.n_power_iteration, self.eps, self.use_gamma, self.factor = n_power_iteration, eps, use_gamma, factor
        self.vector_name = weight_name + "_u"
        self._rng = rng

    def prepare(self, link: Any, weight: Any) -> None:
        link = link.__dict__.get("_viewed_link", (link,))[0]
        if "_persistent" not in link.__dict__ or self.vector_name not in link._persistent:
            link.add_persistent(self.vector_name, None)
            if self.use_gamma:
                link.gamma = Parameter(1)
        if weight.array is None:
            return
        matrix = self._matrix(link, weight.array)
        if getattr(link, self.vector_name) is None:
            drawn = (self._rng or _rng.default()).standard_normal(len(matrix))
            setattr(link, self.vector_name, xp_of(matrix).asarray(drawn.astype(weight.dtype)))
        if self.use_gamma and link.gamma.array is None:
            u, v = self._iterated(matrix, getattr(link, self.vector_name), 100)
            link.gamma.settle((u.dot(matrix) * v).sum())

    def deleted(self, link: Any) -> None:
        link._persistent.pop(self.vector_name)
        if self.use_gamma:
            del link.gamma
        link.__dict__.pop("_vectors", None)

    def _axis(self, link: Any) -> int:
        return int(any(c.__name__.startswith("Deconvolution") for c in type(link).__mro__))

    def _matrix(self, link: Any, W: Any) -> Any:
        if self._axis(link):
            W = W.transpose(1, 0, *range(2, W.ndim))
        return W.reshape(len(W), -1)

    def _iterated(self, matrix: Any, u: Any, n: int) -> Any:
        for _ in range(n):
            v = u.dot(matrix)
            v = v / ((v * v).sum() ** 0.5 + self.eps)
            u = matrix.dot(v)
            u = u / ((u * u).sum() ** 0.5 + self.eps)
        return u, v

    def normalized(self, link: Any, weight: Any) -> Any:
        W = weight.array
        if config.in_recomputing:
            u, v = link.__dict__["_vectors"]
        else:
            u, v = self._iterated(self._matrix(link, W), getattr(link, self.vector_name), self.n_power_iteration)
            link.__dict__["_vectors"] = u, v
            if config.train:
                setattr(link, self.vector_name, u)
        outer = u[:, None] * v  # the derivative of u W v
        if self._axis(link):
            outer = outer.reshape(W.shape[1], W.shape[0], -1).transpose(1, 0, 2)
        sigma = F.sum(weight * outer.reshape(W.shape))
        if self.factor is not None:
            sigma = sigma * (1 / self.factor)
        return weight / sigma * link.gamma if self.use_gamma else weight / sigma


class WeightStandardization(_Weight):
    """The weight with mean 0 and variance 1 over all axes but the first (Qiao et al. 2019, eq. 5)."""

    name = "WeightStandardization"

    def __init__(self, *, eps: float = 1e-5, weight_name: str = "W", name: str | None = None):
        super().__init__(weight_name, name)
        self.eps = eps

    def normalized(self, link: Any, weight: Any) -> Any:
        axes = tuple(range(1, weight.ndim))
        centred = weight - F.mean(weight, axes, keepdims=True)
        return centred / F.sqrt(F.mean(centred * centred, axes, keepdims=True) + self.eps)
