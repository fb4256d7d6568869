"""RecordVideo: episodes as MP4 files."""

from __future__ import annotations

import os
import warnings
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from rlcore.envs.base import VectorEnv
from rlcore.envs.wrappers.base import Wrapper, innermost
from rlcore.stream import Step

FPS = 30  # where neither the caller nor the environment says


class RecordVideo(Wrapper):
    """Films episodes of stream 0 when `record` asks for it; needs environments made with render_mode="rgb_array".

    fps: frames per second, None: those of the environment's metadata. A video has a frame for each step: what the
    action was chosen on, so that the true last observation, which the next episode has replaced, is not in it. A video
    that cannot be rendered or written costs a warning, never the run. ImportError without the extra `video`.
    """

    def __init__(self, env: VectorEnv, folder: str | Path, fps: float | None = None):
        super().__init__(env)
        if missing := [name for name in ("imageio", "imageio_ffmpeg") if find_spec(name) is None]:
            raise ImportError(f'RecordVideo needs {" and ".join(missing)}: pip install "rlcore[video]"')
        inner: Any = innermost(env)
        shown = next(iter(getattr(inner, "envs", ())), inner)  # the environment of stream 0, if it is in this process
        if getattr(shown, "render_mode", "rgb_array") != "rgb_array":
            raise ValueError(
                f'RecordVideo: make the environment with render_mode="rgb_array", not {shown.render_mode!r}'
            )
        fps = (getattr(shown, "metadata", None) or {}).get("render_fps") or FPS if fps is None else fps
        if not fps > 0:
            raise ValueError(f"RecordVideo: fps must be positive, got {fps}")
        self.folder, self.fps = Path(folder), float(fps)
        self._name, self._number, self._left = "", 0, 0  # of the next video, and how many are still to come
        self._writer: Any = None  # while it films
        self._warned = False

    def record(self, name: str, episodes: int = 1) -> None:
        """Film the next episodes of stream 0 that begin, into <folder>/<name>-0.mp4, <name>-1.mp4 ...

        A reset in the middle ends a video early.
        """
        if not name or Path(name).name != name:
            raise ValueError(f"record: name must be that of a file, without a folder, got {name!r}")
        if episodes < 1:
            raise ValueError(f"record: episodes must be at least 1, got {episodes}")
        self._stop()
        self._name, self._number, self._left = name, 0, episodes

    def first(self, obs: Any) -> Any:
        self._stop()
        if self._left:
            self._start()
            self._film()
        return obs

    def after(self, step: Step) -> Step:
        if self._writer is not None or self._left:
            if not step.valid[0] or ("episode" in step.info and 0 in step.info["episode"][0]):
                self._stop()
                if self._left:
                    self._start()
            self._film()
        return step

    def on(self, env: VectorEnv) -> VectorEnv:
        return env

    def close(self) -> None:
        self._stop()
        super().close()

    def _path(self, hidden: bool) -> Path:
        return self.folder / f"{'.' if hidden else ''}{self._name}-{self._number}.mp4"

    def _start(self) -> None:
        self._left -= 1
        try:
            from imageio.v2 import get_writer

            self.folder.mkdir(parents=True, exist_ok=True)
            settings: Any = {"fps": self.fps, "macro_block_size": 1, "output_params": ["-movflags", "+faststart"]}
            self._writer = get_writer(self._path(True), format="FFMPEG", **settings)
        except Exception as error:
            self._give_up(error)

    def _film(self) -> None:
        if self._writer is None:
            return
        try:
            frame = np.asarray(self.env.render(0))
            if frame.dtype != np.uint8 or frame.ndim != 3:
                raise ValueError(f"render() gave {frame.dtype} of shape {frame.shape}, not uint8 (H, W, 3)")
            height, width = (n - n % 2 for n in frame.shape[:2])  # H.264 takes even sizes
            self._writer.append_data(frame[:height, :width])
        except Exception as error:
            self._give_up(error)

    def _stop(self) -> None:
        """End the video that is being made; only now has it its name."""
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        try:
            writer.close()
            os.replace(self._path(True), self._path(False))
        except Exception as error:
            self._give_up(error)
        self._number += 1

    def _give_up(self, error: Exception) -> None:
        writer, self._writer = self._writer, None
        with suppress(Exception):
            if writer is not None:
                writer.close()
        with suppress(OSError):
            self._path(True).unlink()
        if not self._warned:
            self._warned = True
            warnings.warn(f"no video {self._path(False)}: {error}", stacklevel=2)
