"""Probability distributions, differentiable in their parameters, in Chainer's words.

Unlike Chainer's, `sample()` gives constants; `rsample()` gives draws through which gradients flow.
"""

from rlcore.distributions.base import Distribution, cross_entropy, kl_divergence, register_kl
from rlcore.distributions.continuous import Laplace, Normal, Uniform
from rlcore.distributions.discrete import Bernoulli, Categorical, MultiCategorical
from rlcore.distributions.gamma import Beta, Gamma
from rlcore.distributions.vectors import Independent, MultivariateNormal, Product, SquashedGaussian

__all__ = [
    "Bernoulli", "Beta", "Categorical", "Distribution", "Gamma", "Independent", "Laplace", "MultiCategorical",
    "MultivariateNormal", "Normal", "Product", "SquashedGaussian", "Uniform", "cross_entropy", "kl_divergence",
    "register_kl",
]  # fmt: skip
