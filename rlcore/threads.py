"""Limits BLAS to one thread where nothing else was asked for: import this before NumPy.

On networks of a few thousand weights a second thread waits more than it works.
"""

import os

for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ.setdefault(_name, "1")
