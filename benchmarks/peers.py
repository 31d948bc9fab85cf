"""The contenders of the throughput benchmark.

A contender is built in a process of its own with a given number of torch threads, fills its
replay memory (`warm_up`), and then trains for as many agent steps as it is told (`run_block`).
It counts updates where they happen, in its optimiser, and tells its facts (`facts`) from the
objects it holds, not from the settings it was given.

Nothing heavy is imported at the top: the parent process must stay small, and a missing package
must be noticed before anything starts.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol


class Settings(NamedTuple):
    """What all contenders share."""

    game: str = "breakout"
    warm_transitions: int = 5_000  # random play in the memory before anything is timed
    settle_steps: int = 400  # training steps after that, before anything is timed
    memory_transitions: int = 100_000  # capacity of the replay memory
    epsilon: float = 0.1  # probability of a random action after `warm_transitions`
    batch_size: int = 32
    train_every_steps: int = 4
    target_update_steps: int = 1_000  # agent steps between copies of the target network
    learning_rate: float = 1e-4  # Adam
    discount: float = 0.99
    seed: int = 0


class Contender(Protocol):
    """What a worker asks of a contender."""

    def warm_up(self) -> None:
        """Put `warm_transitions` into the memory, then train for `settle_steps`."""

    def run_block(self, steps: int) -> tuple[int, int]:
        """Train for (about) `steps` agent steps: steps and updates that were really made."""

    def facts(self) -> dict[str, Any]:
        """Facts about the contender as it stands; see `common_facts`."""

    def close(self) -> None:
        """End; nothing is asked afterwards."""


def common_facts(
    *,
    parameters: list[Any],
    precision: str,
    epsilon: float,
    steps_per_turn: int,
    updates_at_once: int = 1,
    memory_bytes: int,
    memory_capacity: int,
    transitions_stored: int,
) -> dict[str, Any]:
    """The facts that every contender tells.

    Args:
        parameters: the network's tensors.
        precision: of the arithmetic in an update, such as "fp32".
        epsilon: probability of a random action now.
        steps_per_turn: agent steps that the loop takes at once.
        updates_at_once: updates that the loop makes as a group.
        memory_bytes: of the replay memory's arrays, at full capacity.
        memory_capacity: transitions.
        transitions_stored: in the memory now; resident memory grows with them.
    """
    import psutil
    import torch

    return {
        "threads": torch.get_num_threads(),
        "precision": precision,
        "epsilon": epsilon,
        "steps_per_turn": steps_per_turn,
        "updates_at_once": updates_at_once,
        "network_parameters": sum(tensor.numel() for tensor in parameters),
        "resident_mib": psutil.Process().memory_info().rss / 2**20,
        "bytes_per_transition": memory_bytes / memory_capacity,
        "memory_capacity": memory_capacity,
        "transitions_stored": transitions_stored,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def short_dtype(dtype: Any) -> str:
    """`torch.float32` as "fp32", `torch.bfloat16` as "bf16"."""
    name = str(dtype).removeprefix("torch.")
    return {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}.get(name, name)


def agreed_updates(counted: int, adam: Any) -> int:
    """Updates made so far, if the agent's count agrees with that of its Adam optimiser.

    Args:
        counted: by the agent.
        adam: `torch.optim.Adam`; it counts the times each weight was changed.
    Raises:
        RuntimeError: if they differ.
    """
    states = adam.state.values()
    changed = {int(state["step"]) for state in states} or {0}
    if changed != {counted}:
        raise RuntimeError(f"the agent counts {counted} updates, its optimiser {changed}")
    return counted


def gymnasium_name(game: str) -> str:
    """Of a game without frame skip and sticky actions: breakout is BreakoutNoFrameskip-v4."""
    return "".join(part.capitalize() for part in game.split("_")) + "NoFrameskip-v4"


def replay_buffer_bytes(memory: Any) -> int:
    """Bytes of the arrays of Stable-Baselines3's `ReplayBuffer`, all of its capacity."""
    names = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")
    # With `optimize_memory_usage` there are no `next_observations`.
    return sum(getattr(memory, name).nbytes for name in names if hasattr(memory, name))


class StableBaselines3Worker:
    """Stable-Baselines3's DQN as its zoo configures it for Atari, its own `learn` loop.

    One environment, `AtariWrapper` with its defaults, `VecFrameStack(4)`. From the zoo's entry
    for Atari: batch, train frequency, learning rate, memory of 100,000, target copied every
    1,000 steps, `optimize_memory_usage=False`. Not from there: the length of the warm-up and a
    constant epsilon, because neither is to be measured.
    """

    def __init__(self, settings: Settings, threads: int):
        import ale_py
        import gymnasium
        import torch
        from stable_baselines3 import DQN
        from stable_baselines3.common.env_util import make_atari_env
        from stable_baselines3.common.vec_env import VecFrameStack

        torch.set_num_threads(threads)
        gymnasium.register_envs(ale_py)
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        self._settings = settings
        env = make_atari_env(gymnasium_name(settings.game), n_envs=1, seed=settings.seed)
        self._model = DQN(
            "CnnPolicy",
            VecFrameStack(env, n_stack=4),
            learning_rate=settings.learning_rate,
            buffer_size=settings.memory_transitions,
            learning_starts=settings.warm_transitions,
            batch_size=settings.batch_size,
            gamma=settings.discount,
            train_freq=settings.train_every_steps,
            gradient_steps=1,
            optimize_memory_usage=False,
            target_update_interval=settings.target_update_steps,
            exploration_initial_eps=settings.epsilon,
            exploration_final_eps=settings.epsilon,
            seed=settings.seed,
            device="cpu",
        )

    def warm_up(self) -> None:
        # Up to `learning_starts` it plays at random and makes no update.
        self._learn(self._settings.warm_transitions)
        self._learn(self._settings.settle_steps)

    def run_block(self, steps: int) -> tuple[int, int]:
        model = self._model
        steps_before, updates_before = model.num_timesteps, self._updates()
        self._learn(steps)
        return model.num_timesteps - steps_before, self._updates() - updates_before

    def facts(self) -> dict[str, Any]:
        model, memory = self._model, self._model.replay_buffer
        parameters = list(model.q_net.parameters())
        return common_facts(
            parameters=parameters,
            precision=short_dtype(parameters[0].dtype),
            epsilon=model.exploration_rate,
            steps_per_turn=model.train_freq.frequency * model.n_envs,
            memory_bytes=replay_buffer_bytes(memory),
            memory_capacity=memory.buffer_size,
            transitions_stored=memory.size(),
        )

    def close(self) -> None:
        self._model.get_env().close()

    def _learn(self, steps: int) -> None:
        # With reset_num_timesteps=False the game and all counters go on where they stood.
        self._model.learn(steps, reset_num_timesteps=False)

    def _updates(self) -> int:
        return agreed_updates(self._model._n_updates, self._model.policy.optimizer)


class DqnRefWorker:
    """The course's agent: recipe `laptop`, by the function behind `python -m dqn_ref train`.

    What a run writes (log.csv, games.csv, TensorBoard, checkpoints) is written here too, to a
    temporary folder. Fixed here is what all contenders must have in common; lanes, precision and
    everything else are the recipe's.

    `train` is one call that lasts for the whole run, so it has a thread of its own, which
    `after_step` holds up between blocks. The other thread sleeps meanwhile.
    """

    def __init__(self, settings: Settings, threads: int):
        from dqn_ref.recipes import get_recipe

        self._settings = settings
        self._recipe = get_recipe(
            "laptop",
            game=settings.game,
            memory_frames=settings.memory_transitions,
            learning_starts=settings.warm_transitions,
            batch_size=settings.batch_size,
            train_every_steps=settings.train_every_steps,
            target_every_steps=settings.target_update_steps,
            # Random play until the memory is warm, then epsilon at once.
            epsilon_start=1.0,
            epsilon_end=settings.epsilon,
            epsilon_delay_steps=settings.warm_transitions,
            epsilon_decay_steps=0,
            # What the others do too, whatever becomes of the recipe.
            frame_height=84,
            frame_width=84,
            stack_frames=4,
            architecture="mnih2015",
            conv1_padding=0,
            fire_at_start=True,
            fire_after_life=True,
            terminal_on_life_loss=True,
            optimizer="adam",
            learning_rate=settings.learning_rate,
            optimizer_epsilon=1e-8,
            discount=settings.discount,
            double=False,
            n_step=1,
            target_tau=1.0,
            total_steps=10**9,  # ended by `close`
            seed=settings.seed,
            device="cpu",
            threads=threads,
        )
        self._run_dir = tempfile.TemporaryDirectory(prefix="dqn-benchmark-")
        self._orders, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._until_step = 0
        self._closing = False
        self._parts: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._train, daemon=True)

    def warm_up(self) -> None:
        self._until_step = self._settings.warm_transitions
        self._thread.start()
        self._wait()
        self.run_block(self._settings.settle_steps)

    def run_block(self, steps: int) -> tuple[int, int]:
        steps_before, updates_before = self._parts.counters.steps, self._updates()
        self._until_step = steps_before + steps
        self._orders.release()
        self._wait()
        return self._parts.counters.steps - steps_before, self._updates() - updates_before

    def facts(self) -> dict[str, Any]:
        parts = self._parts
        return common_facts(
            parameters=list(parts.learner.online.parameters()),
            precision=parts.learner.precision,
            epsilon=float(parts.epsilon().max()),
            steps_per_turn=parts.lanes.lanes,
            updates_at_once=parts.recipe.updates_at_once,
            memory_bytes=parts.memory.nbytes,
            memory_capacity=parts.recipe.memory_frames,
            transitions_stored=len(parts.memory),
        )

    def dissect(self, steps: int, seconds: float) -> dict[str, Any]:
        """What the floor is calculated from; see `benchmarks.floor`.

        Args:
            steps: to train with a timer around each part of the loop.
            seconds: for the measurement of the matrix rate, about.
        Returns:
            `profile` (steps, updates, and seconds by part of the loop), `forward_flop` of each
            layer, and `matrix`, this process's matrix rate in the precision of its updates.
        """
        import torch

        from benchmarks.floor import forward_flop, matrix_rate

        recipe, learner = self._parts.recipe, self._parts.learner
        shape = (recipe.batch_size, recipe.stack_frames, *recipe.frame_shape)
        return {
            "profile": self._profile(steps),
            "forward_flop": forward_flop(learner.online, torch.zeros(shape, dtype=torch.uint8)),
            "matrix": matrix_rate(learner.precision, seconds),
        }

    def _profile(self, steps: int) -> dict[str, Any]:
        from benchmarks.floor import Method, timed_methods

        parts = self._parts
        methods = [
            Method("act", parts, "act"),
            Method("send+recv", parts.lanes, "send"),
            Method("learn", parts, "learn"),
            Method("send+recv", parts.lanes, "recv"),
            Method("remember", parts, "remember"),
        ]
        with timed_methods(methods) as seconds:
            started = time.perf_counter()
            steps, updates = self.run_block(steps)
            whole = time.perf_counter() - started
        rest = whole - sum(seconds.values())
        return {"steps": steps, "updates": updates, "seconds": seconds | {"rest": rest}}

    def close(self) -> None:
        if self._thread.is_alive():
            self._closing = True
            self._orders.release()
            self._thread.join()
        self._run_dir.cleanup()

    def _train(self) -> None:
        from dqn_ref.runs import train

        try:
            run_dir = Path(self._run_dir.name) / "run"
            train(self._recipe, run_dir, show_bar=False, on_step=self._after_step)
        except BaseException as error:  # told to whoever waits
            self._error = error
        self._done.release()

    def _after_step(self, parts: Any) -> bool:
        self._parts = parts
        if parts.counters.steps >= self._until_step:
            self._done.release()
            self._orders.acquire()
        return self._closing

    def _wait(self) -> None:
        self._done.acquire()
        if self._error is not None:
            raise self._error

    def _updates(self) -> int:
        learner = self._parts.learner
        return agreed_updates(learner.updates, learner.optimizer)


class Entry(NamedTuple):
    """Where a contender comes from."""

    module: str  # what it imports
    distribution: str  # what that is called when it is installed
    load: Callable[[], Callable[[Settings, int], Contender]]


def _load_single_loop() -> Callable[[Settings, int], Contender]:
    from benchmarks.single_loop import SingleLoopWorker

    return SingleLoopWorker


CONTENDERS: dict[str, Entry] = {
    "sb3": Entry("stable_baselines3", "stable-baselines3", lambda: StableBaselines3Worker),
    "single": Entry("stable_baselines3", "stable-baselines3", _load_single_loop),
    "dqn_ref": Entry("dqn_ref", "dqn-breakout-course", lambda: DqnRefWorker),
}
