"""The doctor: what about an environment would make learning fail or mislead, in plain words with what to do."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from rlcore.envs.single import maker
from rlcore.envs.vector import SerialEnv
from rlcore.harness.findings import IN_WALKS, Case, Finding, in_spaces
from rlcore.harness.walks import walk

SLOW = 1e-3  # seconds of a step, above which worker processes pay
TIMED, ROUNDS = 500, 5  # steps of a round of timing; rounds, of which the median counts
REFUSED = {"running", "observations", "finite numbers"}  # problems with which rlcore's environments would not run


def audit(make: str | Callable[[], Any], steps: int = 1000, seed: int = 0) -> list[Finding]:
    """Examine an environment, given as a Gymnasium id or a callable, by random steps; ValueError if there is none."""
    if steps < 1:
        raise ValueError(f"doctor: steps must be at least 1, got {steps}")
    new, render = maker(make), maker(make, render_mode="rgb_array") if isinstance(make, str) else None
    env, other = new(), new()
    try:
        found = [*in_spaces(env)]
        if found[0].topic == "spaces":  # that cannot be walked in
            return found
        walks = [walk(env, steps, seed), walk(other, steps, seed), walk(env, steps, seed), walk(env, steps, seed + 1)]
        case = Case(new, env, steps, seed, walks, render)
        for topic, check in IN_WALKS.items():
            found += _found(topic, check, case)
        refused = any(f.verdict == "problem" and f.topic in REFUSED for f in found)
        for topic, check in FURTHER.items():
            if not (refused and topic in ("resume", "speed")):
                found += _found(topic, check, case)
        return found
    finally:
        env.close()
        other.close()


def _found(topic: str, check: Callable[[Case], Iterator[Finding]], case: Case) -> list[Finding]:
    try:
        return list(check(case))
    except Exception as error:  # of the environment, whatever it is
        return [Finding("problem", topic, f"{type(error).__name__}: {error}", "mend what raised this")]


def _resume(case: Case) -> Iterator[Finding]:
    env, twin = (SerialEnv(case.make, 1, case.seed) for _ in range(2))
    try:
        env.reset()
        case.env.action_space.seed(case.seed)
        for _ in range(10):
            env.step(_batch([case.env.action_space.sample()]))
        state = env.state()
        kind = state["resumable"]
        twin.load(state)
    except ValueError as error:
        yield Finding("problem", "resume", str(error), "until it is mended, a resumed run is not the same run")
        return
    finally:
        env.close()
        twin.close()
    if kind == "no":
        text = "running episodes are lost when a run is resumed"
        yield Finding("warning", "resume", text, "let them follow from seed and actions")
    else:
        how = {"own": "its own state is saved", "replay": "the running episode is replayed from its seed and actions"}
        yield Finding("ok", "resume", f"exact: {how[kind]}")


def _rendering(case: Case) -> Iterator[Finding]:
    modes = (case.env.metadata or {}).get("render_modes") or []
    if case.render is None or "rgb_array" not in modes:
        said = f"render modes are {', '.join(map(str, modes)) or 'none'}: no videos"
        yield Finding("ok", "rendering", said if "rgb_array" not in modes else "not tried: not made from an id")
        return
    remedy = "install what it draws with (MuJoCo without a screen: MUJOCO_GL=egl), or train without videos"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what cannot be drawn is said below
            env = case.render()
            try:
                env.reset(seed=case.seed)
                frame = env.render()
            finally:
                env.close()
    except Exception as error:  # of the environment, or of what it draws with
        yield Finding("warning", "rendering", f"{type(error).__name__}: {error}", remedy)
        return
    if isinstance(frame, np.ndarray) and frame.ndim == 3 and frame.shape[2] == 3 and frame.dtype == np.uint8:
        yield Finding("ok", "rendering", f"frames of {frame.shape[1]} x {frame.shape[0]}")
    else:
        got = f"{frame.shape} {frame.dtype}" if isinstance(frame, np.ndarray) else type(frame).__name__
        text = f"render() gave {got}, not a uint8 array (height, width, 3)"
        yield Finding("warning", "rendering", text, "return such an array in mode rgb_array")


def _speed(case: Case) -> Iterator[Finding]:
    raw, serial = case.make(), SerialEnv(case.make, 1, case.seed)
    try:
        case.env.action_space.seed(case.seed)
        actions = [case.env.action_space.sample() for _ in range(TIMED)]
        batches = [_batch([a]) for a in actions]
        raw.reset(seed=case.seed)
        serial.reset()
        times: list[tuple[float, float]] = []
        for _ in range(ROUNDS):
            begin = time.perf_counter()
            for a in actions:
                _, _, over, cut, _ = raw.step(a)
                if over or cut:
                    raw.reset()
            between = time.perf_counter()
            for batch in batches:
                serial.step(batch)
            times.append((between - begin, time.perf_counter() - between))
            if time.perf_counter() - begin > 1:
                break
    finally:
        raw.close()
        serial.close()
    bare, whole = np.median(times, axis=0) / TIMED
    text = f"{1 / bare:,.0f} steps/s; {1 / whole:,.0f} in rlcore's serial environment ({1e6 * (whole - bare):+.1f} us)"
    if whole > SLOW:
        text += "; several in worker processes (--vector process) would pay"
    yield Finding("ok", "speed", text)


def _gymnasium_check(case: Case) -> Iterator[Finding]:
    """Findings of Gymnasium's own checker, less those that are said above in other words."""
    from gymnasium.utils.env_checker import check_env

    env = case.make()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            check_env(env.unwrapped, skip_render_check=True)
            failed = ""
        except Exception as error:  # mostly AssertionError
            failed = str(error).strip().split("\n")[0] or type(error).__name__
        finally:
            env.close()
    said = [re.sub(r"\x1b\[\d+m|WARN: ", "", str(w.message)).split("\n")[0] for w in caught]
    said = [
        words for words in said if not re.search(r"-?infinity\. This|symmetric and normalized|share an object", words)
    ]
    remedy = "see gymnasium.utils.env_checker.check_env"
    if failed:
        yield Finding("problem", "Gymnasium's check", failed, remedy)
    elif said:
        yield Finding("warning", "Gymnasium's check", "; ".join(dict.fromkeys(said)), remedy)
    else:
        yield Finding("ok", "Gymnasium's check", "check_env has nothing to say")


FURTHER = {"resume": _resume, "rendering": _rendering, "speed": _speed, "Gymnasium's check": _gymnasium_check}


def _batch(actions: list[Any]) -> Any:
    """Actions of one environment each as a batch of rows."""
    if isinstance(actions[0], dict):
        return {k: _batch([a[k] for a in actions]) for k in actions[0]}
    if isinstance(actions[0], tuple):
        return tuple([_batch([a[k] for a in actions]) for k in range(len(actions[0]))])
    return np.array(actions)
