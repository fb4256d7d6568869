"""The bugs: what is wrong, in which module, what text gives way to which, and the tests that must fail."""

from tests.planted.plant import Bug

BUGS = [
    # Q-learning
    Bug(
        "no target network", "agents.dqn",
        'values = self.target_q(batch["next_obs"]).array',
        'values = self.online_q(batch["next_obs"]).array',
        "agents/test_dqn.py::test_an_update_is_the_papers",
    ),
    Bug(
        "the target is never updated", "agents.dqn",
        "self.target.soft_copyparams(self.q, self.config.tau)",
        "pass",
        "agents/test_dqn.py::test_the_target_is_copied_every_so_many_updates",
    ),
    Bug(
        "the target moves by 1 - tau", "agents.dqn",
        "self.target.soft_copyparams(self.q, self.config.tau)",
        "self.target.soft_copyparams(self.q, 1 - self.config.tau)",
        "agents/test_dqn.py::test_a_soft_target_moves_by_tau",
    ),
    Bug(
        "the best action instead of the one taken", "agents.dqn",
        'F.select_item(self.q(batch["obs"]), batch["action"])',
        'F.max(self.q(batch["obs"]), axis=1)',
        "agents/test_dqn.py::test_an_update_is_the_papers",
    ),
    Bug(
        "Double DQN lets the target network choose", "agents.dqn",
        'return self.best(batch, self.online_q(batch["next_obs"]).array)',
        "return self.best(batch, values)",
        "agents/test_dqn.py::test_an_update_is_the_papers",
    ),
    Bug(
        "epsilon stays where it begins", "agents.dqn",
        "self.explorer(values, self.t, mask)",
        "self.explorer(values, 0, mask)",
        "agents/test_dqn.py::test_exploration_and_learning_rate_follow_their_schedules",
    ),
    Bug(
        "steps are counted instead of rows", "agents.off_policy",
        "self.t += len(step.reward)",
        "self.t += 1",
        "agents/test_off_policy.py::test_updates_are_counted_by_rows",
    ),
    Bug(
        "forbidden actions are bootstrapped from", "agents.dqn",
        "return xp_of(mask).where(mask, values, -np.inf).argmax(axis=1)",
        "return values.argmax(axis=1)",
        "agents/test_dqn.py::test_targets_are_of_allowed_actions",
    ),
    Bug(
        "an update that was left out counts, and moves the target", "agents.dqn",
        "if not self.descend(loss, batch, 1 if self.comm is None else self.rows_in(batch)):\n"
        "            return {}",
        "self.descend(loss, batch)",
        "agents/test_every.py::test_losses_that_are_nan_are_left_out_and_counted_and_three_in_a_row_end_the_run",
    ),
    Bug(
        "dueling without the mean", "q_networks",
        "advantage - F.average(advantage, axis=1, keepdims=True) + value",
        "advantage + value",
        "test_q_networks.py::test_dueling_is_value_plus_advantage_less_its_mean",
    ),
    Bug(
        "the target of a noisy network has no noise", "agents.dqn",
        "for learning in (self.q, self.online_q, self.target_q):",
        "for learning in (self.q, self.online_q):",
        "agents/test_dqn.py::test_a_noisy_target_draws_noise_too_and_sigmas_are_learned",
    ),
    Bug(
        "one noise for acting and learning", "agents.dqn",
        'with_noise(self.acting_q, self.noise["acting"])',
        'with_noise(self.acting_q, self.noise["learning"])',
        "agents/test_dqn.py::test_noise_is_drawn_for_each_act_and_each_learning_pass_by_generators_of_their_own",
    ),
    # replay
    Bug(
        "gamma is ignored", "buffers.replay",
        "np.array([1, gamma, 0, gamma], np.float32)",
        "np.array([1, 1, 0, 1], np.float32)",
        "buffers/test_replay.py::test_returns_at_the_end_of_an_episode",
    ),
    Bug(
        "terminated inverted", "buffers.replay",
        "TERMINATED if terminated[i] else TRUNCATED",
        "TRUNCATED if terminated[i] else TERMINATED",
        "buffers/test_replay.py::test_returns_at_the_end_of_an_episode",
    ),
    Bug(
        "a timeout is a terminal state", "buffers.replay",
        "np.array([1, gamma, 0, gamma], np.float32)",
        "np.array([1, gamma, 0, 0], np.float32)",
        "agents/test_dqn.py::test_a_time_limit_is_bootstrapped",
    ),
    Bug(
        "the reset observation is the successor", "buffers.replay",
        "map_(itemgetter(i), step.final_obs)",
        "map_(itemgetter(i), step.obs)",
        "buffers/test_replay.py::test_no_window_enters_the_next_episode_and_no_successor_is_a_reset",
    ),
    Bug(
        "n steps are discounted by gamma, not by gamma ** n", "buffers.replay",
        "discount *= self._discount.take(kind)",
        "discount *= kind != TERMINATED",
        "buffers/test_replay.py::test_returns_at_the_end_of_an_episode",
    ),
    Bug(
        "n steps go on in the next episode", "buffers.replay",
        "elif terminated[i] or truncated[i]:",
        "elif terminated[i]:",
        "buffers/test_replay.py::test_no_window_enters_the_next_episode_and_no_successor_is_a_reset",
    ),
    Bug(
        "a row that is no transition is a step", "buffers.replay",
        "if not valid[i]:\n"
        "                self._waiting[stream + i] = NOBODY",
        "if not valid[i]:\n"
        "                self._waiting[stream + i] = row",
        "buffers/test_replay.py::test_an_invalid_row_cuts_the_stream_before_and_after",
    ),
    Bug(
        "a row that was overwritten gets a successor", "buffers.replay",
        "if before > row - self.capacity and before != NOBODY:",
        "if before != NOBODY:",
        "buffers/test_replay.py::test_a_link_from_a_stream_that_was_silent_for_a_ring_is_dropped",
    ),
    Bug(
        "priorities go to rows that have taken a row's place", "buffers.prioritized",
        "here = rows >= self._written - self.capacity",
        "here = rows >= 0",
        "buffers/test_prioritized.py::test_priorities_are_right_when_the_buffer_wraps_between_sampling_and_updating",
    ),
    Bug(
        "rows that are no transitions have priorities", "buffers.prioritized",
        "p *= self._kind.take(at) > 0",
        "pass",
        "buffers/test_prioritized.py::test_a_gap_has_no_priority",
    ),
    Bug(
        "new transitions have priority 1", "buffers.prioritized",
        "np.full(len(self._changed), self._largest)",
        "np.full(len(self._changed), 1.0)",
        "buffers/test_prioritized.py::test_new_transitions_have_the_largest_priority_so_far",
    ),
    Bug(
        "alpha is ignored", "buffers.prioritized",
        "p **= self.alpha",
        "pass",
        "buffers/test_prioritized.py::test_frequencies_are_in_proportion_to_the_priorities",
    ),
    Bug(
        "weights enlarge the bias", "buffers.prioritized",
        "** self.beta(self._written)",
        "** -self.beta(self._written)",
        "buffers/test_prioritized.py::test_weights_are_those_of_the_paper",
    ),
    Bug(
        "weights are not used by DQN's family", "losses",
        'return F.average(losses * batch["weight"]) if "weight" in batch else F.average(losses)',
        "return F.average(losses)",
        "agents/test_dqn.py::test_an_update_is_the_papers",
    ),
    Bug(
        "weights are not used by actor-critics", "agents.continuous",
        'squared_errors(q, goal, batch.get("weight"))',
        "squared_errors(q, goal)",
        "agents/test_ddpg.py::test_an_update_is_the_papers",
    ),
    Bug(
        "leaves of no weight are drawn", "buffers.sum_tree",
        "(upto > rest[:, None]).argmax(1)",
        "(upto >= rest[:, None]).argmax(1)",
        "buffers/test_sum_tree.py::test_the_ends_of_the_range_find_the_first_and_the_last_leaf_of_a_weight",
    ),
    Bug(
        "sums in single precision", "buffers.sum_tree",
        "np.zeros((groups, FAN))",
        "np.zeros((groups, FAN), np.float32)",
        "buffers/test_sum_tree.py::test_sums_are_a_function_of_the_leaves_whatever_changed_them",
    ),
    Bug(
        "the recurrent state of the wrong row", "buffers.sequence",
        'column.take(walk[0], 0, out, "clip")',
        'column.take(at, 0, out, "clip")',
        "buffers/test_sequence.py::test_a_sequence_begins_with_the_state_of_its_first_row",
    ),
    Bug(
        "a burn-in reaches into the episode before", "buffers.sequence",
        "reset[t] = there & ~known",
        "reset[t] = False",
        "buffers/test_sequence.py::test_the_picture",
    ),
    Bug(
        "a stack that reaches into overwritten rows is drawn", "buffers.frames",
        "if row >= self.capacity:",
        "if False:",
        "buffers/test_frames.py::test_a_stack_that_reaches_into_overwritten_rows_is_not_drawn",
    ),
    # distributions of returns
    Bug(
        "returns are projected without clipping", "autograd.functions.reinforcement",
        ".clip(0, n - 1)\n"
        "        low = np.fmin(np.floor(at), n - 2)",
        "\n"
        "        low = np.fmin(np.floor(at), n - 2).clip(0)",
        "autograd/functions/test_reinforcement.py::test_the_projection_by_hand",
    ),
    Bug(
        "the logarithm of 0", "losses",
        "loss = np.log(total).reshape(-1) - (target * x).sum(axis=1)",
        "loss = -(target * np.log(p / total)).sum(axis=1)",
        "test_losses.py::test_the_cross_entropy_of_actions_bears_large_logits",
    ),
    Bug(
        "the quantiles' fractions are off by half", "autograd.functions.reinforcement",
        "(xp_of(q).arange(n) + 0.5) / n",
        "(xp_of(q).arange(n) + 1.0) / n",
        "autograd/functions/test_reinforcement.py::test_the_quantile_huber_loss_by_hand",
    ),
    Bug(
        "the quantiles' errors have the other sign", "autograd.functions.reinforcement",
        "- (d < 0))",
        "- (d > 0))",
        "autograd/functions/test_reinforcement.py::test_the_quantile_huber_loss_by_hand",
    ),
    Bug(
        "C51 bootstraps from the most probable return's action", "agents.c51",
        "self.next_action(batch, probs @ atoms)",
        "self.next_action(batch, probs.max(axis=2))",
        "agents/test_c51.py::test_an_update_is_the_papers",
    ),
    # agents that remember
    Bug(
        "DRQN's state goes on in the next episode", "agents.drqn",
        "self.remembered.forget(over, stream)",
        "pass",
        "agents/test_drqn.py::test_no_state_leaks_from_one_episode_into_another",
    ),
    Bug(
        "DRQN's state takes in rows that are no transitions", "agents.drqn",
        "step.ended | ~step.valid",
        "step.ended",
        "agents/test_drqn.py::test_no_state_leaks_from_one_episode_into_another",
    ),
    Bug(
        "other streams forget than those that ended", "agents.recurrent",
        "streams = slice(first, first + len(mask))",
        "streams = slice(0, len(mask))",
        "agents/test_recurrent.py::test_some_streams_forget_by_their_numbers",
    ),
    Bug(
        "forgetting reaches into a state that was given away", "agents.recurrent",
        "a = a.copy()",
        "pass",
        "agents/test_recurrent.py::test_a_state_that_was_given_to_a_policy_stays_as_it_was",
    ),
    Bug(
        "DRQN bootstraps from forbidden actions", "agents.drqn",
        "return xp_of(mask).where(mask, values, -np.inf).argmax(axis=2)",
        "return values.argmax(axis=2)",
        "agents/test_drqn.py::test_forbidden_actions_are_never_taken_nor_bootstrapped_from",
    ),
    Bug(
        "the burn-in is learned from", "agents.drqn",
        "h, target_h = (map_(as_array, q(early, h, reset[:b])[1]) for q in (self.online_q, self.target_q))",
        "h, target_h = (q(early, h, reset[:b])[1] for q in (self.q, self.target_q))",
        "agents/test_drqn.py::test_an_update_is_the_papers",
    ),
    Bug(
        "R2D2's values are not scaled back", "agents.r2d2",
        "self.returns(batch, unrescaled(value, eps))",
        "self.returns(batch, value)",
        "agents/test_drqn.py::test_an_update_is_the_papers",
    ),
    Bug(
        "PPO's state goes on in the next episode", "agents.on_policy",
        "self.memory.forget(over, stream)",
        "pass",
        "agents/test_ppo_recurrent.py::test_the_state_goes_on_between_rows_and_begins_anew_with_an_episode",
    ),
    Bug(
        "PPO learns with states of rows that are no transitions", "agents.acting",
        ' | ~columns["valid"]\n'
        "",
        "\n"
        "",
        "agents/test_ppo_recurrent.py::test_a_dummy_row_leaks_nothing_into_the_next_episode",
    ),
    # exploration
    Bug(
        "a forbidden action is explored", "explorers",
        "action[exploring] = (count > np.floor(u * count[:, -1])[:, None]).argmax(1)",
        "action[exploring] = u * values.shape[1]",
        "test_explorers.py::test_random_actions_are_drawn_from_the_allowed_ones_alone",
    ),
    Bug(
        "noise drifts on in the next episode", "agents.ddpg",
        "self.noise.reset(over, stream)",
        "pass",
        "agents/test_ddpg.py::test_noise_of_a_kind_that_is_reset_where_episodes_end",
    ),
    Bug(
        "state-dependent noise is drawn at each step", "agents.acting",
        "if step % self.every == 0:",
        "if True:",
        "agents/test_acting.py::test_noise_is_drawn_anew_every_so_many_steps_of_a_rollout",
    ),
    Bug(
        "the temperature multiplies", "explorers",
        ".astype(np.float64) / self.temperature(t)",
        ".astype(np.float64) * self.temperature(t)",
        "test_explorers.py::test_boltzmann_draws_by_the_exponential_of_the_values",
    ),
    Bug(
        "a policy that draws moves training's generator", "agents.on_policy",
        'rng or self.rngs["policy"]',
        'rng or self.rngs["acting"]',
        "agents/test_on_policy.py::test_acting_learning_and_other_policies_draw_from_generators_of_their_own",
    ),
    Bug(
        "DDPG's policy draws from training's generator", "agents.ddpg",
        'rng or self.rngs["policy"]',
        'rng or self.rngs["acting"]',
        "agents/test_every.py::test_a_policy_that_draws_does_so_from_a_generator_of_its_own",
    ),
    # advantages
    Bug(
        "GAE leaks across the end of an episode", "returns",
        "(valid & ~ended).astype(advantage.dtype)",
        "valid.astype(advantage.dtype)",
        "test_returns.py::test_nothing_of_what_follows_a_cut_leaks_through_it",
    ),
    Bug(
        "GAE leaks across rows that are no transitions", "returns",
        "(valid & ~ended).astype(advantage.dtype)",
        "(~ended).astype(advantage.dtype)",
        "test_returns.py::test_a_row_that_is_no_transition_has_none_and_cuts",
    ),
    Bug(
        "GAE decays by lambda alone", "returns",
        "decay = (gamma * lam) *",
        "decay = lam *",
        "test_returns.py::test_gae_of_lambda_1_and_the_value_is_monte_carlo",
    ),
    Bug(
        "advantages bootstrap from a terminal state", "returns",
        "gamma * next_value * ~terminated - value",
        "gamma * next_value - value",
        "test_returns.py::test_gae_of_lambda_0_and_the_value_is_the_td_target",
    ),
    Bug(
        "advantages take the reset observation for the successor", "returns",
        'return np.where(columns["truncated"], final, following)',
        "return following",
        "agents/test_on_policy.py::test_advantages_and_returns_by_hand",
    ),
    Bug(
        "advantages take a timeout for a terminal state", "returns",
        "value, next_value, terminated, ended, columns",
        "value, next_value, ended, ended, columns",
        "agents/test_on_policy.py::test_advantages_and_returns_by_hand",
    ),
    Bug(
        "advantages end with the rollout", "returns",
        "np.concatenate((value[1:], final[-1:]))",
        "np.concatenate((value[1:], 0 * final[-1:]))",
        "agents/test_on_policy.py::test_the_last_row_counts_its_own_successor_also_where_it_is_cut",
    ),
    Bug(
        "advantages are scaled, but not centred", "returns",
        "x = x - x.sum() / len(x)",
        "pass",
        "agents/test_ppo.py::test_an_update_is_the_papers",
    ),
    Bug(
        "rows that are no transitions are learned from", "agents.on_policy",
        'taken if rows["valid"].all() else map_(lambda a: a[rows["valid"]], taken)',
        "taken",
        "agents/test_on_policy.py::test_rows_that_are_no_transitions_are_left_out_and_cut_the_stream",
    ),
    # policy gradients
    Bug(
        "entropy is punished", "losses",
        "xp_of(slope).full(slope.shape, -self.ent_coef * share, slope.dtype)",
        "xp_of(slope).full(slope.shape, self.ent_coef * share, slope.dtype)",
        "agents/test_ppo.py::test_an_update_is_the_papers",
    ),
    Bug(
        "the old log-probability is recomputed after each update", "losses",
        'op.apply(log_prob, entropy, value, batch["log_prob"]',
        "op.apply(log_prob, entropy, value, log_prob.array",
        "agents/test_ppo.py::test_an_update_is_the_papers",
    ),
    Bug(
        "the ratio is inverted", "losses",
        "log_ratio = log_prob - old",
        "log_ratio = old - log_prob",
        "test_losses.py::test_the_six_cases_of_the_clipped_surrogate",
    ),
    Bug(
        "the greater of ratio and clipped ratio", "losses",
        "least = np.minimum(plain, clipped)",
        "least = np.maximum(plain, clipped)",
        "test_losses.py::test_the_six_cases_of_the_clipped_surrogate",
    ),
    Bug(
        "the value is clipped to the wrong side", "losses",
        "error = old_value + bounded - target",
        "error = old_value - bounded - target",
        "test_losses.py::test_values_that_are_clipped",
    ),
    Bug(
        "a value that is clipped has a gradient", "losses",
        "self.error = error * (moved == bounded)",
        "self.error = error",
        "test_losses.py::test_values_that_are_clipped",
    ),
    Bug(
        "the loss gets the clipped action", "agents.on_policy",
        'extra["action"] = action\n'
        "",
        'extra["action"] = self.model.head.to_env(action)\n'
        "",
        "agents/test_ppo.py::test_the_environment_gets_clipped_actions_and_the_loss_does_not",
    ),
    Bug(
        "minibatches are not shuffled", "agents.ppo",
        'self.rngs["learning"].permutation(n)',
        "np.arange(n)",
        "agents/test_ppo.py::test_minibatches_hold_each_row_once_an_epoch",
    ),
    Bug(
        "the successor of a row that was cut is the reset observation", "agents.on_policy",
        "self._values_after(map_(lambda leaf: leaf[at], step.final_obs), at)",
        "self._values_after(map_(lambda leaf: leaf[at], step.obs), at)",
        "agents/test_on_policy.py::test_advantages_and_returns_by_hand",
    ),
    Bug(
        "the rate does not follow its schedule", "agents.on_policy",
        "self.optimizer.learning_rate = self.config.learning_rate(self.t)",
        "self.optimizer.learning_rate = self.config.learning_rate(0)",
        "agents/test_ppo.py::test_learning_rate_and_clip_range_follow_their_schedules",
    ),
    Bug(
        "A2C's advantage is not detached", "agents.a2c",
        "if not self.descend(loss, columns, n):",
        "loss = loss + (log_prob * (value - target + advantage)).sum() * (1 / len(target))\n"
        "        if not self.descend(loss, columns, n):",
        "agents/test_a2c.py::test_an_update_is_the_papers",
    ),
    Bug(
        "A2C's entropy is punished", "losses",
        "full(advantage.shape, -self.ent_coef, advantage.dtype)",
        "full(advantage.shape, self.ent_coef, advantage.dtype)",
        "agents/test_a2c.py::test_an_update_is_the_papers",
    ),
    Bug(
        "V-trace's errors have ratios of any size", "returns",
        "error = rho * (",
        "error = np.exp(log_ratio) * (",
        "test_returns.py::test_vtrace_by_hand",
    ),
    Bug(
        "V-trace goes on over the end of an episode", "returns",
        "trace = gamma * lam * c * goes_on",
        "trace = gamma * lam * c * valid",
        "test_returns.py::test_vtrace_ends_where_a_stream_is_cut",
    ),
    Bug(
        "V-trace's policy gradient counts one step", "returns",
        "discount * following - value",
        "discount * next_value - value",
        "test_returns.py::test_vtrace_is_the_papers_sum_of_products",
    ),
    Bug(
        "IMPALA takes its own policy for the one that acted", "agents.impala",
        "rollout_vtrace(columns, log_prob, value",
        'rollout_vtrace(columns, columns["log_prob"], value',
        "agents/test_impala.py::test_an_update_on_the_rows_of_an_older_policy_is_the_papers",
    ),
    Bug(
        "APPO's surrogate keeps to the policy that acted", "agents.appo",
        'return {"log_prob": log_prob, ',
        "return {",
        "agents/test_appo.py::test_an_update_on_the_rows_of_an_older_policy_is_ppos_on_vtrace",
    ),
    Bug(
        "the state does not go on where others acted", "agents.on_policy",
        "self.memory.keep(self.acting_model.distribution(*self.there((obs, h)))[1])",
        "self.memory.keep(h)",
        "agents/test_impala.py::test_rows_that_are_fed_are_learned_from_as_those_in_which_it_acted",
    ),
    # continuous control
    Bug(
        "SAC takes the greater of two critics", "agents.sac",
        "next_action).array.min(axis=0)",
        "next_action).array.max(axis=0)",
        "agents/test_sac.py::test_an_update_is_the_papers",
    ),
    Bug(
        "TD3 takes the greater of two critics", "agents.ddpg",
        ".array.min(axis=0)",
        ".array.max(axis=0)",
        "agents/test_td3.py::test_two_updates_are_the_papers",
    ),
    Bug(
        "the density does not know of tanh", "continuous",
        "log_prob = size + 2 * np.log1p(np.exp(-size)) - log_std",
        "log_prob = -log_std",
        "agents/test_sac.py::test_an_update_is_the_papers",
    ),
    Bug(
        "the temperature moves the wrong way", "agents.sac",
        "F.sum(self.temperature.log * -above)",
        "F.sum(self.temperature.log * above)",
        "agents/test_sac.py::test_the_temperature_pushes_the_entropy_to_its_target_from_both_sides",
    ),
    Bug(
        "entropy counts where an episode has ended", "agents.sac",
        "self.learn_critic(batch, next_q - alpha * next_log_prob.array)",
        'self.learn_critic({**batch, "reward": batch["reward"] - 0.99 * alpha * next_log_prob.array}, next_q)',
        "agents/test_sac.py::test_a_target_is_the_lesser_value_and_the_entropy_where_no_end_was",
    ),
    Bug(
        "SAC's critic learns from the actor's loss", "agents.sac",
        'self.fixed_critic(batch["obs"], action), alpha)\n'
        '        self.descend["actor"](loss, batch, len(action.array))',
        'self.critic(batch["obs"], action), alpha)\n'
        "        self.critic.cleargrads()\n"
        '        self.descend["actor"](loss, batch)\n'
        '        self.optimizers["critic"].update()',
        "agents/test_sac.py::test_an_update_is_the_papers",
    ),
    Bug(
        "the target critic moves by 1 - tau", "agents.sac",
        "soft_copyparams(self.critic, self.config.tau)",
        "soft_copyparams(self.critic, 1 - self.config.tau)",
        "agents/test_sac.py::test_a_target_that_stays_and_one_that_is_copied_are_exact",
    ),
    Bug(
        "the deterministic policy is not squashed", "agents.sac",
        "np.tanh(model.raw(obs).array)",
        "model.raw(obs).array",
        "agents/test_sac.py::test_its_deterministic_policy_is_the_squashed_mean_and_the_other_one_draws",
    ),
    Bug(
        "the noise of TD3's target is not clipped", "agents.td3",
        "noise.clip(-limit, limit)",
        "noise",
        "agents/test_td3.py::test_noise_on_the_actions_of_successors_is_clipped_and_stays_in_the_box",
    ),
    Bug(
        "TD3's actor learns at each update", "agents.td3",
        "if self.n_updates % self.config.policy_delay == 0 else {}",
        "",
        "agents/test_td3.py::test_actor_and_targets_learn_once_in_so_many_updates",
    ),
    Bug(
        "target critics keep the weights they were made with", "agents.continuous",
        "self.target_critic.copyparams(self.critic)",
        "pass",
        "agents/test_ddpg.py::test_targets_begin_as_the_networks_are_at_the_first_update",
    ),
    Bug(
        "targets are of the actor that learns", "agents.ddpg",
        "return self.target_mu(obs).array",
        "return self.acting_actor(obs).array",
        "agents/test_ddpg.py::test_an_update_is_the_papers",
    ),
    Bug(
        "the actor goes down the critic", "agents.ddpg",
        "loss = -F.average(",
        "loss = F.average(",
        "agents/test_ddpg.py::test_an_update_is_the_papers",
    ),
    Bug(
        "the replay gets actions in the environment's units", "agents.continuous",
        'super().observe(obs, extra["action"], step, {}, stream)',
        "super().observe(obs, action, step, {}, stream)",
        "agents/test_ddpg.py::test_what_is_kept_is_the_action_within_the_unit_box",
    ),
    # trust regions, Monte Carlo
    Bug(
        "no line search", "agents.trpo",
        "if kl <= config.target_kl and gained > gain:",
        "if True:",
        "agents/test_trpo.py::test_a_line_search_that_fails_leaves_every_parameter_as_it_was",
    ),
    Bug(
        "the Fisher matrix is damped the wrong way", "agents.trpo",
        "+ self.config.cg_damping * v",
        "- self.config.cg_damping * v",
        "agents/test_trpo.py::test_the_policys_step_is_the_papers",
    ),
    Bug(
        "half of the step that the trust region allows", "agents.trpo",
        "math.sqrt(2 * config.target_kl / curvature)",
        "math.sqrt(config.target_kl / curvature)",
        "agents/test_trpo.py::test_the_policys_step_is_the_papers",
    ),
    Bug(
        "a line search that fails leaves its last step", "agents.trpo",
        "        for p, start in zip(self.params, before):\n"
        "            p.array = start\n"
        "        return False",
        "        return False",
        "agents/test_trpo.py::test_a_line_search_that_fails_leaves_every_parameter_as_it_was",
    ),
    Bug(
        "the steepest direction instead of the conjugate one", "agents.trpo",
        "p = residual + (square / before) * p",
        "p = residual",
        "agents/test_trpo.py::test_the_conjugate_gradient_solves_positive_definite_systems",
    ),
    Bug(
        "returns count what came before", "returns",
        "for t in range(len(advantage) - 2, -1, -1):\n"
        "        advantage[t] += decay[t] * advantage[t + 1]",
        "for t in range(1, len(advantage)):\n"
        "        advantage[t] += decay[t - 1] * advantage[t - 1]",
        "agents/test_reinforce.py::test_returns_to_go_count_what_comes_after_and_not_what_came_before",
    ),
    Bug(
        "rows of unfinished episodes are thrown away", "agents.reinforce",
        "rollout.drop(first)",
        "rollout.clear()",
        "agents/test_reinforce.py::test_rows_of_unfinished_episodes_wait_across_updates",
    ),
    # optimizers
    Bug(
        "Adam's eps is corrected where it must not be", "autograd.optimizers.adam",
        "(correction if self.corrected_eps else 1)",
        "(1 if self.corrected_eps else correction)",
        "autograd/test_optimizers.py::test_a_hundred_steps_of_the_textbook",
    ),
    Bug(
        "RMSprop's eps is always inside the root", "autograd.optimizers.rmsprop",
        "if self.eps_inside_sqrt:",
        "if True:",
        "autograd/test_optimizers.py::test_rmsprop_as_pytorch",
    ),
    Bug(
        "gradients add up over updates", "agents.descent",
        "self.model.cleargrads()\n"
        "        if math",
        "if math",
        "agents/test_descent.py::test_gradients_do_not_add_up",
    ),
    Bug(
        "gradients are clipped one by one", "agents.descent",
        "part.grad *= self.threshold / norm",
        "part.grad.clip(-self.threshold, self.threshold, out=part.grad)",
        "agents/test_descent.py::test_the_gradient_is_clipped_to_a_norm",
    ),
    Bug(
        "a NaN in the gradient is learned from", "agents.descent",
        "elif math.isnan(norm):",
        "elif False:",
        "agents/test_descent.py::test_a_step_that_is_not_finite_is_left_out",
    ),
    # actors and learners
    Bug(
        "weights come in the midst of a chunk", "parallel.actor",
        "if not self.k:",
        "if True:",
        "parallel/test_actor.py::test_the_newest_weights_act_from_the_next_chunk_on",
    ),
    Bug(
        "an actor's noise and state go on in the next episode", "parallel.actor",
        "self.agent.forget(step.ended | ~step.valid)",
        "pass",
        "parallel/test_actor.py::test_what_is_sent_is_what_train_gives_an_agent",
    ),
    Bug(
        "a chunk shows the first observation as the last", "parallel.chunk",
        "put(final, at, map_(",
        "map_(np.copy, map_(",
        "parallel/test_chunk.py::test_the_rows_of_a_chunk_are_those_of_the_environment",
    ),
    Bug(
        "streams go on over a chunk that was lost", "parallel.crew",
        "if header.number > sender.number:",
        "if False:",
        "parallel/test_learner.py::test_behind_a_chunk_that_was_lost_a_stream_begins_anew",
    ),
    Bug(
        "streams go on where an actor has come back", "parallel.crew",
        "self.feed.cut(sender.stream, sender.n)",
        "pass",
        "parallel/test_learner.py::test_an_actor_comes_back",
    ),
    Bug(
        "a learner updates behind a chunk, not between its rows", "parallel.feed",
        "stats = agent.update()",
        "stats = {}",
        "parallel/test_learner.py::test_a_learner_updates_in_the_ratio_of_its_config",
    ),
    Bug(
        "actors of all learners share the first one's streams", "parallel.crew",
        "sender.stream, sender.version = sender.index * header.n, -1",
        "sender.stream, sender.version = 0, -1",
        "parallel/test_learner.py::test_streams_of_several_actors_stay_apart",
    ),
    Bug(
        "an estimate bootstraps from a last observation that nobody acted on", "buffers.prioritized",
        "known = there & (acted | over)",
        "known = there",
        "buffers/test_prioritized.py::test_new_transitions_have_the_error_of_the_values_that_acted",
    ),
    # data-parallel learning
    Bug(
        "ranks with few rows count as much as others", "agents.dqn",
        "1 if self.comm is None else self.rows_in(batch)",
        "1",
        "parallel/test_data_parallel.py::test_ranks_step_as_one_does_on_their_rows_together",
    ),
    Bug(
        "advantages are normalised by each rank's own moments", "agents.on_policy",
        "ranks = self.comm.allgather(np.array([moments(x) for x in parts]))",
        "ranks = np.array([[moments(x) for x in parts]])",
        "parallel/test_data_parallel.py::test_a_joined_minibatch_of_ppo_is_the_union_of_the_ranks",
    ),
    Bug(
        "the Fisher matrix is that of one rank's rows", "agents.trpo",
        "self.mean(self.joined(second), n)",
        "self.joined(second)",
        "parallel/test_data_parallel.py::test_trpo_goes_the_natural_gradient_of_all_rows",
    ),
    Bug(
        "a NaN on one rank is left out by that rank alone", "agents.descent",
        "p.grad = p.xp.full(p.shape, np.nan, p.dtype)",
        "p.grad = np.zeros_like(p.array)",
        "parallel/test_data_parallel.py::test_a_loss_that_is_not_finite_on_one_rank_makes_all_leave_the_update_out",
    ),
    Bug(
        "a parameter that a rank does not use keeps an old gradient", "autograd.optimizers.reducing",
        "leaf.slot[...] = flags[k : k + 1] = 0",
        "flags[k : k + 1] = 0",
        "autograd/test_reducing.py::test_a_parameter_that_one_rank_uses_is_stepped_by_all_and_others_are_left_alone",
    ),
    Bug(
        "the gradient of batch normalisation is that of one rank's batch", "parallel.normalization",
        "self.comm.mean_(sums, frame.m)",
        "pass",
        "parallel/test_normalization.py::test_batch_normalisation_of_ranks_is_that_of_their_rows_together",
    ),
    Bug(
        "parts of several saves make one", "parallel.checkpoints",
        "if rank and _digest(path) != digests[rank - 1]:",
        "if False:",
        "parallel/test_checkpoints.py::test_a_save_that_lacks_a_part_or_has_another_one_is_passed_over",
    ),
    Bug(
        "evaluations of ranks are put one behind the other", "parallel.evaluation",
        ".transpose(1, 0, 2)",
        "",
        "parallel/test_evaluation.py::test_all_ranks_get_the_episodes_of_all_in_order",
    ),
    # environments
    Bug(
        "an environment's timeouts are reported as ends", "envs.streams",
        "(terminated if over else truncated)[i] = ",
        "terminated[i] = ",
        "envs/test_vector.py::test_auto_reset_by_hand",
    ),
    Bug(
        "the first observation is reported as the last", "envs.vector",
        "final[ended] = last[ended]",
        "pass",
        "envs/test_vector.py::test_auto_reset_by_hand",
    ),
    Bug(
        "an evaluation moves the observations' statistics", "envs.wrappers.normalize",
        "other.moments, other.training = self.moments, False",
        "other.moments, other.training = self.moments, True",
        "envs/wrappers/test_normalize.py::test_evaluation_shares_the_moments_and_leaves_them_alone",
    ),
]  # fmt: skip
