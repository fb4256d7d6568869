"""Ranks of MPI: what all communicators do, which environment speaks of a launcher, and what is said without MPI."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from rlcore.parallel import base
from rlcore.parallel import comm as module
from rlcore.parallel.base import Alone
from rlcore.parallel.comm import MPIComm, world
from rlcore.parallel.launched import SIZES, launched
from tests.parallel import conformance, launching


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    for name in (*SIZES, "PMIX_RANK", "RLCORE_RANKS"):
        monkeypatch.delenv(name, raising=False)


def started(n, *words, elastic=False):
    """What n ranks of a program print, which must end well."""
    from rlcore.parallel.mpiexec import find_mpi

    launching.needs_mpi(elastic)
    command = [*find_mpi().command(n, elastic), sys.executable, "-W", "error"]
    command += [] if elastic else ["-m", "mpi4py"]  # which ends the others when one raises
    done = subprocess.run(
        [*command, conformance.__file__, *words],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.mpi
@pytest.mark.parametrize("n", [2, 3])
def test_all_cases_with_mpi(n):
    assert started(n, str(n)).count("fine") == n


@pytest.mark.mpi
def test_the_others_outlive_a_killed_rank():
    out = started(3, "outlives", elastic=True)
    assert "[(1,), (1,), (1,), (1,)]" in out
    assert "[]" in out


def test_without_a_launcher_there_is_one_rank():
    """And MPI is not asked, which would take a second."""
    assert launched() == 1
    assert isinstance(world(), Alone)
    code = "import sys; from rlcore.parallel.comm import world; world(); print('mpi4py' in sys.modules)"
    env = {name: value for name, value in os.environ.items() if not name.startswith(("OMPI", "PMI", "SLURM"))}
    assert subprocess.check_output([sys.executable, "-c", code], env=env, text=True) == "False\n"


@pytest.mark.parametrize(
    ("environment", "ranks"),
    [
        ({"OMPI_COMM_WORLD_SIZE": "4", "PMIX_RANK": "0"}, 4),
        ({"PMI_SIZE": "3"}, 3),
        ({"SLURM_STEP_NUM_TASKS": "8"}, 8),
        ({"SLURM_STEP_NUM_TASKS": "1"}, 1),  # an interactive step
        ({"SLURM_STEP_NUM_TASKS": "2", "OMPI_COMM_WORLD_SIZE": "16"}, 16),  # mpiexec over two nodes
        ({"PMIX_RANK": "1"}, 0),
        ({"PMIX_RANK": "1", "RLCORE_RANKS": "2"}, 2),
        ({"PMI_SIZE": "2", "RLCORE_RANKS": "2"}, 2),
    ],
)
def test_launchers_tell_the_number_of_ranks(environment, ranks, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert launched() == ranks


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"RLCORE_RANKS": "two"}, "RLCORE_RANKS must be a whole number of ranks, at least 1, got 'two'"),
        ({"RLCORE_RANKS": "0"}, "at least 1, got '0'"),
        ({"RLCORE_RANKS": "2"}, "RLCORE_RANKS says 2 ranks, but no MPI launcher has started this process"),
        ({"RLCORE_RANKS": "2", "PMI_SIZE": "3"}, "RLCORE_RANKS says 2 ranks, but PMI_SIZE says 3"),
    ],
)
def test_a_launcher_that_differs_is_refused(environment, words, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=words):
        world()


@pytest.fixture
def fresh():
    module._connected.cache_clear()
    yield
    module._connected.cache_clear()


@pytest.mark.parametrize("error", [ImportError("No module named 'mpi4py'"), RuntimeError("cannot load MPI library\nx")])
def test_without_mpi_it_says_what_to_install(error, monkeypatch, fresh):
    class Finder:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name == "mpi4py":
                raise error

    monkeypatch.delitem(sys.modules, "mpi4py", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    monkeypatch.setenv("PMI_SIZE", "2")
    line = str(error).splitlines()[0]
    with pytest.raises(RuntimeError, match=rf"2 ranks .*\({line}\); run: pip install 'rlcore\[mpi\]'$"):
        world()


def stand_in(monkeypatch, size):
    """An mpi4py whose world has so many ranks."""
    mpi = SimpleNamespace(
        COMM_WORLD=SimpleNamespace(size=size), Get_library_version=lambda: "Open MPI v5.0.11, package: Open MPI\0"
    )
    monkeypatch.setitem(sys.modules, "mpi4py", SimpleNamespace(MPI=mpi))


def test_an_mpiexec_of_another_mpi_is_refused(monkeypatch, fresh):
    """It starts N ranks, each of which would learn alone."""
    stand_in(monkeypatch, 1)
    monkeypatch.setenv("PMI_SIZE", "4")
    with pytest.raises(ValueError, match=r"started 4 ranks, but MPI \(Open MPI v5.0.11\) sees 1: .* another MPI"):
        world()


class Wire:
    """A communicator of MPI with one rank, which notes how much goes through it at a time."""

    rank, size = 0, 1

    def __init__(self):
        self.calls = []

    def Dup(self):
        return self

    def Split_type(self, kind):
        return self

    def Free(self):
        pass

    def Set_errhandler(self, handler):
        pass

    def Allreduce(self, where, array, op):
        self.calls.append(array.copy())
        array += 1

    def Bcast(self, array, root):
        self.calls.append(array.copy())

    Allgather = Alltoall = None


def wired(error=OSError):
    mpi = SimpleNamespace(ERRORS_RETURN=0, COMM_TYPE_SHARED=0, Status=object, IN_PLACE=0, SUM=0, MAX=1, Exception=error)
    mpi.Query_thread, mpi.THREAD_MULTIPLE = lambda: 3, 3
    return MPIComm(Wire(), mpi)


def test_what_is_large_goes_in_pieces(monkeypatch):
    monkeypatch.setattr(base, "PIECE", 4)
    comm = wired()
    x = np.arange(10.0)
    comm.sum_(x)
    assert [piece.tolist() for piece in comm._comm.calls] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert x.tolist() == list(range(1, 11))
    comm._comm.calls.clear()
    comm.bcast_(np.arange(10, dtype=np.uint8))
    assert [len(piece) for piece in comm._comm.calls] == [4, 4, 2]


def test_what_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(base, "LARGEST", 79)
    comm = wired()
    for call in (lambda x: comm.send(x, 0), comm.allgather, comm.alltoall):
        with pytest.raises(ValueError, match="an array of 80 bytes is too large for a message, at most 79"):
            call(np.ones((1, 10)))


def test_a_rank_whose_call_others_have_revoked_waits_until_it_knows_who_is_dead(monkeypatch):
    comm, looks = wired(), []
    comm.elastic, comm.MPI.ERR_REVOKED = True, 7
    comm.MPI.ERR_PROC_FAILED = comm.MPI.ERR_PROC_FAILED_PENDING = 8
    comm._comm.Revoke = lambda: None
    error = SimpleNamespace(Get_error_class=lambda: 7)

    def acknowledge():
        looks.append(1)
        comm.failed = {1} if len(looks) > 5 else set()
        return bool(comm.failed)

    monkeypatch.setattr(comm, "_acknowledge", acknowledge)
    assert comm.lost(error, revoke=True).ranks == (1,)
    monkeypatch.setattr(comm, "_acknowledge", lambda: False)
    monkeypatch.setattr(module, "KNOWN_S", 0.01)
    comm.failed = set()
    assert comm.lost(error, revoke=True).ranks == ()  # then it is told that somebody is


def test_numbers_that_mpi_does_not_add():
    for kind in (bool, complex, "U1"):
        with pytest.raises(TypeError, match="sum_: expected an array of floating point or whole numbers"):
            wired().sum_(np.zeros(2, kind))


class MPIError(Exception):
    def Get_error_string(self):
        return "MPI_ERR_PROC_FAILED: Process Failure"


def test_an_error_is_fatal_where_ranks_may_not_die(monkeypatch):
    monkeypatch.delenv(module.ULFM, raising=False)
    comm = wired(MPIError)

    def fails(*args):
        raise MPIError

    comm._comm.Allreduce = fails
    with pytest.raises(
        RuntimeError, match=r"MPI: MPI_ERR_PROC_FAILED.*; ranks may die only with Open MPI and `mpiexec"
    ):
        comm.sum_(np.ones(1))
    with pytest.raises(RuntimeError, match="shrink: ranks may die only with"):
        comm.shrink()
