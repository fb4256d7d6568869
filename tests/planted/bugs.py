"""The bugs: what is wrong, the text that is replaced and what stands there instead, and the tests that must fail."""

from tests.planted.plant import Bug

BUGS = [
    # Q-learning
    Bug(
        "no target network", "agents.dqn",
        "return self.target_q(obs).array.max(axis=1)",
        "return self.acting_q(obs).array.max(axis=1)",
        "agents/test_dqn.py::test_an_update_is_the_papers",
    ),
    Bug(
        "the target is never updated", "agents.dqn",
        "self.target.soft_copyparams(self.q, self.config.tau)",
        "pass",
        "agents/test_dqn.py::test_the_target_is_copied_every_so_many_updates",
    ),
    Bug(
        "the best action instead of the one taken", "agents.dqn",
        'F.select_item(self.q(batch["obs"]), batch["action"])',
        'F.max(self.q(batch["obs"]), axis=1)',
        "agents/test_dqn.py::test_an_update_is_the_papers",
    ),
    Bug(
        "Double DQN lets the target network choose", "agents.dqn",
        "best = self.acting_q(obs).array.argmax(axis=1)",
        "best = self.target_q(obs).array.argmax(axis=1)",
        "agents/test_dqn.py::test_an_update_is_the_papers",
    ),
    Bug(
        "epsilon stays where it begins", "agents.dqn",
        "self.explorer(self.acting_q(obs).array, self.t)",
        "self.explorer(self.acting_q(obs).array, 0)",
        "agents/test_dqn.py::test_exploration_and_learning_rate_follow_their_schedules",
    ),
    Bug(
        "steps are counted instead of rows", "agents.off_policy",
        "self.t += len(step.reward)",
        "self.t += 1",
        "agents/test_dqn.py::test_updates_follow_rows_not_calls",
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
        "if not valid[i]:\n                self._waiting[stream + i] = NOBODY",
        "if not valid[i]:\n                self._waiting[stream + i] = row",
        "buffers/test_replay.py::test_an_invalid_row_cuts_the_stream_before_and_after",
    ),
    Bug(
        "a row that was overwritten gets a successor", "buffers.replay",
        "if before > row - self.capacity and before != NOBODY:",
        "if before != NOBODY:",
        "buffers/test_replay.py::test_a_link_from_a_stream_that_was_silent_for_a_ring_is_dropped",
    ),
    # explorers
    Bug(
        "a forbidden action is explored", "explorers",
        "action[exploring] = (count > np.floor(u * count[:, -1])[:, None]).argmax(1)",
        "action[exploring] = u * values.shape[1]",
        "test_explorers.py::test_random_actions_are_drawn_from_the_allowed_ones_alone",
    ),
    # advantages
    Bug(
        "GAE leaks across the end of an episode", "returns",
        "(valid & ~ended).astype(advantage.dtype)",
        "valid.astype(advantage.dtype)",
        "test_returns.py::test_numbers_by_hand",
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
        "test_returns.py::test_numbers_by_hand",
    ),
    # PPO
    Bug(
        "entropy is punished", "agents.ppo",
        "F.sum(distribution.entropy) * (-1 / n)",
        "F.sum(distribution.entropy) * (1 / n)",
        "agents/test_ppo.py::test_an_update_is_the_papers",
    ),
    Bug(
        "the old log-probability is recomputed after each update", "agents.ppo",
        'clipped_surrogate(log_prob, batch["log_prob"], advantage, clip_range)',
        "clipped_surrogate(log_prob, log_prob.array, advantage, clip_range)",
        "agents/test_ppo.py::test_an_update_is_the_papers",
    ),
    Bug(
        "the value is clipped to the wrong side", "agents.ppo",
        'value = batch["value"] + moved',
        'value = batch["value"] - moved',
        "agents/test_ppo.py::test_an_update_is_the_papers",
    ),
    Bug(
        "the ratio is inverted", "losses",
        "ratio = np.exp(log_prob - old)",
        "ratio = np.exp(old - log_prob)",
        "test_losses.py::test_the_six_cases_of_the_clipped_surrogate",
    ),
    Bug(
        "the greater of ratio and clipped ratio", "losses",
        "plain * (plain <= clipped) * (-1 / len(plain))",
        "plain * (plain >= clipped) * (-1 / len(plain))",
        "test_losses.py::test_the_six_cases_of_the_clipped_surrogate",
    ),
    Bug(
        "rows that are no transitions are learned from", "agents.on_policy",
        'taken if rows["valid"].all() else map_(lambda a: a[rows["valid"]], taken)',
        "taken",
        "agents/test_ppo.py::test_an_update_is_the_papers",
    ),
    # optimizers
    Bug(
        "Adam's eps is corrected where it must not be", "autograd.optimizers.adam",
        "(correction if self.corrected_eps else 1)",
        "(1 if self.corrected_eps else correction)",
        "autograd/test_optimizers.py::test_a_hundred_steps_of_the_textbook",
    ),
]  # fmt: skip
