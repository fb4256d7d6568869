"""Scripts for ranks. What is asked of one is in its arguments."""

# Ranks in step: each says who it is, and something happens to one of them, `sys.argv[1]` to rank `sys.argv[2]`.
STEPS = """
    import os, signal, sys, time
    import numpy as np
    from rlcore.harness.signals import Signals
    from rlcore.parallel.comm import world
    from rlcore.parallel.faults import beat

    comm, what, whom = world(), sys.argv[1], int(sys.argv[2])
    print("pid", comm.rank, os.getpid(), flush=True)
    with Signals() as signals:
        for step in range(10_000):
            beat()
            if step == 20 and comm.rank == whom and os.environ["RLCORE_RESTART"] == "0":
                if what == "raise":
                    raise KeyError("the cat is out")
                if what == "exit":
                    sys.exit(3)
                if what.isdigit():
                    os.kill(os.getpid(), int(what))
            total = np.array([1.0, signals.pending()])
            comm.sum_(total)
            assert total[0] == comm.size
            if what == "end" and step == 20 or total[1]:
                print("done", comm.rank, comm.size, flush=True)
                signals.received = signals.received or "SIGUSR1" * bool(total[1])
                break
            time.sleep(0.002)
"""
