"""Which ranks learn, and which act for them."""

from __future__ import annotations

from typing import NamedTuple

from rlcore.parallel.base import Comm


class Roles(NamedTuple):
    """What the ranks of a communicator are: the first `learners` learn, actor i, rank learners + i, acts for one."""

    rank: int
    size: int
    learners: int = 1

    @classmethod
    def of(cls, comm: Comm, learners: int = 1) -> Roles:
        """Those of a communicator; ValueError if there would be no learner, or one without an actor."""
        if learners < 1:
            raise ValueError(f"learners must be at least 1, got {learners}")
        if comm.size < 2 * learners:
            raise ValueError(
                f"{learners} learners and at least as many actors need {2 * learners} ranks, there are "
                f"{comm.size}: start more (rlcore launch -n), or take fewer learners"
            )
        return cls(comm.rank, comm.size, learners)

    @property
    def learns(self) -> bool:
        return self.rank < self.learners

    @property
    def actors(self) -> int:
        """How many there are, of all learners."""
        return self.size - self.learners

    @property
    def actor(self) -> int:
        """The number of this actor."""
        return self.rank - self.learners

    @property
    def learner(self) -> int:
        """The rank for which this actor acts."""
        return self.actor % self.learners

    def of_learner(self, learner: int) -> tuple[int, ...]:
        """The ranks that act for a learner."""
        return tuple(range(self.learners + learner, self.size, self.learners))
