"""The experiment harness: the loop, evaluation, recording, checkpoints, configs and run folders."""

from rlcore.harness.checkpoint import Checkpoint, newest_state
from rlcore.harness.evaluate import Evaluation, evaluate
from rlcore.harness.folder import RunFolder
from rlcore.harness.loop import Hook, train
from rlcore.harness.progress import Progress
from rlcore.harness.record import Recorder
from rlcore.harness.storage import CheckpointError, load_state, save_state

__all__ = [
    "Checkpoint", "CheckpointError", "Evaluation", "Hook", "Progress", "Recorder", "RunFolder", "evaluate",
    "load_state", "newest_state", "save_state", "train",
]  # fmt: skip
