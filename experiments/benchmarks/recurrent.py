"""LSTM of 64 units over 16 steps, batch 32, and updates of R2D2, against PyTorch on the same numbers."""

from timing import COUNT, PAIRS, Pair, Row, Skipped, compare, missing, table, µs

# isort: split
from collections.abc import Callable

import numpy as np

from rlcore.agents import R2D2, R2D2Config
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.autograd.optimizers import Adam
from rlcore.bodies import Unchanged
from rlcore.networks import Recurrent

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


def update() -> Pair:
    """R2D2 on 16 sequences of 20 transitions: both networks' passes, double Q-learning over 5 steps, clipping, Adam."""
    import torch

    steps, n, n_step, gamma, eps = 20, 16, 5, 0.99, 1e-3
    config = R2D2Config(
        sequence_length=steps, burn_in=0, n_step=n_step, rescale_eps=eps, target_update_interval=100, dueling=False
    )
    q = Recurrent(Unchanged(), 1, SIZE, SIZE, 4)
    learner = R2D2(q, Adam(1e-3, corrected_eps=True), NoReplay(), None, config, np.random.default_rng(0))
    zeros = np.zeros((n, SIZE), np.float32)
    batch = {
        "obs": rng.standard_normal((steps + 1, n, SIZE), np.float32), "action": rng.integers(0, 4, (steps, n)),
        "reward": rng.standard_normal((steps, n), np.float32), "mask": np.ones((steps, n), bool),
        "discount": np.full((steps, n), gamma, np.float32), "h": (zeros, zeros), "row": np.arange(n),
        "weight": np.ones(n, np.float32),
    }  # fmt: skip
    lstm, target_lstm = (twin(q.lstm.W_x.array, q.lstm.W_h.array, q.lstm.b.array) for _ in range(2))
    for net in (lstm, target_lstm):
        net.bias_hh_l0.requires_grad = False  # one bias, as ours
    head, target_head = (torch.nn.Linear(SIZE, 4) for _ in range(2))
    for theirs in (head, target_head):
        theirs.weight.data[:], theirs.bias.data[:] = (torch.from_numpy(p.array.copy()) for p in q.head.params())
    parameters = [p for p in (*lstm.parameters(), *head.parameters()) if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=1e-3)
    obs, action, reward, discount = (torch.from_numpy(batch[k]) for k in ("obs", "action", "reward", "discount"))

    def squeezed(x):
        return x.sign() * ((x.abs() + 1).sqrt() - 1) + eps * x

    def stretched(x):
        return x.sign() * ((((1 + 4 * eps * (x.abs() + 1 + eps)).sqrt() - 1) / (2 * eps)) ** 2 - 1)

    def ours() -> None:
        learner.learn(batch)

    def theirs() -> None:
        values = head(lstm(obs)[0])
        with torch.no_grad():
            best = values.argmax(2, keepdim=True)
            returns = stretched(target_head(target_lstm(obs)[0]).gather(2, best)[:, :, 0])
            for _ in range(n_step):
                returns = torch.cat((reward + discount * returns[1:], returns[-1:]))
            goal = squeezed(returns[:-1])
        loss = torch.nn.functional.smooth_l1_loss(values[:-1].gather(2, action[:, :, None])[:, :, 0], goal)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 10.0)
        optimizer.step()

    for _ in range(10):
        ours(), theirs()
    np.testing.assert_allclose(q(batch["obs"])[0].array, head(lstm(obs)[0]).detach().numpy(), rtol=1e-2, atol=1e-3)
    return compare(ours, theirs)


class NoReplay:
    """Takes priorities, and forgets them."""

    def update(self, row: np.ndarray, error: np.ndarray) -> None:
        pass


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
        row("R2D2 update, 16 sequences of 20 steps, LSTM 64", update(), "nn.LSTM", 1),
    ]


if __name__ == "__main__":
    print(table(rows()), f"\nmedians of {PAIRS} pairs, {COUNT} thread(s)")
