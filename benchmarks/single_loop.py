"""The contender `single`: a plain training loop, all of it in one file.

It is written as CleanRL's `dqn_atari.py` is built: one environment, gymnasium's and
Stable-Baselines3's wrappers, Stable-Baselines3's replay memory, and a loop that acts, steps,
stores and trains in turn. Nothing is done for speed, and nothing against it.

Only a worker's process imports this module: it imports torch.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from typing import Any

import ale_py
import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import (
    FrameStackObservation,
    GrayscaleObservation,
    RecordEpisodeStatistics,
    ResizeObservation,
)
from stable_baselines3.common.atari_wrappers import (
    ClipRewardEnv,
    EpisodicLifeEnv,
    FireResetEnv,
    MaxAndSkipEnv,
    NoopResetEnv,
)
from stable_baselines3.common.buffers import ReplayBuffer
from torch import nn
from torch.nn import functional
from torch.utils.tensorboard import SummaryWriter

from benchmarks.peers import (
    Settings,
    agreed_updates,
    common_facts,
    gymnasium_name,
    replay_buffer_bytes,
    short_dtype,
)

LOG_EVERY_STEPS = 100  # loss, Q-values and speed, for TensorBoard


def make_env(settings: Settings) -> gymnasium.Env:
    """One game with the usual wrappers; states are `(4, 84, 84)` uint8."""
    env: Any = gymnasium.make(gymnasium_name(settings.game))
    env = RecordEpisodeStatistics(env)  # innermost: sees true scores and whole games
    env = NoopResetEnv(env, noop_max=30)
    env = MaxAndSkipEnv(env, skip=4)
    env = EpisodicLifeEnv(env)
    if "FIRE" in env.unwrapped.get_action_meanings():
        env = FireResetEnv(env)
    env = ClipRewardEnv(env)
    env = ResizeObservation(env, (84, 84))
    env = GrayscaleObservation(env)
    env = FrameStackObservation(env, 4)
    env.action_space.seed(settings.seed)
    return env


class PlainQNetwork(nn.Module):
    """The Nature network."""

    def __init__(self, num_actions: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(4, 32, 8, stride=4),
            nn.ReLU(),
            nn.Conv2d(32, 64, 4, stride=2),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, stride=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64 * 7 * 7, 512),
            nn.ReLU(),
            nn.Linear(512, num_actions),
        )

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """`(B, 4, 84, 84)`, 0 to 255, to `(B, num_actions)`."""
        return self.layers(states / 255.0)


class SingleLoopWorker:
    """A loop in the manner of CleanRL; see `benchmarks.peers.Contender`."""

    def __init__(self, settings: Settings, threads: int):
        torch.set_num_threads(threads)
        gymnasium.register_envs(ale_py)
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        random.seed(settings.seed)
        np.random.seed(settings.seed)
        torch.manual_seed(settings.seed)
        self._settings = settings
        make: Callable[[], gymnasium.Env] = lambda: make_env(settings)  # noqa: E731
        # With a new game in the same step, as gymnasium did when CleanRL was written.
        self._envs = SyncVectorEnv([make], autoreset_mode=AutoresetMode.SAME_STEP)
        self._actions = self._envs.single_action_space
        self._online = PlainQNetwork(int(self._actions.n))
        self._target = PlainQNetwork(int(self._actions.n))
        self._target.load_state_dict(self._online.state_dict())
        self._adam = torch.optim.Adam(self._online.parameters(), lr=settings.learning_rate)
        self._memory = ReplayBuffer(
            settings.memory_transitions,
            self._envs.single_observation_space,
            self._actions,
            torch.device("cpu"),
            optimize_memory_usage=True,
            handle_timeout_termination=False,
        )
        self._log_dir = tempfile.TemporaryDirectory(prefix="dqn-benchmark-")
        self._log = SummaryWriter(self._log_dir.name)
        self._steps = self._updates = 0
        self._states, _ = self._envs.reset(seed=settings.seed)

    def warm_up(self) -> None:
        self._play(self._settings.warm_transitions + self._settings.settle_steps)

    def run_block(self, steps: int) -> tuple[int, int]:
        before = self._counted_updates()
        self._play(steps)
        return steps, self._counted_updates() - before

    def facts(self) -> dict[str, Any]:
        parameters = list(self._online.parameters())
        return common_facts(
            parameters=parameters,
            precision=short_dtype(parameters[0].dtype),
            epsilon=self._epsilon(),
            steps_per_turn=self._envs.num_envs,
            memory_bytes=replay_buffer_bytes(self._memory),
            memory_capacity=self._memory.buffer_size,
            transitions_stored=self._memory.size(),
        )

    def close(self) -> None:
        self._envs.close()
        self._log.close()
        self._log_dir.cleanup()

    def _play(self, steps: int) -> None:
        for _ in range(steps):
            self._step()
            self._steps += 1
            settings = self._settings
            if self._steps > settings.warm_transitions:
                if self._steps % settings.train_every_steps == 0:
                    self._train()
                if self._steps % settings.target_update_steps == 0:
                    self._target.load_state_dict(self._online.state_dict())

    def _step(self) -> None:
        """Act, step the game, store the transition."""
        if random.random() < self._epsilon():
            actions = np.array([self._actions.sample()])
        else:
            q_values = self._online(torch.Tensor(self._states))
            actions = q_values.argmax(dim=1).numpy()
        next_states, rewards, terminated, truncated, infos = self._envs.step(actions)
        stored = next_states.copy()
        for row in np.flatnonzero(truncated):  # the last state of the game, not the first
            stored[row] = infos["final_obs"][row]
        self._memory.add(self._states, stored, actions, rewards, terminated, [infos])
        self._states = next_states
        self._log_game(infos)

    def _train(self) -> None:
        """One update."""
        batch = self._memory.sample(self._settings.batch_size)
        with torch.no_grad():
            next_values = self._target(batch.next_observations).max(dim=1).values
            going_on = 1 - batch.dones.flatten()
            targets = batch.rewards.flatten() + self._settings.discount * next_values * going_on
        values = self._online(batch.observations).gather(1, batch.actions).squeeze()
        loss = functional.mse_loss(targets, values)
        if self._steps % LOG_EVERY_STEPS == 0:
            self._log.add_scalar("losses/td_loss", loss.item(), self._steps)
            self._log.add_scalar("losses/q_values", values.mean().item(), self._steps)
        self._adam.zero_grad()
        loss.backward()
        self._adam.step()
        self._updates += 1

    def _epsilon(self) -> float:
        """At random while the memory fills, then constant."""
        filling = self._steps < self._settings.warm_transitions
        return 1.0 if filling else self._settings.epsilon

    def _log_game(self, infos: dict[str, Any]) -> None:
        finished = infos.get("final_info", {})
        if "episode" in finished:
            score = float(finished["episode"]["r"][0])
            self._log.add_scalar("charts/episodic_return", score, self._steps)

    def _counted_updates(self) -> int:
        return agreed_updates(self._updates, self._adam)
