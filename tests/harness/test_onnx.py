"""ONNX files, checked against onnxruntime: they act as the exported policies do."""

import sys

import numpy as np
import pytest

from rlcore.agents import PPO
from rlcore.envs.wrappers import FlattenObservation, FrameStack
from rlcore.harness.export import described, export_policy
from rlcore.harness.onnx import OPS as ONNX_OPS
from rlcore.harness.onnx import UNARY, _Graph, export_onnx
from rlcore.policy import OPS, load_policy
from rlcore.tree import leaves
from tests.harness.exporting import CASES, VECTOR, Case, built, played
from tests.harness.test_export import FLOATS, NETWORKS, run
from tests.test_policy import alike

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def stacked(obs, k):
    """First observations, repeated; not the action mask."""
    if isinstance(obs, dict):
        return {name: part if name == "action_mask" else stacked(part, k) for name, part in obs.items()}
    return np.repeat(obs[:, None], k, 1)


@pytest.mark.parametrize(
    "case", [case for case in CASES if FlattenObservation not in case.wraps[:-1]], ids=lambda case: case.name
)
@pytest.mark.parametrize("n_envs", [1, 4])
def test_it_does_what_the_policy_does(tmp_path, case, n_envs):
    agent, env, other = built(case, n_envs)
    export_onnx(tmp_path / "p.onnx", agent.policy(), env)
    export_policy(tmp_path / "p", agent.policy(), env)
    policy = load_policy(tmp_path / "p")
    session = onnxruntime.InferenceSession(tmp_path / "p.onnx")
    stacks = [how for how in policy.description["before"] if how["kind"] == "frame_stack"]
    states = [np.zeros((n_envs, *how["shape"]), how["dtype"]) for how in policy.description["state"]]
    for seen, _ in played(agent.policy(), other, 4):
        if stacks:
            policy.reset()  # each observation is a first one: its stack is itself, repeated
            states = [np.zeros_like(array) for array in states]
        given = stacked(seen, stacks[0]["k"]) if stacks else seen
        inputs = dict(zip((i.name for i in session.get_inputs()), [*leaves(given), *states]))
        outputs = session.run(None, inputs)
        wanted = (*leaves(policy(seen)), *policy.state)
        alike(tuple(outputs), wanted)
        states = outputs[len(outputs) - len(states) :]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_gives_the_same(name):
    from rlcore.harness.export import traced

    nodes, (output,), tensors = traced(NETWORKS[name], FLOATS)
    x = np.float32(np.random.Generator(np.random.PCG64(3)).standard_normal((3, 4, 6)))
    wanted = run(NETWORKS[name], x)
    g = _Graph(onnx, tensors)
    known = {"obs": "obs_0"}
    for node in nodes:
        made = g._node(node["op"], [known.get(i) or tensors[i] if i else None for i in node["in"]], node["attrs"])
        known.update(zip(node["out"], made if isinstance(made, list) else [made]))
    helper = onnx.helper
    outs = [helper.make_tensor_value_info(known[output], 1, None)]
    ins = [helper.make_tensor_value_info("obs_0", 1, ["N", 4, 6])]
    graph = helper.make_graph(g.nodes, "network", ins, outs, list(g.constants.values()))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (got,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"obs_0": x})
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-4)


def test_every_op_has_its_counterpart():
    assert UNARY.keys() | ONNX_OPS.keys() == OPS.keys()
    assert not UNARY.keys() & ONNX_OPS.keys()


def test_frames_of_what_is_flattened_are_refused(tmp_path):
    case = Case("", PPO, VECTOR, CASES[0].action_space, (FlattenObservation, lambda env: FrameStack(env, 2)))
    agent, env, _ = built(case)
    with pytest.raises(ValueError, match="put FlattenObservation around FrameStack, not inside"):
        export_onnx(tmp_path / "p.onnx", agent.policy(), env)
    assert described(agent.policy(), env)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_exists_is_kept_and_without_onnx_it_is_said_what_to_install(tmp_path, monkeypatch):
    agent, env, _ = built(CASES[0])
    (tmp_path / "p").touch()
    with pytest.raises(ValueError, match="exists; choose another file"):
        export_onnx(tmp_path / "p", agent.policy(), env)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r'pip install "rlcore\[export\]"'):
        export_onnx(tmp_path / "q", agent.policy(), env)
