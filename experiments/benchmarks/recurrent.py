"""LSTM of 64 units over 16 steps, batch 32, forward and backward, against PyTorch on the same numbers."""

from timing import COUNT, PAIRS, Pair, Row, Skipped, compare, missing, table, µs

# isort: split
from collections.abc import Callable

import numpy as np

from rlcore.autograd import functions as F
from rlcore.autograd import links as L

STEPS, BATCH, SIZE = 16, 32, 64
rng = np.random.default_rng(0)
X, GY = rng.standard_normal((2, STEPS, BATCH, SIZE), np.float32)
RESET = rng.random((STEPS, BATCH)) < 0.01  # episodes of 100 steps
NEVER = np.zeros_like(RESET)
Run = Callable[[], np.ndarray]  # gives the outputs, and leaves gradients on the weights


def by_scan(link: L.LSTMScan, reset: np.ndarray) -> Run:
    """The whole sequence as one op."""

    def run() -> np.ndarray:
        link.cleargrads()
        ys, _ = link(X, None, reset)
        ys.grad = GY
        ys.backward()
        return ys.array

    return run


def by_cells(link: L.StatelessLSTM) -> Run:
    """F.lstm step by step."""

    def run() -> np.ndarray:
        link.cleargrads()
        c = h = None
        hs = []
        for x in X:
            c, h = link(c, h, x)
            hs.append(h)
        ys = F.stack(hs)
        ys.grad = GY
        ys.backward()
        return ys.array

    return run


def twin(W_x: np.ndarray, W_h: np.ndarray, b: np.ndarray):
    """PyTorch's LSTM with these weights, whose rows are the gates i, f, a, o."""
    import torch

    net = torch.nn.LSTM(SIZE, SIZE)
    for theirs, ours in zip(net.parameters(), (W_x, W_h, b, 0 * b)):
        theirs.data[:] = torch.from_numpy(np.array(ours))
    return net


def by_module(net) -> Run:
    """nn.LSTM."""
    import torch

    x, gy = torch.from_numpy(X), torch.from_numpy(GY)

    def run() -> np.ndarray:
        net.zero_grad()
        ys, _ = net(x)
        ys.backward(gy)
        return ys.detach().numpy()

    return run


def by_steps(net, reset: np.ndarray | None = None) -> Run:
    """The cell in eager mode."""
    import torch

    x, gy, zeros = torch.from_numpy(X), torch.from_numpy(GY), torch.zeros(BATCH, SIZE)
    keep = None if reset is None else torch.from_numpy(~reset).float()[:, :, None]
    W_x, W_h, b, _ = net.parameters()
    linear, sigmoid, tanh = torch.nn.functional.linear, torch.sigmoid, torch.tanh

    def run() -> np.ndarray:
        net.zero_grad()
        h = c = zeros
        hs = []
        for t in range(STEPS):
            if keep is not None:
                h, c = h * keep[t], c * keep[t]
            i, f, a, o = (linear(x[t], W_x, b) + linear(h, W_h)).chunk(4, 1)
            c = sigmoid(f) * c + sigmoid(i) * tanh(a)
            h = sigmoid(o) * tanh(c)
            hs.append(h)
        ys = torch.stack(hs)
        ys.backward(gy)
        return ys.detach().numpy()

    return run


def by_gate(a: np.ndarray) -> np.ndarray:
    """Rows a, i, f, o of each unit as blocks i, f, a, o."""
    return np.concatenate([a[k::4] for k in (1, 2, 0, 3)])


def checked(ours: Run, theirs: Run, gradients: Callable[[], list], net) -> None:
    """Both sides give the same outputs and gradients."""
    np.testing.assert_allclose(ours(), theirs(), rtol=1e-4, atol=1e-5)
    for a, b in zip(gradients(), net.parameters()):
        np.testing.assert_allclose(a, b.grad.numpy(), rtol=1e-3, atol=1e-3)


def rows() -> list[Row | Skipped]:
    if skipped := list(missing("LSTM against PyTorch", "torch")):
        return skipped
    scan, cells = L.LSTMScan(SIZE, SIZE).flatten(), L.StatelessLSTM(SIZE, SIZE).flatten()
    weights, others = [scan.W_x, scan.W_h, scan.b], [cells.upward.W, cells.lateral.W, cells.upward.b]
    net, of_cells = twin(*(p.array for p in weights)), twin(*(by_gate(p.array) for p in others))
    ours, module, steps, step_by_step = by_scan(scan, RESET), by_module(net), by_steps(net, RESET), by_cells(cells)
    checked(ours, steps, lambda: [p.grad for p in weights], net)
    checked(by_scan(scan, NEVER), module, lambda: [p.grad for p in weights], net)  # nn.LSTM has no resets
    checked(step_by_step, by_steps(of_cells), lambda: [by_gate(p.grad) for p in others], of_cells)

    def row(what: str, pair: Pair, other: str, bar: float) -> Row:
        return Row(what, µs(pair.ours), f"{µs(pair.other)} PyTorch, {other}", pair.ratio, bar, "x")

    return [
        row("LSTM scan with resets", compare(ours, steps), "step by step", 2),
        row("LSTM scan with resets", compare(ours, module), "nn.LSTM without", 1),
        row("LSTM by F.lstm, step by step", compare(step_by_step, by_steps(of_cells)), "step by step", 1.3),
    ]


if __name__ == "__main__":
    print(table(rows()), f"\nmedians of {PAIRS} pairs, {COUNT} thread(s)")
