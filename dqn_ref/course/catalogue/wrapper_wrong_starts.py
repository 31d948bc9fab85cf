"""Wrong random starts: all are `Starts`, right ones, with one method exchanged."""

from __future__ import annotations

import gymnasium
import numpy as np

from dqn_ref.course.catalogue.judging import WrongVersions

wrong = WrongVersions()


class Starts(gymnasium.Wrapper):
    """A right wrapper whose parts can be exchanged."""

    def __init__(self, env, noops_max=30):
        super().__init__(env)
        self.noops_max = noops_max

    def reset(self, *, seed=None, options=None):
        first = last = self.begin(seed, options)
        self.seed = seed
        for _ in range(self.count()):
            observation, _, terminated, truncated, info = self.env.step(self.action())
            last = observation, info
            if self.over(terminated, truncated):
                last = self.after_end(last)
                if last is None:
                    return observation, info
        return self.returned(first, last)

    def begin(self, seed, options):
        return self.env.reset(seed=seed, options=options)

    def count(self):
        return int(self.np_random.integers(self.noops_max + 1))

    def action(self):
        return 0

    def over(self, terminated, truncated):
        return terminated or truncated

    def after_end(self, last):
        """What comes in the place of an ended game; None leaves it at that."""
        return self.env.reset()

    def returned(self, first, last):
        return last


@wrong(
    "never without a no-op",
    2,
    "Your wrapper equals one that draws from 1 to `noops_max`, as several libraries do. Here the "
    "draw begins at 0: a game may also begin with no no-op at all.",
)
class FromOne(Starts):
    def count(self):
        return int(self.np_random.integers(1, self.noops_max + 1))


@wrong(
    "never the most",
    2,
    "Your wrapper equals one that draws `integers(noops_max)`. Its upper end is left out: the most "
    "no-ops it plays are `noops_max - 1`.",
)
class NeverTheMost(Starts):
    def count(self):
        return int(self.np_random.integers(self.noops_max))


@wrong(
    "neither 0 nor the most",
    2,
    "Your wrapper equals one that draws `integers(1, noops_max)`: 0 and `noops_max` are both left "
    "out. `integers(n)` draws from 0 to n - 1.",
)
class NeitherEnd(Starts):
    def count(self):
        return int(self.np_random.integers(1, max(self.noops_max, 2)))


@wrong(
    "one no-op too many",
    2,
    "Your wrapper equals one that draws from 0 to `noops_max + 1`. `integers(n + 1)` leaves n + 1 "
    "out, and plays up to n.",
)
class OneMore(Starts):
    def count(self):
        return int(self.np_random.integers(self.noops_max + 2))


@wrong(
    "from 1 to one too many",
    2,
    "Your wrapper equals one that plays one no-op more than it draws: 1 to `noops_max + 1`.",
)
class OneMoreThanDrawn(Starts):
    def count(self):
        return int(self.np_random.integers(self.noops_max + 1)) + 1


@wrong(
    "always the most",
    1,
    "Your wrapper equals one that plays `noops_max` no-ops in every game. All games then begin "
    "alike, and a random start is there to make them differ.",
)
class AlwaysTheMost(Starts):
    def count(self):
        return self.noops_max


@wrong(
    "no no-ops",
    1,
    "Your wrapper equals one that plays no no-ops at all: every game begins with the same frame.",
)
class NoNoOps(Starts):
    def count(self):
        return 0


@wrong(
    "same number in every game",
    2,
    "Your wrapper equals one that makes its generator anew, with a fixed seed, in every reset. A "
    "new generator begins at its beginning: all games get the same number of no-ops.",
)
class SameNumber(Starts):
    def count(self):
        return int(np.random.default_rng(0).integers(self.noops_max + 1))


@wrong(
    "one draw for all games",
    2,
    "Your wrapper equals one that draws once and keeps the number: all games of an environment "
    "begin alike. Draw anew in every reset.",
)
class OneDraw(Starts):
    drawn = None

    def count(self):
        if self.drawn is None:
            self.drawn = super().count()
        return self.drawn


@wrong(
    "same dice in every environment",
    2,
    "Your wrapper equals one whose generator is made in `__init__` with a fixed seed. Of many "
    "environments side by side all first games then begin alike, whatever seed they are given.",
)
class SameDice(Starts):
    def __init__(self, env, noops_max=30):
        super().__init__(env, noops_max)
        self.rng = np.random.default_rng(0)

    def count(self):
        return int(self.rng.integers(self.noops_max + 1))


@wrong(
    "first game only",
    1,
    "Your wrapper equals one that plays no-ops only where a seed is given. Every game begins with "
    "some, and most resets come without a seed.",
)
class FirstGameOnly(Starts):
    def count(self):
        return super().count() if self.seed is not None else 0


@wrong(
    "always 30",
    2,
    "Your wrapper equals one that draws from 0 to 30, whatever `noops_max` says.",
)
class AlwaysThirty(Starts):
    def count(self):
        return int(self.np_random.integers(31))


@wrong(
    "seed kept back",
    2,
    "Your wrapper equals one that does not hand the seed to the environment. A game with chance of "
    "its own could then never be played again.",
)
class SeedKeptBack(Starts):
    def begin(self, seed, options):
        result = self.env.reset(options=options)
        if seed is not None:
            self.dice = np.random.default_rng(seed)
        return result

    def count(self):
        return int(self.dice.integers(self.noops_max + 1))


@wrong(
    "options kept back",
    2,
    "Your wrapper equals one that does not hand `options` to the environment. A wrapper hands on "
    "whatever it does not use itself.",
)
class OptionsKeptBack(Starts):
    def begin(self, seed, options):
        return self.env.reset(seed=seed)


@wrong(
    "seed and options kept back",
    2,
    "Your wrapper equals one that calls `self.env.reset()` without seed and options. A game with "
    "chance of its own could then never be played again.",
)
class BothKeptBack(SeedKeptBack):
    def begin(self, seed, options):
        return super().begin(seed, None)


@wrong(
    "random actions",
    1,
    "Your wrapper equals one that plays random actions, as one of the old notebooks does. A no-op "
    "is action 0: the game moves on by itself, and nobody has played yet.",
)
class RandomActions(Starts):
    def action(self):
        return int(self.np_random.integers(self.action_space.n))


@wrong(
    "presses FIRE",
    1,
    "Your wrapper equals one that plays action 1. That is FIRE in Breakout, and another action in "
    "other games; the no-op is action 0.",
)
class PressesFire(Starts):
    def action(self):
        return 1


@wrong(
    "observation of the reset",
    1,
    "Your wrapper equals one that returns what the environment's reset returned, and not what the "
    "last no-op did: the first picture is up to `noops_max` frames old.",
)
class ReturnsFirst(Starts):
    def after_end(self, last):
        self.anew = super().after_end(last)
        return self.anew

    def begin(self, seed, options):
        self.anew = super().begin(seed, options)
        return self.anew

    def returned(self, first, last):
        return self.anew


@wrong(
    "info of the reset",
    1,
    "Your wrapper equals one that returns the last observation with the info of the reset. The two "
    "belong together.",
)
class InfoOfFirst(ReturnsFirst):
    def returned(self, first, last):
        return last[0], self.anew[1]


@wrong(
    "plays on after the end",
    3,
    "Your wrapper equals one that does not look whether a game ends during the no-ops. A game that "
    "is over must not be stepped.",
)
class PlaysOn(Starts):
    def over(self, terminated, truncated):
        return False


@wrong(
    "ignores truncated",
    3,
    "Your wrapper equals one that resets where `terminated` is True only. A game that is cut off "
    "during the no-ops has ended as well.",
)
class IgnoresTruncated(Starts):
    def over(self, terminated, truncated):
        return terminated


@wrong(
    "ignores terminated",
    3,
    "Your wrapper equals one that resets where `truncated` is True only. A game that is over "
    "during the no-ops has ended as well.",
)
class IgnoresTerminated(Starts):
    def over(self, terminated, truncated):
        return truncated


@wrong(
    "hands out a finished game",
    3,
    "Your wrapper equals one that stops where a game ends during the no-ops, and resets nothing. "
    "Whoever asked for a game gets one that is over.",
)
class HandsOutFinished(Starts):
    def after_end(self, last):
        return None


@wrong(
    "picture of the ended game",
    3,
    "Your wrapper equals one that resets a game which ends during the no-ops, and goes on with the "
    "picture of the ended one: take observation and info from that reset.",
)
class PictureOfEnded(Starts):
    def after_end(self, last):
        self.env.reset()
        return last
