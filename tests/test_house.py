"""House rules, read off the source of every module of rlcore, and proof that each rule bites."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]

LAYERS = (  # imports go down only; a name stands for a module or for all of a package
    "backend rng tree threads fields memory policy parallel.launched",
    "autograd stream parallel parallel.base parallel.comm parallel.devices parallel.heartbeat "
    "parallel.local parallel.mail "
    "parallel.roles parallel.scatter parallel.wire",
    "networks bodies heads actor_critic q_networks continuous distributions "
    "returns losses explorers noise buffers envs parallel.collectives parallel.exchange",
    "agents parallel.chunk",
    "harness parallel.actor parallel.crew parallel.feed parallel.learner parallel.schedule "
    "parallel.data_parallel parallel.hogwild parallel.hogwild_worker "
    "parallel.checkpoints parallel.evaluation parallel.normalization parallel.worlds",
    "api ranks commands cli",
)
TOP = len(LAYERS)  # rlcore/__init__.py, rlcore/__main__.py
SIBLINGS = {  # imports inside a row, across its modules: a variant needs its family
    ("actor_critic", "bodies"),
    ("actor_critic", "heads"),
    ("actor_critic", "networks"),
    ("agents.a3c", "agents.a2c"),
    ("agents.appo", "agents.ppo"),
    ("agents.c51", "agents.dqn"),
    ("agents.drqn", "agents.dqn"),
    ("agents.impala", "agents.a2c"),
    ("agents.qr_dqn", "agents.dqn"),
    ("agents.r2d2", "agents.drqn"),
    ("agents.rainbow", "agents.c51"),
    ("agents.td3", "agents.ddpg"),
    ("bodies", "networks"),
    ("cli", "commands"),
    ("commands", "api"),
    ("commands", "ranks"),
    ("continuous", "bodies"),
    ("continuous", "distributions"),
    ("continuous", "networks"),
    ("heads", "distributions"),
    ("heads", "networks"),
    ("parallel", "parallel.base"),
    ("parallel", "parallel.comm"),
    ("parallel", "parallel.heartbeat"),
    ("parallel.base", "parallel.heartbeat"),
    ("parallel.actor", "harness"),
    ("parallel.checkpoints", "harness"),
    ("parallel.checkpoints", "parallel.data_parallel"),
    ("parallel.checkpoints", "parallel.worlds"),
    ("parallel.base", "parallel.devices"),
    ("parallel.comm", "parallel.base"),
    ("parallel.comm", "parallel.heartbeat"),
    ("parallel.crew", "harness"),
    ("parallel.crew", "parallel.actor"),
    ("parallel.crew", "parallel.feed"),
    ("parallel.crew", "parallel.schedule"),
    ("parallel.data_parallel", "harness"),
    ("parallel.data_parallel", "parallel.normalization"),
    ("parallel.evaluation", "harness"),
    ("parallel.feed", "harness"),
    ("parallel.hogwild", "harness"),
    ("parallel.hogwild", "parallel.hogwild_worker"),
    ("parallel.hogwild_worker", "harness"),
    ("parallel.learner", "harness"),
    ("parallel.learner", "parallel.actor"),
    ("parallel.learner", "parallel.crew"),
    ("parallel.learner", "parallel.data_parallel"),
    ("parallel.learner", "parallel.feed"),
    ("parallel.learner", "parallel.schedule"),
    ("parallel.local", "parallel.base"),
    ("parallel.local", "parallel.mail"),
    ("parallel.mail", "parallel.base"),
    ("parallel.roles", "parallel.base"),
    ("parallel.scatter", "parallel.base"),
    ("parallel.schedule", "harness"),
    ("parallel.schedule", "parallel.actor"),
    ("parallel.schedule", "parallel.feed"),
    ("q_networks", "bodies"),
    ("q_networks", "networks"),
    ("ranks", "api"),
}
SHARED = (
    "agents.acting",
    "agents.base",
    "agents.continuous",
    "agents.descent",
    "agents.off_policy",
    "agents.on_policy",
    "agents.recurrent",
)
BANNED = {"agents": ("rlcore.envs", "rlcore.harness", "rlcore.parallel", "tensorboardX")}
ONLY_IN = {"tyro": "rlcore.cli", "mpi4py": "rlcore.parallel.comm"}
HEAVY = (
    "torch", "tensorboardX", "cupy", "mpi4py", "matplotlib", "scipy", "rich", "safetensors", "tyro", "ale_py", "cv2",
    "envpool", "imageio", "optuna", "onnx", "onnxruntime", "yaml",
)  # fmt: skip
PICKLES = ("pickle", "_pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib")
GENERATORS = {"Generator", "BitGenerator", "SeedSequence", "PCG64", "PCG64DXSM", "Philox"}
SEEDS = "rlcore.envs.worker_process"  # the global generators of worker processes, for environments that draw from them
WRITES_CODE = "rlcore.autograd.apply"  # writes out each op's apply, as dataclasses write __init__
MACHINE_PATH = re.compile(r"(?<![\w.)/~-])/(?:home|root|Users|tmp|opt|work|mnt|srv|var|usr)/\w|\b[A-Z]:\\\\?\w")


class Module(NamedTuple):
    name: str  # rlcore.agents.dqn; a package's name stands for its __init__.py
    source: str
    is_package: bool = False

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)


class Import(NamedTuple):
    target: str  # from a import b is a.b
    line: int
    at_import: bool  # runs when the module is imported


def modules() -> list[Module]:
    found = []
    for path in sorted((ROOT / "rlcore").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        package = parts[-1] == "__init__"
        found.append(Module(".".join(parts[:-1] if package else parts), path.read_text("utf-8"), package))
    return found


def dotted(node: ast.AST) -> str:
    """The name a.b.c of an expression, "" for anything else."""
    if isinstance(node, ast.Attribute):
        head = dotted(node.value)
        return head and f"{head}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def nodes(node: ast.AST, at_import: bool = True) -> Iterator[tuple[ast.AST, bool]]:
    """All nodes below, each with whether it runs at import."""
    for child in ast.iter_child_nodes(node):
        yield child, at_import
        later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        typing_only = isinstance(child, ast.If) and dotted(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        yield from nodes(child, at_import and not later and not typing_only)


def imports(module: Module) -> Iterator[Import]:
    for node, now in nodes(module.tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, now) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = module.name.split(".")
            package = package[: len(package) + module.is_package - node.level] if node.level else []
            base = ".".join([*package, *([node.module] if node.module else [])])
            yield from (Import(f"{base}.{alias.name}", node.lineno, now) for alias in node.names)
        elif isinstance(node, ast.Call) and dotted(node.func).split(".")[-1] in ("import_module", "__import__"):
            if node.args and isinstance(node.args[0], ast.Constant):
                yield Import(str(node.args[0].value), node.lineno, now)


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def place(name: str) -> tuple[int, str]:
    """Row and unit of a module of rlcore: the longest name in LAYERS that covers it."""
    units = [(row, unit) for row, text in enumerate(LAYERS) for unit in text.split()]
    covering = [(row, unit) for row, unit in units if within(name, f"rlcore.{unit}")]
    return max(covering, key=lambda found: len(found[1]), default=(TOP, ""))


# Every rule takes a module and yields its complaints.


def layers(module: Module) -> Iterator[str]:
    row, unit = place(module.name)
    if row == TOP and module.name not in ("rlcore", "rlcore.__main__"):
        yield "has no place in LAYERS"
    for target, line, _ in imports(module):
        if any(within(target, banned) for banned in BANNED.get(unit, ())):
            yield f"{line}: {unit} must not import {target}"
        elif within(target, "rlcore"):
            below, other = place(target)
            if below > row:
                yield f"{line}: imports {target}, which is above"
            elif below == row and unit != other and (unit, other) not in SIBLINGS:
                yield f"{line}: imports {target}, which is in its own row"


def families(module: Module) -> Iterator[str]:
    """Agents stand on what agents share; a variant on its family is listed in SIBLINGS."""
    if not module.name.startswith("rlcore.agents."):
        return
    own = module.name.removeprefix("rlcore.")
    for target, line, _ in imports(module):
        if within(target, "rlcore.agents"):
            family = ".".join(target.split(".")[1:3])
            if family not in SHARED and (own, family) not in SIBLINGS:
                yield f"{line}: imports {target}: list ({own!r}, {family!r}) in SIBLINGS if it is a variant"


def light_imports(module: Module) -> Iterator[str]:
    for target, line, at_import in imports(module):
        top = target.split(".")[0]
        if top in ONLY_IN and module.name != ONLY_IN[top]:
            yield f"{line}: {top} is imported in {ONLY_IN[top]} alone"
        if at_import and top in HEAVY and (module.name, top) != ("rlcore.cli", "tyro"):
            yield f"{line}: {top} is imported when it is used, not with the module"
        if at_import and module.name == "rlcore" and within(target, "rlcore.cli"):
            yield f"{line}: rlcore.cli loads tyro and must not load with rlcore"


def own_generators(module: Module) -> Iterator[str]:
    seeds = ("random", "np.random.seed") if module.name == SEEDS else ()
    numpys = {"np", "numpy", "xp", "cp", "cupy"}
    for node, _ in nodes(module.tree):
        if isinstance(node, ast.Import):
            numpys |= {alias.asname for alias in node.names if alias.asname and alias.name in ("numpy", "cupy")}
    for target, line, _ in imports(module):
        head, _, name = target.rpartition(".")
        if target in seeds:
            continue
        if within(target, "random") or target in ("numpy.random", "cupy.random"):
            yield f"{line}: imports {target}, a global generator"
        elif head in ("numpy.random", "cupy.random") and name not in GENERATORS:
            yield f"{line}: {target} draws from a global generator"
    for node, _ in nodes(module.tree):
        if isinstance(node, ast.Attribute):
            head, _, rest = dotted(node).partition(".random.")
            if dotted(node) in seeds:
                continue
            if head in numpys and rest and "." not in rest and rest not in GENERATORS:
                yield f"{node.lineno}: {dotted(node)} draws from a global generator"


def no_pickle(module: Module) -> Iterator[str]:
    for target, line, _ in imports(module):
        if target.split(".")[0] in PICKLES:
            yield f"{line}: imports {target}"
    for node, _ in nodes(module.tree):
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            if not (isinstance(node.value, ast.Constant) and node.value.value is False):
                yield f"{node.value.lineno}: allow_pickle"


def no_eval(module: Module) -> Iterator[str]:
    forbidden = {"eval"} if module.name == WRITES_CODE else {"eval", "exec", "compile"}
    for node, _ in nodes(module.tree):
        if isinstance(node, ast.Call) and dotted(node.func).removeprefix("builtins.") in forbidden:
            yield f"{node.lineno}: {dotted(node.func)}"


def no_assert(module: Module) -> Iterator[str]:
    for node, _ in nodes(module.tree):
        if isinstance(node, ast.Assert):
            yield f"{node.lineno}: assert vanishes under -O; raise an error with a message"


def short(module: Module) -> Iterator[str]:
    limit = 400 if within(module.name, "rlcore.autograd.functions") or module.name == "rlcore.policy" else 300
    lines = len(module.source.splitlines())
    if lines > limit:
        yield f"{lines} lines, at most {limit}"


def documented(module: Module) -> Iterator[str]:
    defines = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    if any(isinstance(node, defines) and not node.name.startswith("_") for node in module.tree.body):
        if not ast.get_docstring(module.tree):
            yield "has public code and no docstring"


def portable(module: Module) -> Iterator[str]:
    for number, line in enumerate(module.source.splitlines(), 1):
        if found := MACHINE_PATH.search(line):
            yield f"{number}: a path of one machine: {found[0]}..."


RULES = (
    layers,
    families,
    light_imports,
    own_generators,
    no_pickle,
    no_eval,
    no_assert,
    short,
    documented,
    portable,
)
AGENT, CORE = "rlcore.agents.dqn", "rlcore.autograd.link"
SPOILED = [
    (layers, "rlcore.tree", "from rlcore.autograd import Variable"),
    (layers, CORE, "from rlcore.stream import Step"),
    (layers, CORE, "def f():\n    import rlcore.parallel.comm"),
    (layers, "rlcore.stream", "from rlcore import autograd"),
    (layers, "rlcore.stream", "from . import DQN"),
    (layers, "rlcore.losses", "from .returns import gae"),
    (layers, "rlcore.buffers.replay", "from ..envs.base import VectorEnv"),
    (layers, "rlcore.distributions", "from rlcore.networks import mlp"),
    (layers, "rlcore.envs.base", "if TYPE_CHECKING:\n    from rlcore.agents import Agent"),
    (layers, AGENT, "from rlcore.envs import SerialEnv"),
    (layers, AGENT, "from rlcore.harness.train import train"),
    (layers, AGENT, "from rlcore.parallel import comm"),
    (layers, AGENT, "def f():\n    import tensorboardX"),
    (layers, "rlcore.parallel.comm", "from rlcore.parallel.hogwild import hogwild"),
    (layers, "rlcore.harness.train", "from rlcore.api import Run"),
    (layers, "rlcore.api", "import rlcore.cli"),
    (layers, "rlcore.helpers", ""),
    (families, AGENT, "from rlcore.agents.sac import SAC"),
    (families, AGENT, "from rlcore.agents import SAC"),
    (families, AGENT, "from . import sac"),
    *[(light_imports, "rlcore.harness.record", f"import {name}.x") for name in HEAVY],
    (light_imports, "rlcore.backend", "try:\n    import cupy\nexcept ImportError:\n    cupy = None"),
    (light_imports, "rlcore.harness.record", "class A:\n    from rich.progress import Progress"),
    (light_imports, "rlcore.api", "def f():\n    import tyro"),
    (light_imports, "rlcore.parallel.hogwild", "def f():\n    from mpi4py import MPI"),
    (light_imports, "rlcore.cli", "import rich"),
    (light_imports, "rlcore", "from rlcore.cli import main"),
    (own_generators, AGENT, "np.random.seed(0)"),
    (own_generators, AGENT, "def f():\n    return np.random.rand(3)"),
    (own_generators, AGENT, "rng = numpy.random.default_rng()"),
    (own_generators, AGENT, "import numpy as n\nn.random.normal()"),
    (own_generators, AGENT, "xp.random.uniform(0, 1)"),
    (own_generators, AGENT, "from numpy.random import randint"),
    (own_generators, AGENT, "from numpy import random"),
    (own_generators, AGENT, "import numpy.random as r"),
    (own_generators, AGENT, "import random"),
    (own_generators, AGENT, "from random import choice"),
    (own_generators, SEEDS, "import random\nnp.random.rand()"),
    *[(no_pickle, AGENT, f"def f():\n    import {name}") for name in PICKLES],
    (no_pickle, AGENT, "from pickle import loads"),
    (no_pickle, AGENT, "importlib.import_module('pickle')"),
    (no_pickle, AGENT, "np.load(f, allow_pickle=True)"),
    (no_pickle, AGENT, "np.load(f, allow_pickle=trusted)"),
    (no_eval, AGENT, "eval(path.read_text())"),
    (no_eval, AGENT, "exec(text)"),
    (no_eval, AGENT, "compile(text, 'x', 'exec')"),
    (no_eval, AGENT, "builtins.exec(text)"),
    (no_eval, WRITES_CODE, "eval(text)"),
    (no_assert, AGENT, "def f(x):\n    assert x"),
    (short, AGENT, "\n" * 301),
    (short, "rlcore.autograd.functions.math", "\n" * 401),
    (documented, AGENT, "class A:\n    '''Only the class.'''"),
    (documented, AGENT, "import os\ndef f(): ..."),
    *[(portable, AGENT, f"p = '/{folder}/me'") for folder in ("home", "root", "Users", "tmp", "opt", "work")],
    (portable, AGENT, "# see /" + "tmp/notes"),
    (portable, AGENT, "p = 'C:" + "\\\\data'"),
]
SOUND = [
    (layers, "rlcore.distributions", "from rlcore.autograd import functions as F"),
    (layers, "rlcore.heads", "from rlcore.distributions import Categorical"),
    (layers, "rlcore.buffers.prioritized", "from rlcore.buffers.replay import Replay"),
    (layers, "rlcore.parallel.hogwild", "from rlcore.parallel.comm import Comm\nfrom rlcore.agents.base import Agent"),
    (layers, CORE, "from rlcore import backend, rng\nfrom . import function"),
    (layers, AGENT, "from rlcore import losses, stream\nfrom rlcore.buffers import Replay"),
    (layers, "rlcore", "from rlcore.api import Run"),
    (families, AGENT, "from rlcore.agents.base import Agent\nfrom . import base"),
    (families, "rlcore.agents", "from rlcore.agents.dqn import DQN"),
    (light_imports, "rlcore.cli", "import tyro"),
    (light_imports, "rlcore.parallel.comm", "def f():\n    from mpi4py import MPI"),
    (light_imports, "rlcore.harness.record", "def f():\n    from tensorboardX import SummaryWriter"),
    (light_imports, "rlcore.harness.record", "if TYPE_CHECKING:\n    import rich"),
    (own_generators, AGENT, "def f(rng: np.random.Generator):\n    rng.random(3)\n    np.random.SeedSequence(1)"),
    (own_generators, AGENT, "from numpy.random import PCG64, Generator"),
    (own_generators, SEEDS, "import random\nnp.random.seed(1)"),
    (no_pickle, AGENT, "np.load(f, allow_pickle=False)"),
    (no_eval, AGENT, "re.compile('x')\nmodel.eval()"),
    (no_eval, WRITES_CODE, "exec(compile(text, 'x', 'exec'))"),
    (short, AGENT, "\n" * 300),
    (short, "rlcore.autograd.functions.math", "\n" * 400),
    (documented, AGENT, "def _f(): ..."),
    (documented, AGENT, "'''What it is for.'''\ndef f(): ..."),
    (portable, AGENT, "x = total/work/3  # runs/<env>, /dev/shm, https://a.org/tmp/x, (B, T)/var/2"),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_module_keeps(rule):
    assert [f"{module.name}:{complaint}" for module in modules() for complaint in rule(module)] == []


@pytest.mark.parametrize(("rule", "name", "source"), SPOILED)
def test_rule_bites(rule, name, source):
    assert list(rule(Module(name, source)))


@pytest.mark.parametrize(("rule", "name", "source"), SOUND)
def test_rule_lets_pass(rule, name, source):
    assert list(rule(Module(name, source, is_package=name in ("rlcore", "rlcore.agents")))) == []


def test_every_rule_is_proved():
    assert {rule for rule, *_ in SPOILED} == set(RULES)


def circle(found: list[Module]) -> list[str]:
    """A circle of imports that run at import, [] if there is none. Packages count as the modules they are named by."""
    names = {module.name for module in found}
    graph = {
        module.name: {
            target if target in names else target.rpartition(".")[0]
            for target, _, at_import in imports(module)
            if at_import and within(target, "rlcore")
        }
        for module in found
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_imports_have_no_circle():
    assert circle(modules()) == []


def test_a_circle_is_found():
    def pair(second: str) -> list[Module]:
        return [Module("rlcore.a", "from rlcore.b import f"), Module("rlcore.b", second)]

    assert set(circle(pair("import rlcore.a"))) == {"rlcore.a", "rlcore.b"}
    assert circle(pair("def f():\n    import rlcore.a")) == []


def bare_folders(tests: Path) -> list[str]:
    """Folders with Python files and no __init__.py: their modules' names would collide."""
    return sorted({str(path.parent) for path in tests.rglob("*.py") if not (path.parent / "__init__.py").exists()})


def test_every_tests_folder_is_a_package():
    assert bare_folders(ROOT / "tests") == []


def test_a_bare_tests_folder_is_found(tmp_path):
    (tmp_path / "agents").mkdir()
    (tmp_path / "__init__.py").touch()
    (tmp_path / "agents" / "test_dqn.py").touch()
    assert bare_folders(tmp_path) == [str(tmp_path / "agents")]


@pytest.mark.parametrize("folder", ["experiments", "tests"])
def test_no_path_of_a_machine(folder):
    found = [Module(str(path), path.read_text("utf-8")) for path in sorted((ROOT / folder).rglob("*.py"))]
    found = [module for module in found if module.name != __file__]
    assert [f"{module.name}:{complaint}" for module in found for complaint in portable(module)] == []


def heavy_after(statement: str) -> set[str]:
    """Heavy packages in a fresh interpreter after a statement."""
    script = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return {"gymnasium", *HEAVY} & set(done.stdout.split())


def test_import_is_light():
    assert heavy_after("import rlcore") == set()


def test_a_heavy_import_is_found():
    assert heavy_after("import rlcore, gymnasium, safetensors") >= {"gymnasium", "safetensors"}
