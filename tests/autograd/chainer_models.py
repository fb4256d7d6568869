"""Models in the words that a ChainerRL user writes; the imports below are all that differs from Chainer.

After chainerrl.links.MLP, FCStateQFunctionWithDiscreteAction, NatureDQNHead, A3C's LSTM model and FCGaussianPolicy:
the same layers, names and defaults, written anew.
"""

import numpy as np

import rlcore.autograd as chainer
import rlcore.autograd.functions as F
import rlcore.autograd.links as L
from rlcore.autograd.initializers import LeCunNormal


class MLP(chainer.Chain):
    def __init__(self, in_size, out_size, hidden_sizes, nonlinearity=F.relu, last_wscale=1):
        super().__init__()
        self.nonlinearity = nonlinearity
        with self.init_scope():
            self.hidden_layers = chainer.ChainList()
            for size in hidden_sizes:
                self.hidden_layers.append(L.Linear(in_size, size))
                in_size = size
            self.output = L.Linear(in_size, out_size, initialW=LeCunNormal(last_wscale))

    def __call__(self, x):
        h = x
        for layer in self.hidden_layers:
            h = self.nonlinearity(layer(h))
        return self.output(h)


class FCStateQFunctionWithDiscreteAction(chainer.Chain):
    def __init__(self, ndim_obs, n_actions, n_hidden_channels, n_hidden_layers):
        super().__init__(model=MLP(ndim_obs, n_actions, [n_hidden_channels] * n_hidden_layers))

    def __call__(self, x):
        return self.model(x)


class NatureDQNHead(chainer.ChainList):
    def __init__(self, n_input_channels=4, n_output_channels=512, activation=F.relu, bias=0.1):
        self.activation = activation
        layers = [
            L.Convolution2D(n_input_channels, 32, 8, stride=4, initial_bias=bias),
            L.Convolution2D(32, 64, 4, stride=2, initial_bias=bias),
            L.Convolution2D(64, 64, 3, stride=1, initial_bias=bias),
            L.Linear(None, n_output_channels, initial_bias=bias),
        ]
        super().__init__(*layers)

    def __call__(self, state):
        h = state
        for layer in self:
            h = self.activation(layer(h))
        return h


class A3CLSTM(chainer.Chain):
    def __init__(self, n_actions):
        super().__init__()
        with self.init_scope():
            self.head = NatureDQNHead(n_output_channels=32)
            self.pi = L.Linear(None, n_actions)
            self.v = L.Linear(32, 1)
            self.lstm = L.LSTM(32, 32)

    def pi_and_v(self, state):
        out = self.lstm(self.head(state))
        return F.softmax(self.pi(out)), F.flatten(self.v(out))

    def reset_state(self):
        self.lstm.reset_state()


class FCGaussianPolicy(chainer.Chain):
    def __init__(self, n_input_channels, action_size, n_hidden_channels=16, min_var=1e-3):
        super().__init__()
        self.min_var = min_var
        with self.init_scope():
            self.hidden = MLP(n_input_channels, n_hidden_channels, [n_hidden_channels], nonlinearity=F.tanh)
            self.mean_layer = L.Linear(n_hidden_channels, action_size, initialW=LeCunNormal(1e-1))
            self.var_layer = L.Linear(n_hidden_channels, action_size)

    def __call__(self, x):
        h = F.tanh(self.hidden(x))
        mean = self.mean_layer(h)
        var = F.broadcast_to(F.softplus(self.var_layer(h)), mean.shape) + self.min_var
        return mean, F.log(var)


def fill(model, seed):
    """Parameters that are the same wherever this text runs."""
    for path, p in sorted(model.namedparams()):
        n = p.array.size
        p.array[...] = (0.3 * np.sin(np.arange(n) * (0.7 + len(path)) + seed)).reshape(p.array.shape).astype(np.float32)


def frames(n, seed):
    return (np.arange(n * 4 * 84 * 84) * 7919 % (251 + seed)).reshape(n, 4, 84, 84).astype(np.float32) / 255


def train_q_function():
    """Three steps of Q-learning on a fixed batch."""
    model = FCStateQFunctionWithDiscreteAction(5, 3, 16, 2)
    fill(model, 1)
    optimizer = chainer.optimizers.Adam(alpha=1e-2, eps=1e-4)
    optimizer.setup(model)
    optimizer.add_hook(chainer.optimizer_hooks.GradientClipping(0.5))
    x = np.sin(np.arange(20, dtype=np.float32)).reshape(4, 5)
    losses = []
    for _ in range(3):
        q = F.select_item(model(x), np.array([0, 2, 1, 1], dtype=np.int32))
        loss = F.sum(F.huber_loss(F.expand_dims(q, 1), np.ones((4, 1), dtype=np.float32), delta=1.0)) / 4
        model.cleargrads()
        loss.backward()
        optimizer.update()
        losses.append(float(loss.array))
    return losses


def train_nature_head():
    """Three steps of regression through convolutions, by the optimizer of the DQN paper."""
    head = NatureDQNHead(n_output_channels=16)
    model = chainer.Sequential(head, F.relu, L.Linear(16, 6))
    x = frames(2, 0)
    model(x)
    fill(model, 2)
    optimizer = chainer.optimizers.RMSpropGraves(lr=2.5e-4, alpha=0.95, momentum=0.95, eps=1e-2)
    optimizer.setup(model)
    losses = []
    for _ in range(3):
        loss = F.mean_squared_error(model(x), np.ones((2, 6), dtype=np.float32))
        optimizer.target.cleargrads()
        loss.backward()
        optimizer.update()
        losses.append(float(loss.array))
    return losses


def train_a3c_lstm():
    """Two rollouts of three steps: policy gradient, value loss and entropy through the recurrent state."""
    model = A3CLSTM(4)
    with chainer.no_backprop_mode():
        model.pi_and_v(frames(1, 0))
    model.reset_state()
    fill(model, 3)
    optimizer = chainer.optimizers.RMSprop(lr=1e-3, eps=1e-1)
    optimizer.setup(model)
    losses = []
    for rollout in range(2):
        loss = 0
        for t in range(3):
            pi, v = model.pi_and_v(frames(1, 3 * rollout + t))
            log_pi = F.log(F.clip(pi, 1e-8, 1.0))
            advantage = 1.0 - v.array
            loss += -F.sum(F.select_item(log_pi, np.array([t], dtype=np.int32)) * advantage)
            loss += 0.5 * F.sum((v - 1.0) ** 2) + 0.01 * F.sum(pi * log_pi)
        model.cleargrads()
        loss.backward()
        loss.unchain_backward()
        optimizer.update()
        losses.append(float(loss.array))
    return losses


def train_gaussian_policy():
    """Three steps up the likelihood of fixed actions."""
    model = FCGaussianPolicy(4, 2)
    fill(model, 4)
    optimizer = chainer.optimizers.Adam(alpha=1e-2)
    optimizer.setup(model)
    x, a = np.cos(np.arange(12, dtype=np.float32)).reshape(3, 4), np.full((3, 2), 0.5, dtype=np.float32)
    losses = []
    for _ in range(3):
        mean, ln_var = model(x)
        loss = F.gaussian_nll(a, mean, ln_var) / 3
        optimizer.target.cleargrads()
        loss.backward()
        optimizer.update()
        losses.append(float(loss.array))
    return losses
