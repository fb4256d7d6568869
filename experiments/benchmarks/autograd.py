"""What autograd adds to NumPy's own time on an array of one element, where nothing but overhead is left."""

from timing import COUNT, PAIRS, Row, in_turns, table, µs

# isort: split
from collections.abc import Callable
from importlib.util import find_spec
from statistics import median

import numpy as np

from rlcore.autograd import Variable
from rlcore.autograd import functions as F

CHAIN = 50  # ops between the leaf and the root


def by_torch(x: np.ndarray) -> tuple[Callable[[], object], Callable[[], object]]:
    """The forward and the chain in PyTorch, if it is installed."""
    import torch

    v = torch.from_numpy(x.copy()).requires_grad_()

    def chain() -> None:
        y = v
        for _ in range(CHAIN):
            y = torch.tanh(y)
        y.backward()
        v.grad = None

    return lambda: torch.tanh(v), chain


def rows() -> list[Row]:
    x = np.full(1, 0.5, np.float32)
    v = Variable(x)

    def chain() -> None:
        y = v
        for _ in range(CHAIN):
            y = F.tanh(y)
        y.backward()
        v.cleargrad()

    def chain_by_hand() -> None:
        ys, y = [], x
        for _ in range(CHAIN):
            y = np.tanh(y)
            ys.append(y)
        g = np.ones_like(y)
        for y in reversed(ys):
            g = g * (1 - y * y)

    def add() -> np.ndarray:
        return np.add(x, x)

    def row(what: str, fs: list[Callable[[], object]], ops: int, most: float, rulers: float) -> Row:
        turns = in_turns(*fs[:2], add, *fs[2:])
        ours, numpy, clock, *torch = (median(side) for side in zip(*turns))
        over = median((turn[0] - turn[1]) / ops for turn in turns)
        bar = max(most, rulers * clock)
        others = [f"{µs(numpy / ops)} NumPy", f"{µs(clock)} np.add", *(f"{µs(t / ops)} PyTorch" for t in torch)]
        return Row(what, µs(ours / ops), ", ".join(others), over * 1e6, bar * 1e6, "µs over")

    torch = [] if find_spec("torch") is None else [[f] for f in by_torch(x)]
    forward, both = torch or ([], [])
    return [
        row("forward of tanh", [lambda: F.tanh(v), lambda: np.tanh(x), *forward], 1, 1.5e-6, 2.5),
        row(f"forward + backward, chain of {CHAIN}, an op", [chain, chain_by_hand, *both], CHAIN, 3.5e-6, 5),
    ]


if __name__ == "__main__":
    print(table(rows()), f"\nmedians of {PAIRS} turns, {COUNT} thread(s)")
