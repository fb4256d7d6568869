"""Models in the words that a ChainerRL user writes; the imports below are all that differs from Chainer.

After chainerrl.links.MLP, MLPBN, FCStateQFunctionWithDiscreteAction, NatureDQNHead, A3C's LSTM model, FCGaussianPolicy,
the dueling C51 network, IQN's Q-function with factorised noise, PPO's and TRPO's Gaussian policy, the recurrent
Q-function and DDPG's pair: the same layers, names and defaults, written anew.
"""

import copy

import numpy as np

import rlcore.autograd as chainer
import rlcore.autograd.functions as F
import rlcore.autograd.links as L
from rlcore.autograd.initializers import LeCunNormal, LeCunUniform


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


class DuelingC51(chainer.Chain):
    """Return distributions (N, n_actions, n_atoms): softmax over atoms of values and centred advantages."""

    def __init__(self, in_size, n_actions, n_atoms, v_min, v_max):
        super().__init__()
        self.n_actions, self.n_atoms = n_actions, n_atoms
        self.add_persistent("z_values", np.linspace(v_min, v_max, num=n_atoms, dtype=np.float32))
        with self.init_scope():
            self.main_stream = L.Linear(in_size, 16)
            self.a_stream = L.Linear(8, n_actions * n_atoms)
            self.v_stream = L.Linear(8, n_atoms)

    def __call__(self, x):
        h_a, h_v = F.split_axis(F.relu(self.main_stream(x)), 2, axis=-1)
        ya = F.reshape(self.a_stream(h_a), (len(x), self.n_actions, self.n_atoms))
        ya, mean = F.broadcast(ya, F.expand_dims(F.sum(ya, axis=1) / self.n_actions, axis=1))
        ya, ys = F.broadcast(ya - mean, F.reshape(self.v_stream(h_v), (len(x), 1, self.n_atoms)))
        q_dist = F.softmax(ya + ys, axis=2)
        return q_dist, F.sum(F.scale(q_dist, self.z_values, axis=2), axis=2)


class FactorizedNoisyLinear(chainer.Chain):
    """Two Linears for mean and deviation; the noise is handed in."""

    def __init__(self, in_size, out_size, sigma_scale=0.4):
        super().__init__()
        with self.init_scope():
            self.mu = L.Linear(in_size, out_size, initialW=LeCunUniform(1 / np.sqrt(3)))
            self.sigma = L.Linear(in_size, out_size, initialW=sigma_scale, initial_bias=sigma_scale)

    def __call__(self, x, eps_x, eps_y):
        W = self.sigma.W * self.xp.outer(eps_y, eps_x) + self.mu.W
        return F.linear(x, W, self.sigma.b * eps_y + self.mu.b)


class ImplicitQuantileQFunction(chainer.Chain):
    """Quantiles (N, n_taus, n_actions) of the returns for thresholds taus (N, n_taus)."""

    def __init__(self, in_size, n_actions, n_basis_functions=8, hidden_size=6):
        super().__init__()
        self.n_basis_functions = n_basis_functions
        with self.init_scope():
            self.psi = chainer.Sequential(L.Linear(in_size, hidden_size), F.relu)
            self.phi = chainer.Sequential(L.Linear(n_basis_functions, hidden_size), F.relu)
            self.f = FactorizedNoisyLinear(hidden_size, n_actions)

    def __call__(self, x, taus, eps_x, eps_y):
        batch_size, n_taus = taus.shape
        i_pi = np.arange(1, self.n_basis_functions + 1, dtype=np.float32) * np.float32(np.pi)
        basis = np.cos(taus[..., None] * i_pi)
        phi = F.reshape(self.phi(F.reshape(basis, (-1, self.n_basis_functions))), (batch_size, n_taus, -1))
        h = F.broadcast_to(F.expand_dims(self.psi(x), axis=1), phi.shape) * phi
        return F.reshape(self.f(F.reshape(h, (batch_size * n_taus, -1)), eps_x, eps_y), (batch_size, n_taus, -1))


class GaussianPolicyWithStateIndependentCovariance(chainer.Chain):
    def __init__(self, in_size, action_size):
        super().__init__()
        with self.init_scope():
            self.hidden_layers = MLP(in_size, action_size, [8], nonlinearity=F.tanh, last_wscale=1e-2)
            self.var_param = chainer.Parameter(initializer=0.0, shape=(action_size,))

    def __call__(self, x):
        mean = self.hidden_layers(x)
        return mean, F.broadcast_to(2 * self.var_param, mean.shape)


class MLPBN(chainer.Chain):
    def __init__(self, in_size, out_size, hidden_sizes):
        super().__init__()
        with self.init_scope():
            self.input_bn = L.BatchNormalization(in_size)
            self.input_bn.avg_var[:] = 1
            self.hidden_layers = chainer.ChainList()
            for size in hidden_sizes:
                self.hidden_layers.append(chainer.Sequential(L.Linear(in_size, size), L.BatchNormalization(size)))
                in_size = size
            self.output = L.Linear(in_size, out_size)

    def __call__(self, x):
        h = self.input_bn(x)
        for layer in self.hidden_layers:
            h = F.relu(layer(h))
        return self.output(h)


class RecurrentQFunction(chainer.Chain):
    """Sequences of different lengths in, the values of all their steps one after the other out, and the state."""

    def __init__(self, in_size, n_actions):
        super().__init__()
        with self.init_scope():
            self.encode = L.Linear(in_size, 6)
            self.lstm = L.NStepLSTM(2, 6, 5, 0)
            self.gru = L.NStepGRU(1, 5, 4, 0)
            self.out = L.Linear(4, n_actions)

    def __call__(self, sequences, state=(None, None, None)):
        sections = np.cumsum([len(x) for x in sequences[:-1]], dtype=np.int32)
        xs = F.split_axis(F.relu(self.encode(F.concat(sequences, axis=0))), sections, axis=0)
        h, c, ys = self.lstm(state[0], state[1], list(xs))
        g, ys = self.gru(state[2], ys)
        return self.out(F.concat(ys, axis=0)), (h, c, g)


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


def waves(*shape, seed=0):
    return np.sin(np.arange(np.prod(shape), dtype=np.float32) * 0.7 + seed).reshape(shape).astype(np.float32)


def train_c51():
    """Three steps of cross entropy towards fixed return distributions; then the values of all actions."""
    model = DuelingC51(5, 3, 11, -2, 2)
    fill(model, 5)
    optimizer = chainer.optimizers.Adam(alpha=1e-2, eps=1e-2 / 32)
    optimizer.setup(model)
    x, t = waves(4, 5), np.exp(4 * waves(4, 11, seed=1))
    t /= t.sum(axis=1, keepdims=True)
    losses = []
    for _ in range(3):
        q_dist, _ = model(x)
        y = q_dist[np.arange(4), np.array([0, 2, 1, 1])]
        loss = F.mean(F.sum(-t * F.log(F.clip(y, 1e-10, 1.0)), axis=1))
        optimizer.update(lambda loss=loss: loss)
        losses.append(float(loss.array))
    return losses + model(x)[1].array.ravel().tolist()


def train_iqn():
    """Three steps of quantile regression, with noise that is fixed."""
    model = ImplicitQuantileQFunction(5, 3)
    fill(model, 6)
    optimizer = chainer.optimizers.Adam(alpha=1e-2)
    optimizer.setup(model)
    x, taus, t = waves(4, 5), (waves(4, 6) + 1) / 2, waves(4, 7, seed=2)
    losses = []
    for step in range(3):
        quantiles = model(x, taus, waves(6, seed=step), waves(3, seed=step))
        y = F.expand_dims(quantiles[np.arange(4), :, np.array([0, 2, 1, 1])], axis=2)
        y, target, thresholds = F.broadcast(y, F.expand_dims(t, axis=1), F.expand_dims(taus, axis=2))
        below = ((target.array - y.array) > 0).astype("f")
        loss = F.sum(F.mean(abs(thresholds - below) * F.huber_loss(y, target, delta=1.0, reduce="no"), axis=(0, 2)))
        model.cleargrads()
        loss.backward()
        optimizer.update()
        losses.append(float(loss.array))
    return losses


def gaussian_log_prob(x, mean, ln_var):
    return F.sum(-0.5 * np.log(2 * np.pi) - 0.5 * ln_var - (x - mean) ** 2 / (2 * F.exp(ln_var)), axis=1)


def train_ppo():
    """Three steps of PPO's clipped loss, with advantages and targets in float64 as a user's lists make them."""
    policy, vf = GaussianPolicyWithStateIndependentCovariance(4, 2), MLP(4, 1, [8], nonlinearity=F.tanh)
    model = chainer.ChainList(policy, vf)
    fill(model, 7)
    optimizer = chainer.optimizers.Adam(alpha=3e-2, eps=1e-5)
    optimizer.setup(model)
    optimizer.add_hook(chainer.optimizer_hooks.GradientClipping(0.5))
    x, a, v_teacher = waves(6, 4), waves(6, 2, seed=1), np.array([[0.5], [1.0], [0.0], [-1.0], [0.3], [0.2]])
    advs = np.array([1.0, -1.0, 0.5, 0.2, -0.3, 0.1])
    with chainer.no_backprop_mode():
        log_prob_old = gaussian_log_prob(a, *policy(x)).array
    losses = []
    for _ in range(3):
        mean, ln_var = policy(x)
        ratio = F.exp(gaussian_log_prob(a, mean, ln_var) - log_prob_old)
        entropy = F.mean(0.5 * 2 * (np.log(2 * np.pi) + 1) + 0.5 * F.sum(ln_var, axis=1))
        loss_policy = -F.mean(F.minimum(ratio * advs, F.clip(ratio, 0.8, 1.2) * advs))
        loss = loss_policy + F.mean((vf(x) - v_teacher) ** 2) - 0.01 * entropy
        optimizer.update(lambda loss=loss: loss)
        losses.append(float(loss.array))
    return losses


def trpo_step():
    """The gradient of the surrogate gain and the product of the KL divergence's Hessian with it: squares of norms."""
    policy = GaussianPolicyWithStateIndependentCovariance(4, 2)
    fill(policy, 8)
    x, a, advs = waves(6, 4), waves(6, 2, seed=1), waves(6, seed=3)
    params = [p for _, p in sorted(policy.namedparams())]
    mean, ln_var = policy(x)
    log_prob = gaussian_log_prob(a, mean, ln_var)
    gain = F.mean(F.exp(log_prob - log_prob.array) * advs)
    gain_grads = chainer.grad([gain], params)
    old_mean, old_ln_var = mean.array.copy(), ln_var.array.copy()
    kl = ln_var - old_ln_var + (np.exp(old_ln_var) + (old_mean - mean) ** 2) / F.exp(ln_var) - 1
    kl_grads = chainer.grad([F.mean(0.5 * F.sum(kl, axis=1))], params, enable_double_backprop=True)
    flat = F.concat([F.flatten(g) for g in kl_grads], axis=0)
    vec = np.concatenate([g.array.ravel() for g in gain_grads])
    product = chainer.grad([F.sum(flat * vec)], params)
    return [float((g.array**2).sum()) for g in gain_grads + product]


def train_batch_normalization():
    """Three steps with statistics of the batch, then a prediction with the running ones, and these."""
    model = MLPBN(5, 3, [8, 6])
    fill(model, 9)
    optimizer = chainer.optimizers.MomentumSGD(lr=0.1)
    optimizer.setup(model)
    x = waves(7, 5)
    losses = []
    for _ in range(3):
        loss = F.mean_squared_error(model(x), np.ones((7, 3), dtype=np.float32))
        model.cleargrads()
        loss.backward()
        optimizer.update()
        losses.append(float(loss.array))
    with chainer.using_config("train", False):
        y = model(x[:2])
    bn = model.hidden_layers[1][1]
    return losses + y.array.ravel().tolist() + bn.avg_mean.tolist() + bn.avg_var.tolist()


def train_recurrent_q_function():
    """Three steps through time from states that are carried over, one of them set to zero."""
    model = RecurrentQFunction(5, 3)
    sequences = [waves(4, 5), waves(2, 5, seed=1), waves(3, 5, seed=2)]
    fill(model, 10)
    optimizer = chainer.optimizers.RMSpropGraves(lr=1e-2, momentum=0.0)
    optimizer.setup(model)
    state, losses = (None, None, None), []
    for _ in range(3):
        q, state = model(sequences, state)
        loss = F.mean_squared_error(F.select_item(q, np.arange(9, dtype=np.int32) % 3), waves(9))
        model.cleargrads()
        loss.backward()
        for s in state:
            s.unchain_backward()
        mask = np.ones((1, 3, 1), dtype=np.float32)
        mask[:, 1] = 0
        state = tuple(s * F.broadcast_to(mask, s.shape) for s in state)
        optimizer.update()
        losses.append(float(loss.array))
    return losses


def train_ddpg():
    """Three updates of critic and actor, each by its own optimizer, with targets that follow softly."""
    policy = chainer.Sequential(MLP(4, 2, [8]), F.tanh)
    q_function = MLP(6, 1, [8])
    model = chainer.Chain(policy=policy, q_function=q_function)
    fill(model, 11)
    target = copy.deepcopy(model)
    critic_optimizer, actor_optimizer = chainer.optimizers.Adam(alpha=1e-2), chainer.optimizers.Adam(alpha=1e-2)
    critic_optimizer.setup(model["q_function"])
    actor_optimizer.setup(model["policy"])
    x, a, r, x1 = waves(5, 4), waves(5, 2, seed=1), waves(5, 1, seed=2), waves(5, 4, seed=3)
    losses = []

    def critic_loss():
        with chainer.no_backprop_mode():
            t = r + 0.9 * target.q_function(F.concat((x1, target.policy(x1)), axis=-1))
        return F.mean_squared_error(t, q_function(F.concat((x, a), axis=-1)))

    def actor_loss():
        return -F.mean(q_function(F.concat((x, policy(x)), axis=-1)))

    for _ in range(3):
        losses += [float(critic_loss().array), float(actor_loss().array)]
        critic_optimizer.update(critic_loss)
        actor_optimizer.update(actor_loss)
        source = dict(model.namedparams())
        for name, p in target.namedparams():
            p.array[...] *= 1 - 0.1
            p.array[...] += 0.1 * source[name].array
    return losses
