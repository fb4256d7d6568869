"""Updates of DQN, C51 and QR-DQN and one action, hidden layers 64-64, against PyTorch eager on the same numbers."""

from timing import COUNT, PAIRS, Pair, Row, Skipped, compare, missing, table, µs

# isort: split
from itertools import pairwise
from typing import Any

import numpy as np

from rlcore.autograd import Sequential, optimizers
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.autograd.optimizer_hooks import GradientClipping
from rlcore.losses import action_cross_entropy
from rlcore.q_networks import CategoricalQ, QuantileQ, of_actions

SIZES = (4, 64, 64, 2)
BATCH = 32
LR = 1e-3
rng = np.random.default_rng(0)
OBS = rng.standard_normal((BATCH, 4), np.float32)
ACTION = rng.integers(0, 2, BATCH)
TARGET = rng.standard_normal(BATCH, np.float32)
NEXT_OBS = rng.standard_normal((BATCH, 4), np.float32)
DISCOUNT = rng.choice(np.float32([0, 0.99]), BATCH, p=[0.1, 0.9])
V, ATOMS, QUANTILES = 10.0, 51, 50  # returns from -V to V


def network(outputs: int = 1) -> Sequential:
    return Sequential(L.Linear(4, 64), F.relu, L.Linear(64, 64), F.relu, L.Linear(64, 2 * outputs))


def twin(model: Sequential, outputs: int = 1):
    """The same network with the same numbers in PyTorch."""
    import torch

    layers = [torch.nn.Linear(a, b) for a, b in pairwise((*SIZES[:-1], SIZES[-1] * outputs))]
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


def distributional(outputs: int, wrap: Any, our_loss: Any, their_loss: Any) -> Pair:
    """A whole update: the target's forward pass, the loss, clipping, Adam."""
    import torch

    model, target = network(outputs), network(outputs)
    net, their_target = twin(model, outputs), twin(target, outputs)
    q, target_q = wrap(model), wrap(target).view()
    optimizer = optimizers.Adam(alpha=LR, corrected_eps=True).setup(q)
    optimizer.add_hook(GradientClipping(10.0))
    torch_optimizer = torch.optim.Adam(net.parameters(), lr=LR)
    tensors = [torch.from_numpy(x) for x in (OBS, NEXT_OBS, ACTION, TARGET, DISCOUNT)]

    def ours() -> None:
        loss = F.average(our_loss(q, target_q))
        q.cleargrads()
        loss.backward()
        optimizer.update()

    def theirs() -> None:
        loss = their_loss(net, their_target, *tensors)
        torch_optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        torch_optimizer.step()

    for _ in range(10):
        ours(), theirs()
    np.testing.assert_allclose(
        model(OBS).array, net(tensors[0]).detach().numpy(), rtol=1e-3, atol=1e-4
    )  # the same work
    return compare(ours, theirs)


def categorical(model: Sequential) -> CategoricalQ:
    return CategoricalQ(model, 2, -V, V, ATOMS)


def quantile(model: Sequential) -> QuantileQ:
    return QuantileQ(model, 2)


def our_c51(q: Any, target_q: Any) -> Any:
    probs = F.softmax(target_q.outputs(NEXT_OBS), axis=2).array
    following = of_actions(probs, (probs @ q.atoms).argmax(axis=1)).array
    goal = F.categorical_projection(following, TARGET, DISCOUNT, q.atoms).array
    return action_cross_entropy(q.outputs(OBS), ACTION, goal)


def their_c51(net: Any, target: Any, obs: Any, next_obs: Any, action: Any, reward: Any, discount: Any) -> Any:
    import torch

    rows, atoms, step = torch.arange(BATCH), torch.linspace(-V, V, ATOMS), 2 * V / (ATOMS - 1)
    with torch.no_grad():
        probs = target(next_obs).view(BATCH, 2, ATOMS).softmax(2)
        following = probs[rows, (probs * atoms).sum(2).argmax(1)]
        at = (reward[:, None] + discount[:, None] * atoms).clamp(-V, V).add(V).div(step).clamp(0, ATOMS - 1)
        low, high = at.floor().long(), at.ceil().long()
        goal = torch.zeros(BATCH, ATOMS)
        goal.scatter_add_(1, low, following * (high - at + (low == high)))
        goal.scatter_add_(1, high, following * (at - low))
    return -(goal * net(obs).view(BATCH, 2, ATOMS)[rows, action].log_softmax(1)).sum(1).mean()


def our_qr(q: Any, target_q: Any) -> Any:
    quantiles = target_q.outputs(NEXT_OBS).array
    following = of_actions(quantiles, quantiles.mean(axis=2).argmax(axis=1)).array
    goal = TARGET[:, None] + DISCOUNT[:, None] * following
    z = of_actions(q.outputs(OBS), ACTION)
    return F.quantile_huber_loss(z, goal, reduce="sum_along_second_axis")


def their_qr(net: Any, target: Any, obs: Any, next_obs: Any, action: Any, reward: Any, discount: Any) -> Any:
    import torch

    rows, taus = torch.arange(BATCH), (torch.arange(QUANTILES) + 0.5) / QUANTILES
    with torch.no_grad():
        quantiles = target(next_obs).view(BATCH, 2, QUANTILES)
        following = quantiles[rows, quantiles.mean(2).argmax(1)]
        goal = reward[:, None] + discount[:, None] * following
    z = net(obs).view(BATCH, 2, QUANTILES)[rows, action]
    d = goal[:, None, :] - z[:, :, None]
    huber = torch.where(d.abs() <= 1, 0.5 * d * d, d.abs() - 0.5)
    return ((taus[:, None] - (d.detach() < 0).float()).abs() * huber).sum(1).mean(1).mean()


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
        row(
            "C51 update, batch 32, 51 atoms", distributional(ATOMS, categorical, our_c51, their_c51), "PyTorch, Adam", 3
        ),
        row(
            "QR-DQN update, batch 32, 50 quantiles",
            distributional(QUANTILES, quantile, our_qr, their_qr),
            "PyTorch, Adam",
            3,
        ),
        row("acting on one observation", acting(), "PyTorch, no_grad", 2.5),
    ]


if __name__ == "__main__":
    print(table(rows()), f"\nmedians of {PAIRS} pairs, {COUNT} thread(s)")
