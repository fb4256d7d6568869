"""One DQN update and one action, 4-64-64-2, against PyTorch eager on the same numbers."""

from timing import COUNT, PAIRS, Pair, Row, Skipped, compare, missing, table, µs

# isort: split
from itertools import pairwise

import numpy as np

from rlcore.autograd import Sequential, optimizers
from rlcore.autograd import functions as F
from rlcore.autograd import links as L

SIZES = (4, 64, 64, 2)
BATCH = 32
LR = 1e-3
rng = np.random.default_rng(0)
OBS = rng.standard_normal((BATCH, 4), np.float32)
ACTION = rng.integers(0, 2, BATCH)
TARGET = rng.standard_normal(BATCH, np.float32)


def network() -> Sequential:
    return Sequential(L.Linear(4, 64), F.relu, L.Linear(64, 64), F.relu, L.Linear(64, 2))


def twin(model: Sequential):
    """The same network with the same numbers in PyTorch."""
    import torch

    layers = [torch.nn.Linear(a, b) for a, b in pairwise(SIZES)]
    for theirs, ours in zip(layers, [link for link in model if isinstance(link, L.Linear)]):
        theirs.weight.data[:] = torch.from_numpy(np.array(ours.W.array))
        theirs.bias.data[:] = torch.from_numpy(np.array(ours.b.array))
    relu = torch.nn.ReLU
    return torch.nn.Sequential(layers[0], relu(), layers[1], relu(), layers[2])


def update(**adam: bool) -> Pair:
    import torch

    model = network()
    model(OBS)
    net = twin(model)
    optimizer = optimizers.Adam(alpha=LR).setup(model)
    torch_optimizer = torch.optim.Adam(net.parameters(), lr=LR, **adam)
    obs, action, target = torch.from_numpy(OBS), torch.from_numpy(ACTION)[:, None], torch.from_numpy(TARGET)

    def ours() -> None:
        loss = F.mean_squared_error(F.select_item(model(OBS), ACTION), TARGET)
        model.cleargrads()
        loss.backward()
        optimizer.update()

    def theirs() -> None:
        loss = torch.nn.functional.mse_loss(net(obs).gather(1, action)[:, 0], target)
        torch_optimizer.zero_grad()
        loss.backward()
        torch_optimizer.step()

    for _ in range(10):
        ours(), theirs()
    np.testing.assert_allclose(model(OBS).array, net(obs).detach().numpy(), rtol=1e-3, atol=1e-4)  # the same work
    return compare(ours, theirs)


def acting() -> Pair:
    import torch

    model = network()
    obs = OBS[:1]
    model(obs)
    view, net = model.view(), twin(model)

    def ours() -> int:
        return view(obs).array.argmax()

    @torch.no_grad()
    def theirs() -> int:
        return net(torch.from_numpy(obs)).argmax().item()

    np.testing.assert_equal(ours(), theirs())
    return compare(ours, theirs)


def rows() -> list[Row | Skipped]:
    if skipped := list(missing("DQN update and acting against PyTorch", "torch")):
        return skipped

    def row(what: str, pair: Pair, other: str, bar: float) -> Row:
        return Row(what, µs(pair.ours), f"{µs(pair.other)} {other}", pair.ratio, bar, "x")

    return [
        row("DQN update, batch 32", update(), "PyTorch, Adam", 5),
        row("DQN update, batch 32", update(fused=True), "PyTorch, fused Adam", 3.5),
        row("acting on one observation", acting(), "PyTorch, no_grad", 2.5),
    ]


if __name__ == "__main__":
    print(table(rows()), f"\nmedians of {PAIRS} pairs, {COUNT} thread(s)")
