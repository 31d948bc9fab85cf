"""Two games that are small enough to know the right answer by heart.

Both show raw RGB frames of Atari size, so the agent that learns Breakout learns them through
the same door, frames, memory, network and loop. Both are also finite tables, so dynamic
programming gives the exact action values and the exact best return, with no learner involved.

`Chain`            five places in a row; tests that action values become exact.
`ShootingGallery`  a target that swings to and fro above a gun; tests that motion is seen.
`SymbolicShootingGallery`
                   the same game with its state as the observation, for tabular learning.

One `step` of the environment is one decision: use them with `repeat_frames=1`, without a FIRE
at the start, without no-op starts, without flicker. Neither has lives. The numbers below are
proved in `tests/test_games.py`.
"""

import gymnasium
import numpy as np
from gymnasium import spaces

FRAME_SHAPE = (210, 160, 3)  # Atari's: height, width, RGB


class _TableGame(gymnasium.Env):
    """A deterministic game over a numbered set of states; only the start is drawn at random.

    A subclass sets the class attributes and `transition`, and turns the state number into an
    observation in `_observe`. A game that lasts `max_steps` decisions is truncated. That counter
    is not part of the state: no optimal policy comes near the limit.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}

    num_states: int
    num_actions: int
    start_states: tuple[int, ...]

    def __init__(self, *, max_steps: int, render_mode: str | None = None):
        if max_steps < 1:
            raise ValueError(f"max_steps must be at least 1, got {max_steps}")
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode must be None or 'rgb_array', got {render_mode!r}")
        self.max_steps = max_steps
        self.render_mode = render_mode
        self.action_space = spaces.Discrete(self.num_actions)
        self._state = self.start_states[0]
        self._steps = 0
        self._over = True  # until the first reset

    @classmethod
    def transition(cls, state: int, action: int) -> tuple[int, float, bool]:
        """The rules: (state, action) -> (next state, reward, terminated)."""
        raise NotImplementedError

    @classmethod
    def optimal_q(cls, discount: float) -> np.ndarray:
        """Exact action values of the best policy, by the Bellman recursion.

        Args:
            discount: factor per decision, in [0, 1].

        Returns:
            f64[num_states, num_actions]. Rows of states in which a game is over are 0.

        Raises:
            ValueError: discount outside [0, 1].
        """
        if not 0.0 <= discount <= 1.0:
            raise ValueError(f"discount must lie in [0, 1], got {discount}")
        pairs = [(s, a) for s in range(cls.num_states) for a in range(cls.num_actions)]
        outcomes = [cls.transition(s, a) for s, a in pairs]
        shape = (cls.num_states, cls.num_actions)
        next_states = np.array([o[0] for o in outcomes]).reshape(shape)
        rewards = np.array([o[1] for o in outcomes], np.float64).reshape(shape)
        bootstraps = discount * np.array([not o[2] for o in outcomes]).reshape(shape)
        q = np.zeros(shape)
        # Rewards come only as a game ends and are never negative, so the best way out of a state
        # visits no state twice: one action and num_states more reach the exact fixed point.
        for _ in range(1 + cls.num_states):
            q = rewards + bootstraps * q.max(axis=1)[next_states]
        return q

    @classmethod
    def optimal_return(cls, discount: float = 1.0) -> float:
        """Return of the best policy from the start, averaged over the start states.

        With `discount` 1 this is the best score; with the agent's discount it is what max_a Q of
        the first stack of a game must be on average. Raises ValueError as `optimal_q` does.
        """
        return float(cls.optimal_q(discount)[list(cls.start_states)].max(axis=1).mean())

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """Starts a game in one of `start_states`, uniformly, or in `options["state"]`.

        Raises:
            ValueError: `options["state"]` is not a start state.
        """
        super().reset(seed=seed)
        if options and "state" in options:
            if options["state"] not in self.start_states:
                raise ValueError(f"{options['state']} is no start state of {type(self).__name__}")
            self._state = int(options["state"])
        else:
            self._state = self.start_states[self.np_random.integers(len(self.start_states))]
        self._steps = 0
        self._over = False
        return self._observe(), {}

    def step(self, action):
        """One decision: observation, reward (float), terminated, truncated, {}.

        Raises:
            gymnasium.error.ResetNeeded: no game is running.
            gymnasium.error.InvalidAction: action is not in the action space.
        """
        if self._over:
            raise gymnasium.error.ResetNeeded("no game is running: call reset first")
        if not self.action_space.contains(action):
            raise gymnasium.error.InvalidAction(f"{action!r} is not in {self.action_space}")
        self._state, reward, terminated = self.transition(self._state, int(action))
        self._steps += 1
        truncated = not terminated and self._steps >= self.max_steps
        self._over = terminated or truncated
        return self._observe(), reward, terminated, truncated, {}

    def get_state(self) -> dict:
        """All that decides how the environment goes on: plain values, fit for JSON."""
        return {
            "state": self._state,
            "steps": self._steps,
            "over": self._over,
            "np_random": self.np_random.bit_generator.state,
        }

    def set_state(self, state: dict) -> None:
        """Goes on exactly where `get_state` was called, the random numbers included."""
        generator = np.random.Generator(np.random.PCG64())
        generator.bit_generator.state = state["np_random"]
        self.np_random = generator
        self._state = state["state"]
        self._steps = state["steps"]
        self._over = state["over"]

    def _observe(self):
        raise NotImplementedError


class PixelGame(_TableGame):
    """A table game whose observation is a picture, u8[210, 160, 3], drawn once per state."""

    def __init__(self, *, max_steps: int, render_mode: str | None = None):
        super().__init__(max_steps=max_steps, render_mode=render_mode)
        self.observation_space = spaces.Box(0, 255, FRAME_SHAPE, np.uint8)
        self._frames = [self.draw(state) for state in range(self.num_states)]

    @classmethod
    def draw(cls, state: int) -> np.ndarray:
        """The picture of a state, u8[210, 160, 3]."""
        raise NotImplementedError

    def render(self):
        """The present picture, u8[210, 160, 3], or None without `render_mode="rgb_array"`."""
        return self._observe() if self.render_mode == "rgb_array" else None

    def _observe(self) -> np.ndarray:
        return self._frames[self._state].copy()  # the caller owns it


class Chain(PixelGame):
    """Five places in a row; a lit block shows where you are.

    Actions: 0 left, 1 right, one place a step. Stepping out of the last place to the right ends
    the game with reward 1, stepping out of the first place to the left ends it with 0.2; every
    other reward is 0. The start is any of the five places.

    The last picture of a game is that of the place stepped out of, an ordinary picture: a
    learner that forgets the terminal mask bootstraps from it and overshoots beyond all doubt.

    With discount g, place i (0 to 4) and V(i) = g ** (4 - i), for g ** 4 >= 0.2:
    Q(i, right) = V(i), Q(i, left) = g * V(i - 1), Q(0, left) = 0.2.
    """

    num_states = 5
    num_actions = 2
    start_states = (0, 1, 2, 3, 4)

    LEFT, RIGHT = 0, 1
    LEFT_REWARD, RIGHT_REWARD = 0.2, 1.0

    def __init__(self, *, max_steps: int = 100, render_mode: str | None = None):
        super().__init__(max_steps=max_steps, render_mode=render_mode)

    @classmethod
    def transition(cls, state: int, action: int) -> tuple[int, float, bool]:
        if action == cls.RIGHT:
            return (state, cls.RIGHT_REWARD, True) if state == 4 else (state + 1, 0.0, False)
        return (state, cls.LEFT_REWARD, True) if state == 0 else (state - 1, 0.0, False)

    @classmethod
    def draw(cls, state: int) -> np.ndarray:
        frame = np.zeros(FRAME_SHAPE, np.uint8)
        frame[140:150] = (80, 80, 80)
        left = 32 * state
        frame[80:140, left : left + 32] = (236, 236, 120)
        return frame


class _Gallery(_TableGame):
    """The rules that `ShootingGallery` and its symbolic twin share; see there.

    A state is (flight, column, direction): flight 0 is no shot yet, 1 a shot half-way, 2 a shot
    that has arrived (the game is over); direction is the way of the target's next move.
    """

    COLUMNS = 8
    GUN_COLUMN = 3
    FLIGHT_STEPS = 2
    WAIT, SHOOT = 0, 1

    num_states = (FLIGHT_STEPS + 1) * COLUMNS * 2
    num_actions = 2

    @classmethod
    def encode(cls, flight: int, column: int, direction: int) -> int:
        """The number of a state; direction is -1 (left) or +1 (right)."""
        return (flight * cls.COLUMNS + column) * 2 + (direction > 0)

    @classmethod
    def decode(cls, state: int) -> tuple[int, int, int]:
        """(flight, column, direction) of a state's number."""
        place, to_the_right = divmod(state, 2)
        return *divmod(place, cls.COLUMNS), 1 if to_the_right else -1

    @classmethod
    def transition(cls, state: int, action: int) -> tuple[int, float, bool]:
        flight, column, direction = cls.decode(state)
        if flight == cls.FLIGHT_STEPS:
            return state, 0.0, True  # over already: nothing moves, nothing is paid
        column, direction = cls._swing(column, direction)
        if flight > 0 or action == cls.SHOOT:
            flight += 1
        terminated = flight == cls.FLIGHT_STEPS
        hit = terminated and column == cls.GUN_COLUMN
        return cls.encode(flight, column, direction), float(hit), terminated

    @classmethod
    def _swing(cls, column: int, direction: int) -> tuple[int, int]:
        column = min(max(column + direction, 0), cls.COLUMNS - 1)
        at_wall = column in (0, cls.COLUMNS - 1)
        return column, -direction if at_wall else direction


def _is_gallery_start(state: int) -> bool:
    flight, column, direction = _Gallery.decode(state)
    if flight > 0 or not 0 <= column + direction < _Gallery.COLUMNS:
        return False  # a target at a wall faces away from it
    for _ in range(_Gallery.FLIGHT_STEPS):
        state, reward, _ = _Gallery.transition(state, _Gallery.SHOOT)
    return reward == 0.0  # an immediate shot misses


_Gallery.start_states = tuple(filter(_is_gallery_start, range(_Gallery.num_states)))


class ShootingGallery(_Gallery, PixelGame):
    """One shot at a target that swings to and fro: aim ahead, so know which way it moves.

    The target moves one column a step between the walls of eight columns (0 to 7). The gun
    stands below column 3. Actions: 0 wait, 1 shoot. The shot needs two steps to arrive: the one
    of the action and one more, in which the action does not matter. Then the game ends, with
    reward 1 if the target is above the gun and 0 if not. Shoot when the target is two columns
    away and coming: at column 1 moving right, or at column 5 moving left.

    The start is drawn from the 12 places and directions at which an immediate shot would miss,
    so the first decision, taken on one frame, costs nothing. The best score is 1, from any
    start. Playing at random scores 1 / 12. A game that waits `max_steps` decisions is truncated.

    One frame shows the column, not the direction. Nothing the player does before the shot leaves
    a trace on the screen (a paddle would be a notepad: where it stands can tell which way the
    ball went), so a policy that sees only the present frame is a chance to shoot per column, and
    the best of all these scores 0.464 in 40 decisions (1 / 3 if it never draws lots).

    The last frame of a game shows the shot at the target's feet, or past it.
    """

    def __init__(self, *, max_steps: int = 40, render_mode: str | None = None):
        super().__init__(max_steps=max_steps, render_mode=render_mode)

    @classmethod
    def draw(cls, state: int) -> np.ndarray:
        flight, column, _ = cls.decode(state)
        width = FRAME_SHAPE[1] // cls.COLUMNS
        gun = slice(cls.GUN_COLUMN * width, (cls.GUN_COLUMN + 1) * width)
        frame = np.zeros(FRAME_SHAPE, np.uint8)
        frame[200:] = (60, 60, 60)
        frame[165:200, gun] = (92, 186, 92)
        frame[40:75, column * width : (column + 1) * width] = (236, 236, 120)
        if flight > 0:  # half-way up, then at the target's feet
            top = 165 - 45 * flight
            frame[top : top + 35, gun] = (255, 255, 255)
        return frame


class SymbolicShootingGallery(_Gallery):
    """`ShootingGallery` with the number of its state as the observation, Discrete(48).

    Same rules, same seeds, same rewards: only the picture is missing. `decode` explains a number.
    """

    metadata = {"render_modes": []}

    def __init__(self, *, max_steps: int = 40):
        super().__init__(max_steps=max_steps)
        self.observation_space = spaces.Discrete(self.num_states)

    def _observe(self) -> int:
        return self._state
