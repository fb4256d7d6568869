"""Whether an MPI launcher has started this process, by its environment: MPI itself takes a second to ask."""

from __future__ import annotations

import os

SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")  # how launchers tell the number of ranks


def launched() -> int:
    """How many ranks the launcher of this process has started, by its environment; 1 without any, 0 if it does not say.

    ValueError if that is not the number in RLCORE_RANKS.
    """
    given = os.environ.get("RLCORE_RANKS", "")
    if given and not (given.isdecimal() and int(given)):
        raise ValueError(f"RLCORE_RANKS must be a whole number of ranks, at least 1, got {given!r}")
    name = next((name for name in SIZES if os.environ.get(name, "").isdecimal()), "")
    ranks = int(os.environ[name]) if name else 0 if "PMIX_RANK" in os.environ else 1
    if given and ranks and int(given) != ranks:
        who = f"{name} says {ranks}" if name else "no MPI launcher has started this process"
        raise ValueError(f"RLCORE_RANKS says {given} ranks, but {who}: start it with `rlcore launch`, mpiexec or srun")
    return int(given) if given else ranks
