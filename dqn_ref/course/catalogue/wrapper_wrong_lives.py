"""Wrong life-loss wrappers: all are `Watches`, a right one, with one method exchanged."""

from __future__ import annotations

import gymnasium

from dqn_ref.course.catalogue.judging import WrongVersions

wrong = WrongVersions()


class Watches(gymnasium.Wrapper):
    """A right wrapper whose parts can be exchanged."""

    def reset(self, *, seed=None, options=None):
        observation, info = self.env.reset(seed=seed, options=options)
        self.begin(info.get("lives", 0))
        return observation, {**info, "life_lost": False}

    def step(self, action):
        observation, reward, terminated, truncated, info = self.env.step(action)
        lives = info.get("lives", 0)
        lost = self.lost(lives, self.before, terminated, truncated)
        self.renew(lives, lost)
        result = observation, reward, terminated, truncated, self.told(info, bool(lost))
        return self.answer(lost, *result)

    def begin(self, lives):
        self.first = self.before = lives

    def renew(self, lives, lost):
        self.before = lives

    def lost(self, lives, before, terminated, truncated):
        return lives < before and not (terminated or truncated)

    def told(self, info, lost):
        return {**info, "life_lost": lost}

    def answer(self, lost, *result):
        return result


@wrong(
    "ends the game",
    1,
    "Your wrapper equals one that returns terminated=True at a lost life. Whoever plays would "
    "reset the game: with it the bricks come back, and no life but the first is ever seen.",
)
class EndsTheGame(Watches):
    def answer(self, lost, observation, reward, terminated, truncated, info):
        return observation, reward, terminated or lost, truncated, info


@wrong(
    "resets at a lost life",
    1,
    "Your wrapper equals one that resets the game at a lost life: it starts anew with all lives, "
    "and what comes later in a game is never seen.",
)
class ResetsTheGame(Watches):
    def answer(self, lost, observation, reward, terminated, truncated, info):
        if lost:
            observation, new = self.env.reset()
            info = {**new, "life_lost": True}
            self.begin(new.get("lives", 0))
        return observation, reward, terminated, truncated, info


@wrong(
    "keeps resets back",
    1,
    "Your wrapper equals one that plays a no-op instead of a reset where the game is not over. "
    "Other libraries do so because they end the game at each life; here a reset is a reset.",
)
class KeepsResetsBack(Watches):
    ended = True

    def reset(self, *, seed=None, options=None):
        if self.ended:
            self.ended = False
            return super().reset(seed=seed, options=options)
        observation, _, _, _, info = self.env.step(0)
        self.begin(info.get("lives", 0))
        return observation, {**info, "life_lost": False}

    def answer(self, lost, *result):
        self.ended = result[2] or result[3]
        return result


@wrong(
    "game over counts",
    1,
    "Your wrapper equals one that also tells the last life, with which the game ends. "
    "`life_lost` is for lives after which the game goes on; `terminated` tells the other.",
)
class GameOverCounts(Watches):
    def lost(self, lives, before, terminated, truncated):
        return lives < before


@wrong(
    "cut off counts",
    1,
    "Your wrapper equals one that looks at `terminated` only. A game that is cut off does not go "
    "on either, even if a life is lost with its last frame.",
)
class CutOffCounts(Watches):
    def lost(self, lives, before, terminated, truncated):
        return lives < before and not terminated


@wrong(
    "terminated counts",
    1,
    "Your wrapper equals one that looks at `truncated` only. A game that is over does not go on, "
    "and its last life is told by `terminated`.",
)
class TerminatedCounts(Watches):
    def lost(self, lives, before, terminated, truncated):
        return lives < before and not truncated


@wrong(
    "0 lives as the end",
    1,
    "Your wrapper equals one that asks `0 < lives < before` and nothing else. Whether a game goes "
    "on is told by `terminated` and `truncated`, not by the number of lives.",
)
class ZeroIsTheEnd(Watches):
    def lost(self, lives, before, terminated, truncated):
        return 0 < lives < before


@wrong(
    "never down to 0",
    1,
    "Your wrapper equals one that does not tell a fall to 0 lives in a game that goes on. Whether "
    "it does is told by `terminated` and `truncated`, not by the number of lives.",
)
class NeverToZero(Watches):
    def lost(self, lives, before, terminated, truncated):
        return 0 < lives < before and not (terminated or truncated)


@wrong(
    "compared with the start",
    3,
    "Your wrapper equals one that compares with the lives at reset: after the first lost life, "
    "every step tells a loss. Remember the lives of each step.",
)
class ComparedWithStart(Watches):
    def renew(self, lives, lost):
        pass


@wrong(
    "not renewed at reset",
    3,
    "Your wrapper equals one that remembers lives in `step` only. The first step of a game is then "
    "compared with the last one of the game before.",
)
class NotRenewedAtReset(Watches):
    before = None

    def begin(self, lives):
        self.before = lives if self.before is None else self.before


@wrong(
    "nothing remembered at reset",
    3,
    "Your wrapper equals one that forgets the lives at `reset`: a life lost with the first frame "
    "of a game is not told.",
)
class NothingAtReset(Watches):
    def begin(self, lives):
        self.before = 0


@wrong(
    "renewed at losses only",
    3,
    "Your wrapper equals one that remembers lives only when some are lost. After an extra life, "
    "the next loss is not told: remember them after every step.",
)
class RenewedAtLosses(Watches):
    def renew(self, lives, lost):
        self.before = min(self.before, lives)


@wrong(
    "every change counts",
    3,
    "Your wrapper equals one that asks whether lives are other than before. Games give extra lives "
    "too, and a gain is no loss.",
)
class EveryChange(Watches):
    def lost(self, lives, before, terminated, truncated):
        return lives != before and not (terminated or truncated)


@wrong(
    "gains for losses",
    1,
    "Your wrapper equals one that tells extra lives instead of lost ones: the comparison is the "
    "wrong way round.",
)
class Gains(Watches):
    def lost(self, lives, before, terminated, truncated):
        return lives > before and not (terminated or truncated)


@wrong(
    "one step late",
    3,
    "Your wrapper equals one that tells each loss with the step after it: the action that lost the "
    "life would go free, and the next one be blamed.",
)
class OneStepLate(Watches):
    def begin(self, lives):
        self.before, self.late = lives, False

    def lost(self, lives, before, terminated, truncated):
        told, self.late = self.late, lives < before
        return told and not (terminated or truncated)


@wrong(
    "once lost, always lost",
    3,
    "Your wrapper equals one whose `life_lost` stays True until the next reset. It belongs to one "
    "step; every later one would count as the end of a life.",
)
class AlwaysLost(Watches):
    def begin(self, lives):
        self.before, self.any = lives, False

    def lost(self, lives, before, terminated, truncated):
        self.any |= lives < before
        return self.any and not (terminated or truncated)


@wrong(
    "never lost",
    1,
    "Your wrapper equals one whose `life_lost` is always False, as it is where the lives are "
    "remembered before they are compared.",
)
class NeverLost(Watches):
    def lost(self, lives, before, terminated, truncated):
        return False


@wrong(
    "fewer than five",
    3,
    "Your wrapper equals one that asks whether fewer than five lives are left. Compare with the "
    "step before: games begin with other numbers, and each loss is told once.",
)
class FewerThanFive(Watches):
    def lost(self, lives, before, terminated, truncated):
        return (
            self.unwrapped.script.lives is not None and lives < 5 and not (terminated or truncated)
        )


@wrong(
    "other entries lost",
    2,
    'Your wrapper equals one whose info holds "life_lost" alone in `step`. Lives and frame numbers '
    "are needed further out: add an entry to what the environment tells.",
)
class OtherEntriesLost(Watches):
    def told(self, info, lost):
        return {"life_lost": lost}


@wrong(
    "a lost life costs a point",
    1,
    "Your wrapper equals one that takes a point away for a lost life. The score is the game's own; "
    "`life_lost` tells the loss, and what follows is decided elsewhere.",
)
class CostsAPoint(Watches):
    def answer(self, lost, observation, reward, terminated, truncated, info):
        return observation, reward - lost, terminated, truncated, info
