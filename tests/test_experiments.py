"""Every experiment script runs, at a small size."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SMALL = {
    "a3c_cartpole.py": ["--steps", "1200", "--eval-every", "600"],
    "c51_cartpole.py": ["--steps", "1200", "--eval-every", "600"],
    "qr_dqn_cartpole.py": ["--steps", "1200", "--eval-every", "600"],
    "rainbow_pong.py": [
        *("--steps", "400", "--learning-starts", "380", "--buffer-size", "500"),
        *("--eval-every", "400", "--eval-episodes", "1"),
    ],
    "dqn_cartpole.py": ["--steps", "1200", "--eval-every", "600"],
    "dqn_minatar.py": ["--steps", "1100", "--learning-starts", "1000", "--eval-every", "600"],
    "dqn_pong.py": [
        *("--steps", "400", "--learning-starts", "300", "--buffer-size", "300"),
        *("--eval-every", "400", "--eval-episodes", "1"),
    ],
    "impala_cartpole.py": ["--steps", "1280", "--eval-every", "640"],
    "appo_cartpole.py": ["--steps", "1280", "--eval-every", "640"],
    "a2c_cartpole.py": ["--steps", "1200", "--eval-every", "600"],
    "reinforce_cartpole.py": ["--steps", "1200", "--eval-every", "600"],
    "trpo_pendulum.py": ["--steps", "2048", "--eval-every", "1024"],
    "ppo_memory.py": ["--steps", "1024", "--eval-every", "512"],
    "r2d2_tmaze.py": ["--steps", "1200", "--eval-every", "600"],
    "ddpg_pendulum.py": ["--steps", "500", "--learning-starts", "480", "--eval-every", "250"],
    "ppo_minatar.py": ["--steps", "512", "--n-envs", "2", "--eval-every", "512"],
    "sac_pendulum.py": ["--steps", "500", "--learning-starts", "480", "--eval-every", "250"],
    "td3_pendulum.py": ["--steps", "500", "--learning-starts", "480", "--eval-every", "250"],
}
NEEDS = {
    "rainbow_pong.py": ("ale_py", "cv2"),
    "dqn_minatar.py": ("minatar",),
    "ppo_minatar.py": ("minatar",),
    "dqn_pong.py": ("ale_py", "cv2", "imageio_ffmpeg"),
}


def test_every_script_has_a_small_size():
    assert {p.name for p in (ROOT / "experiments").glob("*.py")} == set(SMALL)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_a_script_runs_and_goes_on(name, tmp_path):
    for module in NEEDS.get(name, ()):
        pytest.importorskip(module)
    command = [sys.executable, str(ROOT / "experiments" / name), "--folder", str(tmp_path), *SMALL[name]]
    if " Checkpoint(" in (ROOT / "experiments" / name).read_text():  # else a Run, which sees to its folder
        (tmp_path / "s0").mkdir()
        (tmp_path / "s0" / "scores.tsv").write_text("of a run that was killed before its first checkpoint\n")
    for _ in range(2):  # the second run finds the first one's last checkpoint
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert re.search(r"^seed 0: mean return [-\d.]+ over \d+ fresh episodes$", done.stdout, re.M), done.stdout
    assert [p.name for p in (tmp_path / "s0" / "checkpoints").iterdir()] == [f"step-{int(SMALL[name][1]):012d}"]
    assert "killed" not in (tmp_path / "s0" / "scores.tsv").read_text()


@pytest.mark.parametrize("name", sorted(SMALL))
def test_a_script_limits_threads_before_numpy_is_there(name):
    script = (
        f"import runpy, sys; sys.modules['numpy'] = None\n"  # importing NumPy fails
        f"try: runpy.run_path({str(ROOT / 'experiments' / name)!r})\n"
        "except ImportError: print('rlcore.threads' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "True\n"
