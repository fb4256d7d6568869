"""What autograd adds to NumPy's own time on an array of one element, where nothing but overhead is left."""

from timing import PAIRS, Row, in_turns, table, µs

# isort: split
from statistics import median

import numpy as np

from rlcore.autograd import Variable
from rlcore.autograd import functions as F

CHAIN = 50  # ops between the leaf and the root


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

    def row(what: str, turns: list[tuple[float, ...]], ops: int, most: float, rulers: float) -> Row:
        ours, numpy, add = (median(side) for side in zip(*turns))
        over = median((a - b) / ops for a, b, _ in turns)
        bar = max(most, rulers * add)
        return Row(what, µs(ours / ops), f"{µs(numpy / ops)} NumPy, {µs(add)} np.add", over * 1e6, bar * 1e6, "µs over")

    def add() -> np.ndarray:
        return np.add(x, x)

    return [
        row("forward of tanh", in_turns(lambda: F.tanh(v), lambda: np.tanh(x), add), 1, 1.5e-6, 2.5),
        row(f"forward + backward, chain of {CHAIN}, an op", in_turns(chain, chain_by_hand, add), CHAIN, 3.5e-6, 5),
    ]


if __name__ == "__main__":
    print(table(rows()), f"\nmedians of {PAIRS} turns, one thread")
