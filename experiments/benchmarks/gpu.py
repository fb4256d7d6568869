"""On one GPU: updates in a CUDA graph against eager ones on the same numbers, NCCL against the way by the host."""

from timing import COUNT, PAIRS, Row, Skipped, paired, table, µs

# isort: split
from collections.abc import Callable, Iterator
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from rlcore.autograd import functions as F
from rlcore.autograd import optimizers
from rlcore.networks import NatureCNN, mlp
from rlcore.parallel.base import Alone
from rlcore.parallel.devices import Devices
from rlcore.rng import generator

NETWORKS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {  # and the shape of a batch
    "17-256-256-6, batch 256": (lambda: mlp(17, (256, 256), 6, rng=generator(0)), (256, 17)),
    "Nature CNN, batch 32": (lambda: NatureCNN(rng=generator(0)), (32, 4, 84, 84)),
}
CALLS = 50  # updates in one side of a pair
WARM = 3  # updates, after which memory and the libraries' handles are there


def missing_gpu(what: str) -> Iterator[Skipped]:
    """A skipped line if CuPy finds no GPU here, else nothing."""
    try:
        import cupy
    except ImportError:
        yield Skipped(what, 'skipped: it needs CuPy, pip install ".[cuda12]"')
        return
    try:
        cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        yield Skipped(what, f"skipped: CuPy finds no GPU ({error})")


def update_of(name: str) -> tuple[Any, Callable[[], None]]:
    """A network on the GPU, and an update of it: forward, mean of squares, backward, RMSprop.

    RMSprop's numbers are the same in every step; a graph would keep those by which Adam corrects its first ones.
    """
    import cupy

    make, shape = NETWORKS[name]
    batch = cupy.asarray(np.random.default_rng(0).standard_normal(shape, np.float32))
    model = make()
    model(cupy.asnumpy(batch))  # sizes
    model.to_gpu()
    optimizer = optimizers.RMSprop(1e-4).setup(model)

    def update() -> None:
        loss = F.mean(F.square(model(batch)))
        model.cleargrads()
        loss.backward()
        optimizer.update()

    return model, update


def captured(update: Callable[[], None], stream: Any) -> Any:
    """The CUDA graph of an update that has run before on this stream."""
    stream.begin_capture()
    try:
        update()
    finally:  # a stream that still captures can do nothing else
        graph = stream.end_capture()
    return graph


def seconds(f: Callable[[], object], stream: Any) -> float:
    """Seconds a call takes until the GPU has done it."""
    stream.synchronize()
    start = perf_counter()
    for _ in range(CALLS):
        f()
    stream.synchronize()
    return (perf_counter() - start) / CALLS


def row(name: str) -> Row | Skipped:
    import cupy

    what = f"update in a CUDA graph, {name}"
    with cupy.cuda.Stream(non_blocking=True) as stream:
        (model, update), (twin, eager) = update_of(name), update_of(name)
        for _ in range(WARM):
            update(), eager()
        try:
            graph = captured(update, stream)
        except Exception as error:  # of CUDA or of any library in between: which says what cannot be captured
            return Skipped(what, f"skipped: it cannot be captured ({type(error).__name__}: {error})")
        turns = [(seconds(lambda: graph.launch(stream), stream), seconds(eager, stream)) for _ in range(PAIRS)]
        np.testing.assert_allclose(cupy.asnumpy(model.flat), cupy.asnumpy(twin.flat), rtol=1e-3, atol=1e-5)
    pair = paired(turns)
    return Row(what, µs(pair.ours), f"{µs(pair.other)} eager", pair.ratio, 1, "x")


def exchange(what: str) -> Row | Skipped:
    """A sum over one rank of as many numbers as a Nature CNN has: what NCCL and the stages themselves take."""
    import cupy

    try:
        from cupy.cuda import nccl

        only = nccl.NcclCommunicator(1, nccl.get_unique_id(), 0)
    except (ImportError, AttributeError, RuntimeError) as error:
        return Skipped(what, f"skipped: no NCCL here ({type(error).__name__}: {error})")
    numbers = cupy.zeros(NatureCNN(rng=generator(0)).flat.size, np.float32)
    ours, staged = Devices(Alone()), Devices(Alone())
    ours.nccl = only  # which `Devices` leaves out for one rank
    with cupy.cuda.Stream(non_blocking=True) as stream:
        sides = [partial(seconds, partial(d.sum_, numbers), stream) for d in (ours, staged)]
        for side in sides:
            side()
        pair = paired([(sides[0](), sides[1]()) for _ in range(PAIRS)])
    return Row(what, µs(pair.ours), f"{µs(pair.other)} by the host", pair.ratio, 1, "x")


def rows() -> Iterator[Row | Skipped]:
    if skipped := list(missing_gpu("updates in a CUDA graph")):
        yield from skipped
        return
    for name in NETWORKS:
        yield row(name)
    yield exchange("sum of 6.7 MB on one GPU, NCCL")


if __name__ == "__main__":
    print(table(rows()), f"\nmedians of {PAIRS} pairs, {COUNT} thread(s)")
