"""Writes the checkpoint of a format that later versions have to read; run once for each format, and commit it."""

from pathlib import Path

import numpy as np

from rlcore.harness import rings, save_state
from rlcore.harness.storage import FORMAT
from rlcore.rng import generator, state_of
from rlcore.tree import Ring

if __name__ == "__main__":
    rings.CHUNK = 4
    array = np.array([20, 21, 22, *range(13, 20)])
    part = {
        "w": np.array([[0, 0.5], [1, 1.5]], np.float32),
        "flags": np.array([True, False]),
        "pair": (1, [2.5, None, "x"]),
        "ring": Ring(array, 23),
        "nan": float("nan"),
    }
    library = state_of(generator(0))
    library["state"] = {**library["state"], "state": 2**100 + 1}
    target = Path(__file__).with_name(f"format-{FORMAT}")
    save_state(target, {"t": 23, "library_rng": library, "parts": {"part": part}})
