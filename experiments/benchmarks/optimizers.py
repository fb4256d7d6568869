"""A continuous-control network's update, and Adam alone on a Nature CNN's parameters, against PyTorch."""

from timing import COUNT, PAIRS, Pair, Row, Skipped, compare, missing, table, µs

# isort: split
import numpy as np

from rlcore.autograd import Chain, Parameter, Sequential, optimizers
from rlcore.autograd import functions as F
from rlcore.autograd import links as L

BATCH = 256
NATURE = (  # 1.7 million parameters
    (32, 4, 8, 8), (32,), (64, 32, 4, 4), (64,), (64, 64, 3, 3), (64,), (512, 3136), (512,), (6, 512), (6,),
)  # fmt: skip
rng = np.random.default_rng(0)


def mlp() -> Pair:
    import torch

    model = Sequential(L.Linear(17, 256, relu=True), L.Linear(256, 256, relu=True), L.Linear(256, 6))
    relu, layers = torch.nn.ReLU, [torch.nn.Linear(*sizes) for sizes in ((17, 256), (256, 256), (256, 6))]
    for theirs, ours in zip(layers, model):
        theirs.weight.data[:] = torch.from_numpy(np.array(ours.W.array))
        theirs.bias.data[:] = torch.from_numpy(np.array(ours.b.array))
    net = torch.nn.Sequential(layers[0], relu(), layers[1], relu(), layers[2])
    optimizer = optimizers.Adam(1e-3, corrected_eps=True).setup(model)
    torch_optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    x, t = rng.standard_normal((BATCH, 17), np.float32), rng.standard_normal((BATCH, 6), np.float32)
    torch_x, torch_t = torch.from_numpy(x), torch.from_numpy(t)

    def ours() -> None:
        loss = F.mean_squared_error(model(x), t)
        model.cleargrads()
        loss.backward()
        optimizer.update()

    def theirs() -> None:
        loss = torch.nn.functional.mse_loss(net(torch_x), torch_t)
        torch_optimizer.zero_grad()
        loss.backward()
        torch_optimizer.step()

    for _ in range(10):
        ours(), theirs()
    np.testing.assert_allclose(model(x).array, net(torch_x).detach().numpy(), rtol=1e-3, atol=1e-3)  # the same work
    return compare(ours, theirs)


def adam() -> Pair:
    """Adam alone."""
    import torch

    model, weights = Chain(), [rng.standard_normal(shape, np.float32) for shape in NATURE]
    for i, w in enumerate(weights):
        setattr(model, f"p{i}", Parameter(w))
    theirs = [torch.nn.Parameter(torch.from_numpy(w.copy())) for w in weights]
    for p, q in zip(model.params(), theirs):
        p.grad = rng.standard_normal(p.shape, np.float32)
        q.grad = torch.from_numpy(p.grad.copy())
    optimizer = optimizers.Adam(1e-3, corrected_eps=True).setup(model)
    torch_optimizer = torch.optim.Adam(theirs, lr=1e-3)
    for _ in range(3):
        optimizer.update(), torch_optimizer.step()
    for p, q in zip(model.params(), theirs):
        np.testing.assert_allclose(p.array, q.detach().numpy(), rtol=1e-4, atol=1e-5)  # the same work
    return compare(optimizer.update, torch_optimizer.step)


def rows() -> list[Row | Skipped]:
    if skipped := list(missing("optimizers against PyTorch", "torch")):
        return skipped

    def row(what: str, pair: Pair, other: str, bar: float) -> Row:
        return Row(what, µs(pair.ours), f"{µs(pair.other)} {other}", pair.ratio, bar, "x")

    return [
        row("update of 17-256-256-6, batch 256", mlp(), "PyTorch, Adam", 1.5),
        row("Adam, 1.7 million parameters", adam(), "PyTorch", 1),
    ]


if __name__ == "__main__":
    print(table(rows()), f"\nmedians of {PAIRS} pairs, {COUNT} thread(s)")
