"""Settings: every number of a training run, named and with its unit.

A *step* is one decision of the agent (four emulator frames in Nature's setting), a *frame* is
one emulator frame, an *update* is one gradient step on one minibatch. The unit stands in the
name of each field, or in its docstring where the field's name is the literature's. An *environment
step* is one repetition of an action, `repeat_frames` frames long; the old notebooks take several
of them per step. Named sets of settings are in `dqn_ref.recipes`.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dqn_ref.errors import UserError


class RecipeError(UserError, ValueError):
    """A setting that cannot work; the message says what to do, in one sentence."""


def _setting(default: Any, doc: str, choices: tuple[str, ...] | None = None) -> Any:
    return field(default=default, metadata={"doc": doc, "choices": choices})


_KINDS = {int: "a whole number", float: "a number", str: "a word", bool: "True or False"}


@dataclass(frozen=True)
class Recipe:
    """Settings of one run. Defaults are those of the recipe `laptop`.

    Every field is a flag of `python -m dqn_ref train`; `dataclasses.replace` changes one in code.
    """

    # --- the game -------------------------------------------------------------------------
    game: str = _setting("breakout", "ALE's name of the game, or one of the small games")
    door: str = _setting(
        "ale", "ale: ALE's vector environment; gym: any gymnasium environment", ("ale", "gym")
    )
    lanes: int = _setting(16, "games played side by side")
    repeat_frames: int = _setting(4, "emulator frames an action is repeated for")
    repeat_frames_min: int = _setting(
        0, "if above 0, for a random number of frames from this to repeat_frames (door gym only)"
    )
    repeat_actions: int = _setting(1, "environment steps per step: all that is done so many times")
    sticky_probability: float = _setting(
        0.0, "probability that the emulator repeats the previous action instead"
    )
    full_action_space: bool = _setting(False, "all 18 actions instead of those the game uses")
    start_noops_max: int = _setting(30, "a game starts with 0 to this many no-ops, in frames")
    life_noops_max: int = _setting(
        0, "after a life, 1 to this many no-ops, in frames; 0 for none (door gym only)"
    )
    start_random_actions_max: int = _setting(
        0, "then 0 to this many random actions, one environment step each (door gym only)"
    )
    fire_at_start: bool = _setting(True, "press FIRE when a game starts")
    fire_after_life: bool = _setting(True, "press FIRE when a life was lost")
    max_frames_per_game: int = _setting(108_000, "a game is cut off after this many frames")
    max_env_steps_per_game: int = _setting(
        0, "or after this many environment steps, random start included; 0: no (door gym only)"
    )

    # --- what the network sees --------------------------------------------------------------
    frame_height: int = _setting(84, "pixels")
    frame_width: int = _setting(84, "pixels")
    resize: str = _setting(
        "area",
        "resize filter: OpenCV's, Pillow's, or every n-th pixel (ale has area only)",
        (
            *("area", "bilinear", "nearest", "bicubic"),
            *("pil_nearest", "pil_bilinear", "pil_bicubic", "stride"),
        ),
    )
    resize_height: int = _setting(
        0, "height of the resized frame, of which frame_height rows are kept; 0: keep all"
    )
    crop_top: int = _setting(0, "rows cut off above them (door gym only)")
    grey: str = _setting(
        "luminance",
        "luminance; mean of the colours; luminance_last: resize in colour first (door gym only)",
        ("luminance", "mean", "luminance_last"),
    )
    max_over: str = _setting(
        "luminance",
        "maximum over the last two frames, before (rgb) or after (luminance) the luminance",
        ("rgb", "luminance", "none"),
    )
    stack_frames: int = _setting(4, "frames in a state")

    # --- what the agent is told ---------------------------------------------------------------
    reward_clip: float = _setting(1.0, "rewards are clipped to plus or minus this; inf for none")
    terminal_on_life_loss: bool = _setting(True, "a lost life ends the episode for the learner")
    truncation_is_terminal: bool = _setting(
        False, "a game that was cut off counts as ended for the learner, as one that is over"
    )
    discount: float = _setting(0.99, "gamma, per step")

    # --- the network --------------------------------------------------------------------------
    architecture: str = _setting(
        "mnih2015",
        "layers of the network; channels_trap: mnih2015 with mistaken axes, see dqn_ref/network.py",
        ("mnih2015", "mnih2013", "channels_trap"),
    )
    conv1_padding: int = _setting(0, "zero padding of the first convolution, in pixels")
    initialisation: str = _setting("pytorch", "initial weights", ("pytorch", "glorot"))

    # --- replay memory ------------------------------------------------------------------------
    memory_frames: int = _setting(200_000, "frames kept, one per step and one per game start")
    learning_starts: int = _setting(5_000, "steps before the first update")
    batch_size: int = _setting(32, "transitions per update")
    train_every_steps: int = _setting(4, "steps per update")
    updates_at_once: int = _setting(
        4, "updates are made in groups of this many; steps that do not fill one wait"
    )

    # --- exploration --------------------------------------------------------------------------
    epsilon_start: float = _setting(1.0, "probability of a random action at the beginning")
    epsilon_end: float = _setting(0.02, "and at the end of the decay")
    epsilon_decay_steps: int = _setting(60_000, "steps the decay takes")
    epsilon_delay_steps: int = _setting(0, "steps before the decay begins")

    # --- learning -----------------------------------------------------------------------------
    optimizer: str = _setting(
        "adam",
        "adam; keras_adam: epsilon before the bias correction; rmsprop: uncentred, epsilon "
        "outside the root; nature_rmsprop: centred, inside",
        ("adam", "keras_adam", "rmsprop", "nature_rmsprop"),
    )
    learning_rate: float = _setting(2e-4, "step size of the optimiser")
    optimizer_epsilon: float = _setting(1e-8, "epsilon of the optimiser, see `optimizer`")
    gradient_momentum: float = _setting(0.95, "decay of the mean gradient (nature_rmsprop)")
    squared_gradient_momentum: float = _setting(0.95, "decay of the mean square (both rmsprops)")
    huber_delta: float = _setting(1.0, "errors beyond this count linearly; inf: half the square")
    loss_reduction: str = _setting("mean", "over the minibatch", ("mean", "sum"))
    n_step: int = _setting(3, "rewards summed before the value of the next state counts")
    double: bool = _setting(False, "Double DQN: the online network chooses the next action")
    target_every_steps: int = _setting(1_000, "steps between copies into the target network")
    target_tau: float = _setting(
        1.0, "1: copy every target_every_steps; below 1: mix this share in at each update"
    )

    # --- evaluation while training ------------------------------------------------------------
    eval_every_steps: int = _setting(
        0, "steps between evaluations, the best network is kept; 0 for none"
    )
    eval_steps: int = _setting(125_000, "steps an evaluation plays")
    eval_epsilon: float = _setting(0.05, "probability of a random action in evaluations")

    # --- the run ------------------------------------------------------------------------------
    total_steps: int = _setting(1_000_000, "steps to train")
    seed: int = _setting(0, "of weights, games, exploration and sampling")
    device: str = _setting("auto", "auto, cpu, cuda or mps")
    precision: str = _setting(
        "auto",
        "of the network's arithmetic; auto measures on a CPU, and takes bf16 on CUDA if it can",
        ("auto", "fp32", "bf16"),
    )
    cuda_graph: bool = _setting(True, "on CUDA, launch each group of updates as one graph")
    threads: int = _setting(0, "CPU threads of PyTorch, 0 for PyTorch's own choice")
    log_every_steps: int = _setting(2_000, "steps between rows of log.csv")
    checkpoint_every_steps: int = _setting(20_000, "steps between checkpoints")
    weights_every_steps: int = _setting(
        0, "steps between writes of weights.safetensors besides; 0: with checkpoints only"
    )
    snapshot_every_steps: int = _setting(
        0, "steps between weights that are kept, in the folder snapshots; 0 for none"
    )
    print_log: str = _setting(
        "none",
        "lines in the terminal: interval, one per log_every_steps; episode, one per game",
        ("none", "interval", "episode"),
    )
    print_artefacts: bool = _setting(
        False, "those lines also tell what the old notebooks measured by mistake"
    )
    checkpoint_memory: bool = _setting(False, "checkpoints hold the replay memory, too")

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            RecipeError: in one sentence.
        """
        for setting in dataclasses.fields(self):
            self._check_type(setting)
        for names, low, high in _RANGES:
            for name in names.split():
                value = getattr(self, name)
                if math.isnan(value) or not low <= value <= high:
                    bounds = f"between {low} and {high}" if high < math.inf else f"{low} or more"
                    raise RecipeError(f"{name} must be {bounds}, not {value}")
        for name in ("learning_rate", "optimizer_epsilon"):  # for the others inf means "none"
            if math.isinf(getattr(self, name)):
                raise RecipeError(f"{name} must be a finite number, not inf")
        if self.target_every_steps % self.train_every_steps:
            raise RecipeError(
                f"target_every_steps ({self.target_every_steps}) must be a multiple of "
                f"train_every_steps ({self.train_every_steps})"
            )
        smallest = self.stack_frames + self.n_step + 1
        if self.memory_frames // self.lanes < smallest:
            raise RecipeError(
                f"memory_frames ({self.memory_frames}) is too small for {self.lanes} lanes; "
                f"give it at least {smallest * self.lanes}"
            )
        if self.repeat_frames_min > self.repeat_frames:
            raise RecipeError(
                f"repeat_frames_min ({self.repeat_frames_min}) must not be above repeat_frames "
                f"({self.repeat_frames})"
            )
        if self.crop_top + self.frame_height > self.resized_shape[0]:
            raise RecipeError(
                f"frame_height ({self.frame_height}) and crop_top ({self.crop_top}) must fit into "
                f"resize_height ({self.resized_shape[0]})"
            )
        first_steps = (self.n_step - 1) * self.lanes  # before that the memory has nothing to draw
        if self.learning_starts < first_steps:
            raise RecipeError(
                f"learning_starts ({self.learning_starts}) must be at least {first_steps}: "
                f"{self.n_step}-step returns of {self.lanes} lanes are not complete before"
            )
        if self.learning_starts >= self.memory_frames:
            raise RecipeError(
                f"learning_starts ({self.learning_starts}) must be below memory_frames "
                f"({self.memory_frames}), or the warm-up overwrites itself"
            )

    def _check_type(self, setting: dataclasses.Field) -> None:
        value, wanted = getattr(self, setting.name), type(setting.default)
        if wanted is float and isinstance(value, int) and not isinstance(value, bool):
            object.__setattr__(self, setting.name, float(value))
        elif not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            raise RecipeError(f"{setting.name} must be {_KINDS[wanted]}, not {value!r}")
        choices = setting.metadata["choices"]
        if choices and value not in choices:
            raise RecipeError(f"{setting.name} must be one of {', '.join(choices)}, not {value!r}")

    @property
    def frame_shape(self) -> tuple[int, int]:
        """Height and width of a frame in pixels."""
        return self.frame_height, self.frame_width

    @property
    def resized_shape(self) -> tuple[int, int]:
        """Height and width in pixels of a resized frame before rows are cut off."""
        return self.resize_height or self.frame_height, self.frame_width

    @property
    def target_every_updates(self) -> int:
        """Updates between copies into the target network."""
        return self.target_every_steps // self.train_every_steps

    def save(self, path: Path) -> None:
        """Write the fields as JSON, atomically."""
        partial = path.with_name(path.name + ".partial")
        partial.write_text(json.dumps(dataclasses.asdict(self), indent=2) + "\n")
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """Read what `save` wrote.

        Raises:
            RecipeError: if the file is missing or is no recipe.
        """
        try:
            fields = json.loads(path.read_text())
            if not isinstance(fields, dict):
                raise TypeError("it names no settings")
            return cls(**fields)
        except RecipeError as error:
            raise RecipeError(f"{path} is not a recipe of this version: {error}") from None
        except (FileNotFoundError, NotADirectoryError):
            raise RecipeError(f"{path} does not exist: is {path.parent} a run?") from None
        except OSError as error:
            raise RecipeError(f"cannot read {path}: {error.strerror}") from None
        except (json.JSONDecodeError, UnicodeDecodeError, TypeError) as error:
            raise RecipeError(f"{path} is not a recipe of this version: {error}") from None


_RANGES: tuple[tuple[str, float, float], ...] = (
    ("lanes repeat_frames repeat_actions max_frames_per_game batch_size", 1, math.inf),
    ("stack_frames", 1, 255),  # ages of stacks are kept in one byte
    ("train_every_steps updates_at_once n_step target_every_steps total_steps", 1, math.inf),
    ("log_every_steps checkpoint_every_steps memory_frames eval_steps", 1, math.inf),
    ("frame_height frame_width", 8, 210),
    ("start_noops_max life_noops_max conv1_padding learning_starts", 0, math.inf),
    ("epsilon_decay_steps epsilon_delay_steps eval_every_steps", 0, math.inf),
    ("repeat_frames_min start_random_actions_max max_env_steps_per_game", 0, math.inf),
    ("weights_every_steps snapshot_every_steps", 0, math.inf),
    ("resize_height crop_top", 0, 210),
    ("seed", 0, 2**32 - 1),
    ("threads", 0, 1024),
    ("sticky_probability epsilon_start epsilon_end eval_epsilon discount target_tau", 0, 1),
    ("gradient_momentum squared_gradient_momentum", 0, 1),
    ("learning_rate optimizer_epsilon reward_clip huber_delta", 0, math.inf),
)
