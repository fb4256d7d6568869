"""Asynchronous advantage actor-critic (Mnih et al. 2016)."""

from __future__ import annotations

from dataclasses import dataclass

from rlcore.agents.a2c import A2C, A2CConfig
from rlcore.fields import Rate, Schedule, Weight


@dataclass(frozen=True)
class A3CConfig(A2CConfig):
    """Settings of A3C, by default those of A2C but for two of the paper's."""

    learning_rate: Rate = Schedule(7e-4)  # of the RMSprop whose mean squares all workers share
    ent_coef: Weight = 0.01  # weight of the entropy in the loss (section 5.1)
    eps_inside_sqrt: bool = True  # add rms_prop_eps to the mean square before the root (eq. S3)


class A3C(A2C):
    """A2C whose workers learn at the same time, on shared parameters, each from streams of its own (algorithm S3).

    This is one worker; `rlcore.parallel.hogwild` lets several learn. An update comes every n_steps steps, also where an
    episode ends, which ends the returns. It takes the mean over its steps; the paper takes the sum, which is the same
    with n_steps^2 times the rms_prop_eps and n_steps times the max_grad_norm.
    """

    Config = A3CConfig
    asynchronous = True
    apart = "its workers learn without waiting for each other; take A2C"
