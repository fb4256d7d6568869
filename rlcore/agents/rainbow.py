"""Rainbow (Hessel et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass

from rlcore.agents.c51 import CategoricalDQN, CategoricalDQNConfig
from rlcore.fields import Count, Fraction, Natural, Positive, Probability, Rate, Schedule, Updates


@dataclass(frozen=True)
class RainbowConfig(CategoricalDQNConfig):
    """Settings of Rainbow, by default those of Hessel et al. 2018, table 1, for Atari; steps are rows."""

    learning_rate: Rate = Schedule(6.25e-5)  # of Adam
    buffer_size: Count = 1_000_000  # rows: a transition each, and one more for each episode
    learning_starts: Natural = 20_000  # rows before the first update: 80,000 frames
    batch_size: Count = 32  # transitions per update
    n_step: Count = 3  # rewards summed before bootstrapping, without correction
    update_every: Count = 4  # rows between rounds of updates
    gradient_steps: Updates = 1  # updates in a round; -1: as many as there were rows
    target_update_interval: Count = 2_000  # updates between target updates: 32,000 frames
    hidden: tuple[Count, ...] = (512,)  # units of the hidden layers; images have those of Mnih et al. 2015 instead
    double: bool = True  # the network chooses the successor's action, the target network values it
    dueling: bool = True  # value and advantages have streams of their own
    noisy: bool = True  # linear layers have noise of learnt scale, by which it explores
    adam_eps: Positive = 1.5e-4  # of Adam, added to the root of the second moment
    prioritized: bool = True  # transitions of large errors are drawn more often
    priority_alpha: Fraction = 0.5  # how much more often: 0 not at all, 1 in proportion to the error
    priority_beta: Probability = Schedule(0.4, 1.0, 50_000_000)  # share of the bias by this that weights take back


class Rainbow(CategoricalDQN):
    """C51 with double targets, dueling and noisy networks, returns of several steps and prioritized replay."""

    Config = RainbowConfig
