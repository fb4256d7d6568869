"""Scripts for ranks, which say `pid RANK PID`; what is to happen to them is in their arguments."""

# Ranks in step. Something happens to one of them: `sys.argv[1]` to rank `sys.argv[2]`, before the first restart.
STEPS = """
    import os, sys, time
    import numpy as np
    from rlcore.harness.signals import Signals
    from rlcore.parallel.comm import world
    from rlcore.parallel.heartbeat import beat

    comm, what, whom = world(), sys.argv[1], int(sys.argv[2])
    print("pid", comm.rank, os.getpid(), flush=True)
    with Signals() as signals:
        for step in range(1_000_000):
            beat()
            if step == 20 and comm.rank == whom and os.environ["RLCORE_RESTART"] == "0":
                if what == "raise":
                    raise KeyError("the cat is out")
                if what == "exit":
                    sys.exit(3)
                for _ in range(300 * (what == "slow")):
                    time.sleep(0.01)
                    beat()
                if what.isdigit():
                    os.kill(os.getpid(), int(what))
            total = np.array([1.0, signals.pending()])
            comm.sum_(total)
            if total[1] or step == 40 and what != "on":
                signals.received = signals.received or "SIGUSR1" * bool(total[1])  # as if all had got it
                break
            time.sleep(0.002)
        print("done", comm.rank, comm.size, flush=True)
"""

# Under mpiexec itself: one rank leaves, the other waits for it.
GUARDED = """
    import sys
    from rlcore.parallel.comm import world
    from rlcore.parallel.faults import guard

    comm = world()
    with guard(comm):
        if comm.rank == 1:
            sys.exit(3)
        comm.barrier()
"""

# A learner counts the rows of actors, up to `sys.argv[1]`, and keeps the number in the file `sys.argv[2]`.
PAIR = """
    import os, sys, time
    from pathlib import Path
    import numpy as np
    from rlcore.harness.signals import Signals
    from rlcore.parallel.base import RankLost, wait_for
    from rlcore.parallel.comm import world
    from rlcore.parallel.heartbeat import essential

    comm, rows, saved = world(), int(sys.argv[1]), Path(sys.argv[2])
    word = np.zeros(1)

    def learn(row, over):
        gone, waiting = set(), []

        def look():
            try:
                return comm.probe()
            except RankLost as lost:
                print("lost", *lost.ranks, "at", row, flush=True)
                gone.update(lost.ranks)
                return True

        while len(gone) < comm.size - 1:
            letter = wait_for(look)
            if letter is True:
                continue
            comm.receive(word, letter.source, letter.tag)
            row += 1
            if row % 10 == 0:
                saved.with_suffix(".new").write_text(str(row))
                saved.with_suffix(".new").replace(saved)
                print("row", row, flush=True)
            last = row >= rows or over()
            waiting.append(comm.send(np.full(1, float(last)), letter.source, 1))
            if last:
                gone.add(letter.source)
        print("learned", row, flush=True)

    print("pid", comm.rank, os.getpid(), flush=True)
    with Signals() as signals:
        if comm.rank == 0:
            essential()
            start = int(saved.read_text()) if saved.exists() else 0
            if os.environ["RLCORE_RESTART"] != "0":
                print("again", start, flush=True)
            learn(start, signals.pending)
        while comm.rank and not word[0]:
            sent = comm.send(np.ones(1), 0)
            wait_for(sent.done)
            comm.receive(word, 0, 1)
            time.sleep(0.002)
"""
