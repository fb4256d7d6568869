"""Convolutional networks on frames of uint8 against PyTorch eager on the same numbers.

Nature CNN (84 x 84 x 4, head of 6) acting and forward + backward, IMPALA CNN forward + backward, and the memory that a
backward pass at batch 256 takes over the resting process, each side in a process of its own.
"""

from timing import PAIRS, Pair, Row, Skipped, missing, paired, per_call, table

# isort: split
import json
import re
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np

from rlcore.autograd import Sequential
from rlcore.autograd import functions as F
from rlcore.autograd import links as L
from rlcore.networks import ImpalaCNN, NatureCNN

FRAMES = np.random.default_rng(0).integers(0, 256, (256, 84, 84, 4), np.uint8)
ACTIONS = 6
BLOCK = 0.03  # s, about what one side of a pair takes
SLOW = 0.1  # s, from which a third of the pairs must do


def model_of(network) -> Sequential:
    model = network(rng=np.random.default_rng(0))
    return Sequential(model, L.Linear(model.layers[-1].out_size, ACTIONS))


def twin(model: Sequential, last: bool):
    """The same network with the same numbers in PyTorch, in channels-last memory or in its default."""
    import torch
    from torch import nn

    class Residual(nn.Module):
        def __init__(self, channels: int):
            super().__init__()
            self.conv1, self.conv2 = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))

        def forward(self, x):
            return x + self.conv2(torch.relu(self.conv1(torch.relu(x))))

    network = model[0]
    if isinstance(network, NatureCNN):
        layers = []
        for a, b, k, stride in ((4, 32, 8, 4), (32, 64, 4, 2), (64, 64, 3, 1)):
            layers += [nn.Conv2d(a, b, k, stride), nn.ReLU()]
        layers += [nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, ACTIONS)]
    else:
        layers, a = [], 4
        for b in (16, 32, 32):
            layers += [nn.Conv2d(a, b, 3, padding=1), nn.MaxPool2d(3, 2, 1), Residual(b), Residual(b)]
            a = b
        layers += [nn.ReLU(), nn.Flatten(), nn.Linear(32 * 11 * 11, 256), nn.ReLU(), nn.Linear(256, ACTIONS)]
    net = nn.Sequential(*layers)
    for theirs, ours in zip(net.parameters(), model.params(), strict=True):
        theirs.data[:] = torch.from_numpy(np.array(ours.array))
    return net.to(memory_format=torch.channels_last) if last else net


def sides(network, n: int, last: bool):
    """Our model, PyTorch's, and the frames for each, in one memory order."""
    import torch

    model = model_of(network)
    model.flatten()
    obs = FRAMES[:n].transpose(0, 3, 1, 2)
    obs = obs if last else np.ascontiguousarray(obs)
    return model, twin(model, last), obs, torch.from_numpy(obs)


def passes(model, net, obs, frames):
    """Forward and backward of a mean of squares, for each side."""

    def ours() -> None:
        loss = F.average(F.square(model(obs)))
        model.cleargrads()
        loss.backward()

    def theirs() -> None:
        net.zero_grad()
        net(frames.float() / 255).square().mean().backward()

    return ours, theirs


def steps(network, n: int, last: bool):
    """The passes of a network at batch n, checked to give the same gradients."""
    model, net, obs, frames = sides(network, n, last)
    ours, theirs = passes(model, net, obs, frames)
    ours(), theirs()
    for a, b in zip(model.params(), net.parameters(), strict=True):
        np.testing.assert_allclose(a.grad, b.grad.numpy(), rtol=1e-2, atol=1e-3 * np.abs(a.grad).max())
    return ours, theirs


def choices(n: int, last: bool):
    """From frames to actions, for each side; checked to give the same values."""
    import torch

    model, net, obs, frames = sides(NatureCNN, n, last)
    view = model.view()

    def ours():
        return view(obs).array.argmax(axis=1)

    @torch.no_grad()
    def theirs():
        return net(frames.float() / 255).argmax(dim=1).numpy()

    with torch.no_grad():
        np.testing.assert_allclose(view(obs).array, net(frames.float() / 255).numpy(), rtol=1e-3, atol=1e-4)
    return ours, theirs


def compare(ours, theirs) -> Pair:
    """As timing.compare, with fewer calls: these take milliseconds."""
    per_call(ours, 3), per_call(theirs, 3)  # warm
    times = [per_call(f, 3) for f in (ours, theirs)]
    calls = [max(1, round(BLOCK / t)) for t in times]
    pairs = PAIRS if max(times) < SLOW else PAIRS // 3
    return paired([(per_call(ours, calls[0]), per_call(theirs, calls[1])) for _ in range(pairs)])


def high_water() -> float:
    """The most memory that this process has held, in MiB; Linux's rusage would count what its parent held, too."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s*(\d+) kB", status.read_text())[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def peak(side: str) -> float:
    """MiB that forward and backward of the Nature CNN at batch 256 take over the resting process."""
    model, net, obs, frames = sides(NatureCNN, 256, True)
    ours, theirs = passes(model, net, obs, frames)
    small = passes(model, net, obs[:1], frames[:1])  # code and buffers that a first pass loads are part of the rest
    small[side == "PyTorch"]()
    rest = high_water()
    for _ in range(3):
        (theirs if side == "PyTorch" else ours)()
    return high_water() - rest


def memory() -> Row:
    ours, theirs = (
        json.loads(subprocess.run([sys.executable, __file__, side], stdout=subprocess.PIPE, check=True).stdout)
        for side in ("rlcore", "PyTorch")
    )
    other, ratio = f"{theirs:.3g} MiB PyTorch, channels last", ours / theirs
    return Row("memory of a Nature CNN backward, batch 256", f"{ours:.3g} MiB", other, ratio, 1.3, "of its memory")


def rows() -> list[Row | Skipped]:
    if skipped := list(missing("convolutional networks against PyTorch", "torch")):
        return skipped

    def row(what: str, pair: Pair, last: bool, bar: float) -> Row:
        other = f"{pair.other * 1e3:.3g} ms PyTorch, {'channels last' if last else 'default'}"
        return Row(what, f"{pair.ours * 1e3:.3g} ms", other, 1 / pair.ratio, bar, "of its time")

    return [
        memory(),
        row("Nature CNN acting on 1 observation", compare(*choices(1, True)), True, 1),
        row("Nature CNN acting on 1 observation", compare(*choices(1, False)), False, 1),
        row("Nature CNN acting on 8", compare(*choices(8, True)), True, 1.45),
        row("Nature CNN forward + backward, batch 32", compare(*steps(NatureCNN, 32, True)), True, 1.35),
        row("Nature CNN forward + backward, batch 32", compare(*steps(NatureCNN, 32, False)), False, 1),
        row("Nature CNN forward + backward, batch 256", compare(*steps(NatureCNN, 256, True)), True, 1.45),
        row("IMPALA CNN forward + backward, batch 32", compare(*steps(ImpalaCNN, 32, True)), True, 1.5),
    ]


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps(peak(sys.argv[1])))
    else:
        print(table(rows()), f"\nmedians of {PAIRS // 3} to {PAIRS} pairs")
