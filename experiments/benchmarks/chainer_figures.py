"""What Chainer 7.8.1 takes for the same work, by itself: it needs Python 3.9 and NumPy below 1.24, so no pairs.

python3.9 -m venv chainer && chainer/bin/pip install "numpy<1.24" "setuptools<60" chainer==7.8.1
chainer/bin/python -W ignore experiments/benchmarks/chainer_figures.py
"""

import timing

# isort: split
from statistics import median

import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np

CHAIN = 50


def µs(f) -> str:
    timing.per_call(f, 20)
    calls = max(1, round(timing.BLOCK / timing.per_call(f, 20)))
    return timing.µs(median(timing.per_call(f, calls) for _ in range(timing.PAIRS)))


def network(*sizes: int) -> chainer.Sequential:
    layers = []
    for i in range(len(sizes) - 1):
        layers += [L.Linear(sizes[i], sizes[i + 1]), F.relu]
    return chainer.Sequential(*layers[:-1])


def main() -> None:
    rng = np.random.default_rng(0)
    x = np.full(1, 0.5, np.float32)
    v = chainer.Variable(x)
    print("np.add on one element", timing.µs(timing.ruler()))
    print("forward of tanh", µs(lambda: F.tanh(v)))

    def chain() -> None:
        y = v
        for _ in range(CHAIN):
            y = F.tanh(y)
        y.backward()
        v.cleargrad()

    print(f"forward + backward, chain of {CHAIN}", µs(chain))
    obs, action = rng.standard_normal((32, 4), np.float32), rng.integers(0, 2, 32).astype(np.int32)
    target = rng.standard_normal(32, np.float32)

    def update(model, loss):
        optimizer = chainer.optimizers.Adam().setup(model)

        def step() -> None:
            value = loss()
            model.cleargrads()
            value.backward()
            optimizer.update()

        return step

    q = network(4, 64, 64, 2)
    loss = update(q, lambda: F.mean_squared_error(F.select_item(q(obs), action), target))
    print("DQN update, batch 32", µs(loss))

    def act() -> int:
        with chainer.no_backprop_mode():
            return q(obs[:1]).array.argmax()

    print("acting on one observation", µs(act))
    wide, states, targets = network(17, 256, 256, 6), *(rng.standard_normal((256, n), np.float32) for n in (17, 6))
    print("MLP 17-256-256-6, batch 256", µs(update(wide, lambda: F.mean_squared_error(wide(states), targets))))

    upward, lateral = L.Linear(64, 256), L.Linear(64, 256)
    sequence, zeros = rng.standard_normal((16, 32, 64), np.float32), np.zeros((32, 64), np.float32)

    def lstm() -> None:
        c = h = zeros
        for step in sequence:
            c, h = F.lstm(c, upward(step) + lateral(h))
        total = F.sum(h)
        upward.cleargrads(), lateral.cleargrads()
        total.backward()

    print("LSTM 64, batch 32, 16 steps, F.lstm", µs(lstm))
    nature = chainer.Sequential(
        L.Convolution2D(4, 32, 8, 4), F.relu, L.Convolution2D(32, 64, 4, 2), F.relu, L.Convolution2D(64, 64, 3), F.relu,
        L.Linear(None, 512), F.relu, L.Linear(512, 6),
    )  # fmt: skip
    frames = rng.standard_normal((32, 4, 84, 84), np.float32)

    def convolutions() -> None:
        total = F.sum(nature(frames))
        nature.cleargrads()
        total.backward()

    print("Nature CNN, batch 32, forward + backward", µs(convolutions))


if __name__ == "__main__":
    main()
