"""Without a GPU, with a CuPy that cannot be loaded, and without MPI, everything runs on the CPU."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rlcore.autograd import links as L

ROOT = Path(__file__).parents[2]
TRAIN = """
import sys
import numpy as np
import rlcore

for algorithm, settings in ((rlcore.DQN, dict(learning_starts=32, update_every=16, gradient_steps=1)),
                            (rlcore.PPO, dict(n_steps=32, batch_size=32, n_epochs=1))):
    run = algorithm("CartPole-v1", hidden=(8,), **settings).learn(64)
    print(algorithm.__name__, run.agent.n_updates, type(run.agent.actor.flat).__module__, run.predict(run.env.obs)[0])
print("loaded", [name for name in ("cupy", "mpi4py") if name in sys.modules])
"""


def run_with(tmp_path, package, raised):
    """The program above, where importing a package raises so."""
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text(f"raise {raised}\n")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", TRAIN],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    return done


RAISED = [
    'ImportError("libcuda.so.1: cannot open shared object file")',
    'OSError("libcublas.so.12: cannot open shared object file")',
    'RuntimeError("CuPy is not correctly installed")',
]


@pytest.mark.fault(44)
@pytest.mark.parametrize("raised", RAISED)
def test_a_cupy_that_cannot_be_loaded_is_not_missed(tmp_path, raised):
    done = run_with(tmp_path, "cupy", raised)
    assert done.stdout.splitlines()[-1] == "loaded []"
    assert done.stdout.count("numpy") == 2
    assert "Traceback" not in done.stderr


@pytest.mark.fault(44)
@pytest.mark.parametrize("raised", RAISED)
def test_asked_for_a_device_it_is_said_what_is_wrong(tmp_path, monkeypatch, raised):
    (tmp_path / "cupy").mkdir()
    (tmp_path / "cupy" / "__init__.py").write_text(f"raise {raised}\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "cupy"]:
        monkeypatch.delitem(sys.modules, name)
    model = L.Linear(2, 2)
    before = model.W.array.copy()
    with pytest.raises(RuntimeError, match=r"(?s)needs CuPy.*(libcuda|libcublas|correctly)"):
        model.to_gpu()
    np.testing.assert_array_equal(model.W.array, before)
    assert isinstance(model.W.array, np.ndarray)


@pytest.mark.fault(45)
@pytest.mark.parametrize("raised", ['ImportError("no MPI")', 'RuntimeError("cannot load MPI library")'])
def test_nothing_imports_mpi(tmp_path, raised):
    """mpi4py raises RuntimeError, not ImportError, where it finds no MPI."""
    assert run_with(tmp_path, "mpi4py", raised).stdout.splitlines()[-1] == "loaded []"
