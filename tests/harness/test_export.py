"""What can be exported, what cannot, and that tracing sees both."""

import json

import numpy as np
import pytest

from rlcore.autograd import Link, Parameter, Variable
from rlcore.autograd import functions as F
from rlcore.cli import main
from rlcore.envs.batch import Leaf
from rlcore.harness.export import export_policy, traced
from rlcore.policy import OPS, ExportedPolicy, load_policy
from tests.harness.exporting import CASES, built

FLOATS = Leaf((4, 6), np.dtype(np.float32))


def run(network, x, promised=FLOATS):
    nodes, (output,), tensors = traced(network, promised)
    description = {"before": [], "nodes": nodes, "output": output, "head": None, "after": [], "observation": None}
    return ExportedPolicy(description, tensors).network(x)


W = np.float32(np.random.Generator(np.random.PCG64(0)).standard_normal((5, 24)))
W3 = W.reshape(5, 6, 4)[:2]


def lstm(x, h, c, **named):
    flat = W.ravel()
    ys, _, c = F.lstm_scan(x, h, c, flat.reshape(20, 6), flat[:100].reshape(20, 5), flat[100:], **named)
    return F.concat([ys[0], ys[-1], c], axis=1)


NETWORKS = {
    "reshape": lambda x: F.reshape(x, (x.shape[0], 24)) * 1.5 + 0.25,
    "transpose": lambda x: F.transpose(x, (0, 2, 1)),
    "transpose all": lambda x: F.transpose(F.reshape(x, (-1, 24))),
    "linear": lambda x: F.linear(x, W),
    "linear, no bias, on each row": lambda x: F.linear(x, W[:, :6], n_batch_axes=2),
    "relu": lambda x: F.relu(F.linear(x, W, W[:, 0])),
    "tanh": lambda x: F.tanh(x) - F.sigmoid(x),
    "exp": lambda x: F.exp(x) / (1 + F.square(x)),
    "log": lambda x: F.log(F.absolute(x) + 1) ** 2,
    "sqrt": lambda x: -F.sqrt(F.absolute(x)),
    "softmax": lambda x: F.softmax(x, axis=2),
    "log softmax": lambda x: F.log_softmax(x, axis=1),
    "softplus": lambda x: F.softplus(x, beta=2.0),
    "elu": lambda x: F.elu(x, alpha=0.5),
    "leaky": lambda x: F.leaky_relu(x, slope=0.3),
    "clip": lambda x: F.clip(x, -0.5, 0.25),
    "maximum": lambda x: F.maximum(x, x * 0.5) - F.minimum(x, -x),
    "concat": lambda x: F.concat([x, x * 2], axis=1),
    "split": lambda x: F.split_axis(x, [1, 3], axis=2)[1] + F.split_axis(x, 3, axis=2)[2],
    "index": lambda x: x[:, 1, ::2] + x[:, -1, 3:],
    "sum": lambda x: F.sum(x, axis=1) + F.sum(x, axis=(1, 2), keepdims=True)[:, 0],
    "average": lambda x: F.average(x, axis=2) + F.max(x, axis=2),
    "dueling": lambda x: (lambda a: a[:, :1] + a[:, 1:] - F.average(a[:, 1:], axis=1, keepdims=True))(F.linear(x, W)),
    "ensemble": lambda x: F.ensemble_linear(F.broadcast_to(x[:, 0][None], (2, x.shape[0], 6)), W3.transpose(0, 2, 1)),
    "lstm": lambda x: lstm(F.transpose(x[:, :2], (1, 0, 2)), x[:, 2, :5], x[:, 3, :5]),
    "layer norm": lambda x: F.layer_normalization(F.reshape(x, (x.shape[0], 24)), W[0], W[1]),
    "convolution": lambda x: F.convolution_2d(x[:, None], W[:, :6].reshape(5, 1, 2, 3), W[:, 0], (1, 2), (1, 0)),
    "groups": lambda x: F.convolution_2d(
        F.concat([x[:, None], x[:, None]]), W[:4, :6].reshape(4, 1, 2, 3), groups=2, dilate=(2, 1), relu=True
    ),
    "cover all": lambda x: F.convolution_2d(x[:, None], W[:, :9].reshape(5, 1, 3, 3), stride=2, cover_all=True),
    "pooling": lambda x: F.max_pooling_2d(x[:, None], 3, 2, 1),
    "cast": lambda x: F.cast(F.cast(x, np.float16), np.float32),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("rows", [1, 7])
def test_a_traced_network_gives_the_same(name, rows):
    x = np.float32(np.random.Generator(np.random.PCG64(rows)).standard_normal((rows, 4, 6)))
    wanted = NETWORKS[name](Variable(x)).array
    got = run(NETWORKS[name], x)
    assert got.shape == wanted.shape
    assert got.dtype == wanted.dtype
    np.testing.assert_allclose(got, wanted, rtol=2e-4, atol=1e-5)


def test_every_op_that_can_be_exported_is_tried():
    tried = {node["op"] for network in NETWORKS.values() for node in traced(network, FLOATS)[0]}
    tried |= {node["op"] for node in traced(lambda x: F.identity(x), FLOATS)[0]} | {
        "one_hot"
    }  # in tests/test_policy.py
    assert tried == set(OPS)


def test_constants_are_folded_and_kept_as_they_are():
    p = Parameter(np.ones((5, 24), np.float32))

    def network(x):
        return F.linear(x, p * 2, None)

    nodes, _, tensors = traced(network, Leaf((24,), FLOATS.dtype))
    assert [node["op"] for node in nodes] == ["linear"]
    (kept,) = tensors.values()
    p.array = np.zeros((5, 24), np.float32)
    assert (kept == 2).all()


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (lambda x: F.tanh(np.sin(x.array)), "no op .* leads from the observations"),
        (lambda x: F.tanh(x) + x.array.mean(), "by something that is no op"),
        (lambda x: F.erf(x), "uses the op erf"),
        (
            lambda x: F.broadcast_to(x, (2 * x.shape[0], *x.shape)),
            "shape of the op broadcast depends on the observations",
        ),
        (lambda x: F.tanh(x) if len(x) < 4 else F.relu(x), "other ops for other observations"),
        (lambda x: x if False else F.tanh(x)[np.array([0, 1])], "by an array of indices"),
        (
            lambda x: lstm(x[:2, 0][None], x[:2, 2, :5], x[:2, 3, :5], reset=np.ones((1, 2), bool)),
            "an LSTM whose state is reset inside a sequence",
        ),
    ],
)
def test_what_cannot_be_exported_is_said(network, message):
    with pytest.raises(ValueError, match=message):
        traced(network, FLOATS)


def test_a_policy_without_a_description_is_refused(tmp_path):
    from rlcore.agents.base import Policy

    class Mine(Policy):
        def __call__(self, obs):
            return obs

    with pytest.raises(ValueError, match="Mine cannot be exported"):
        export_policy(tmp_path / "p", Mine(), built(CASES[0])[1])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_exists_is_kept(tmp_path):
    agent, env, _ = built(CASES[0])
    with pytest.raises(ValueError, match="exists; choose another folder"):
        export_policy(tmp_path, agent.policy(), env)


def test_a_link_of_the_user_is_exported(tmp_path):
    class Mine(Link):
        def __init__(self):
            super().__init__()
            self.scale = Parameter(np.float32([2, 3, 4, 5, 6, 7]))

        def forward(self, x):
            return F.tanh(x * self.scale)

    x = np.float32(np.random.Generator(np.random.PCG64(1)).standard_normal((3, 4, 6)))
    link = Mine()
    np.testing.assert_allclose(run(link, x), link(x).array, rtol=1e-5, atol=1e-6)


def test_the_command(tmp_path, capsys):
    words = ["--learning-starts", "20", "--update-every", "10", "--hidden", "8", "--eval-every", "50"]
    folder = tmp_path / "run"
    main(["train", "dqn", "--steps", "120", "--eval-episodes", "2", "--folder", str(folder), *words])
    main(["export", str(folder), "--out", str(tmp_path / "p")])
    assert "it needs NumPy and nothing else" in capsys.readouterr().out
    description = json.loads((tmp_path / "p" / "policy.json").read_text())
    assert [description[k] for k in ("algorithm", "env", "steps")] == ["dqn", "CartPole-v1", 120]
    assert load_policy(tmp_path / "p")(np.zeros(4)) in (0, 1)
    main(["export", str(folder), "--out", str(tmp_path / "b"), "--best"])
    assert json.loads((tmp_path / "b" / "policy.json").read_text())["steps"] in (50, 100)
    with pytest.raises(SystemExit, match="exists; choose another folder"):
        main(["export", str(folder), "--out", str(tmp_path / "p")])
