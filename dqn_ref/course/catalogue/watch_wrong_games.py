"""Evaluations with one mistake each."""

from __future__ import annotations

import numpy as np
import torch

from dqn_ref.course.catalogue.judging import WrongVersions
from dqn_ref.evaluation import Evaluation

wrong = WrongVersions()


class Play:
    """A right `evaluate` in small parts, so that a mistake is one part exchanged."""

    def __call__(self, lanes, stack, policy, breaks_at_life, seed):
        self.lanes, self.breaks_at_life = lanes, breaks_at_life
        count = lanes.lanes
        self.score, self.steps = np.zeros(count), np.zeros(count, int)
        self.cut, self.playing = np.zeros(count, bool), np.ones(count, bool)
        self.before = rows = self.reset(lanes, seed)
        starts = rows.reset_row
        while self.goes_on():
            states = self.states(stack, rows, starts)
            lanes.send(policy(states))
            self.before, rows = rows, lanes.recv()
            self.count(rows)
            starts = self.starts(rows)
        return self.result()

    def reset(self, lanes, seed):
        return lanes.reset(seed)

    def goes_on(self):
        return self.playing.any()

    def states(self, stack, rows, starts):
        return stack.push(torch.from_numpy(rows.frames), starts)

    def count(self, rows):
        counts = self.counts(rows)
        self.score += np.where(counts, self.points(rows), 0)
        self.steps += np.where(counts, self.step(rows), 0)
        self.cut |= self.playing & rows.truncated
        self.playing &= ~self.over(rows)

    def counts(self, rows):
        return self.playing & ~rows.reset_row

    def points(self, rows):
        return rows.rewards

    def step(self, rows):
        return np.ones(self.lanes.lanes, int)

    def over(self, rows):
        return rows.game_over | rows.truncated

    def starts(self, rows):
        return rows.reset_row | (rows.life_lost & self.breaks_at_life)

    def result(self):
        return Evaluation(self.score.tolist(), self.steps.tolist(), int(self.cut.sum()))


def mistake(slug: str, hint: int, says: str):
    """Put a subclass of `Play` on the list, as a function that plays anew each time."""

    def enlist(kind: type[Play]) -> type[Play]:
        def evaluate(lanes, stack, policy, breaks_at_life, seed):
            return kind()(lanes, stack, policy, breaks_at_life, seed)

        wrong(slug, hint, says)(evaluate)
        return kind

    return enlist


# --- what a score is ------------------------------------------------------------------------------


@mistake("clipped points", 1,
         "Your evaluation equals one that clips the points to -1 to 1. Learning may clip them; a "
         "score is in the game's own points, 7 for a brick of the upper rows.")  # fmt: skip
class Clipped(Play):
    def points(self, rows):
        return np.clip(rows.rewards, -1, 1)


@mistake("a life is a game", 1,
         "Your evaluation equals one that ends a game at its first lost life. In Breakout its "
         "scores would be about a fifth of what they are.")  # fmt: skip
class Lives(Play):
    def over(self, rows):
        return rows.game_over | rows.truncated | rows.life_lost


@mistake("points of start rows", 1,
         "Your evaluation equals one that adds the points of reset rows. Their action was "
         "not the agent's; neither their points nor their steps count.")  # fmt: skip
class StartPoints(Play):
    def count(self, rows):
        self.score += np.where(self.playing & rows.reset_row, rows.rewards, 0)
        super().count(rows)


@mistake("start rows are steps", 1,
         "Your evaluation equals one that counts reset rows as steps. Nothing was decided in "
         "them.")  # fmt: skip
class StartSteps(Play):
    def count(self, rows):
        self.steps += self.playing & rows.reset_row
        super().count(rows)


@mistake("reset rows count", 1,
         "Your evaluation equals one that does not look at `reset_row`: start actions count as "
         "steps, and their points as the agent's.")  # fmt: skip
class ResetRows(Play):
    def counts(self, rows):
        return self.playing


@mistake("frames for steps", 1,
         "Your evaluation equals one that reports emulator frames as steps. A step is a decision; "
         "it lasts four frames, and start actions have frames, too.")  # fmt: skip
class Frames(Play):
    def count(self, rows):
        self.steps = np.where(self.playing, rows.emulator_frames, self.steps)
        playing = self.playing.copy()
        self.score += np.where(playing & ~rows.reset_row, rows.rewards, 0)
        self.cut |= playing & rows.truncated
        self.playing &= ~self.over(rows)


@mistake("last row lost", 1,
         "Your evaluation equals one that leaves out the row that ends a game: its points and its "
         "step are missing.")  # fmt: skip
class LastRow(Play):
    def counts(self, rows):
        return super().counts(rows) & ~self.over(rows)


@mistake("flag falls first", 1,
         "Your evaluation equals one whose flag falls before it counts: of the row that ends a "
         "game it counts nothing, neither points nor step nor cut-off.")  # fmt: skip
class FlagFirst(Play):
    def count(self, rows):
        self.playing &= ~self.over(rows)
        super().count(rows)


@mistake("last reward only", 1,
         "Your evaluation equals one that keeps the points of the last decision. A score is the "
         "sum of a whole game.")  # fmt: skip
class LastReward(Play):
    def count(self, rows):
        self.score = np.where(self.counts(rows), 0, self.score)
        super().count(rows)


# --- which games count ----------------------------------------------------------------------------


@mistake("goes on adding", 1,
         "Your evaluation equals one that goes on adding points and steps to a lane whose game is "
         "over, for as long as another lane plays. One game in each lane counts.")  # fmt: skip
class GoesOn(Play):
    def counts(self, rows):
        return ~rows.reset_row


@mistake("goes on adding points", 1,
         "Your evaluation equals one that goes on adding points to a lane whose game is over, for "
         "as long as another lane plays; its steps are right.")  # fmt: skip
class GoesOnPoints(Play):
    def count(self, rows):
        self.score += np.where(~self.playing & ~rows.reset_row, rows.rewards, 0)
        super().count(rows)


class Games(Play):
    """Keeps all games of all lanes in the order in which they end."""

    def __init__(self):
        self.games = []  # lane, score, steps, truncated

    def count(self, rows):
        self.score += np.where(~rows.reset_row, rows.rewards, 0)
        self.steps += ~rows.reset_row
        for lane in np.flatnonzero(self.over(rows)):
            one = (int(lane), float(self.score[lane]), int(self.steps[lane]), rows.truncated[lane])
            self.games.append(one)
            self.score[lane] = self.steps[lane] = 0
            self.playing[lane] = False

    def chosen(self):
        raise NotImplementedError

    def result(self):
        games = self.chosen()
        return Evaluation(
            [g[1] for g in games], [g[2] for g in games], int(sum(g[3] for g in games))
        )


@mistake("first n to end", 1,
         "Your evaluation equals one that takes the first games to end, as many as there are "
         "lanes. Short games end first, and a lane of short games delivers several.")  # fmt: skip
class FirstToEnd(Games):
    def goes_on(self):
        return len(self.games) < self.lanes.lanes

    def chosen(self):
        return self.games[: self.lanes.lanes]


@mistake("order of ending", 1,
         "Your evaluation equals one whose scores stand in the order in which the games ended. "
         "They belong in the order of lanes.")  # fmt: skip
class OrderOfEnding(Games):
    def chosen(self):
        first = {}
        for game in self.games:
            first.setdefault(game[0], game)
        return list(first.values())


@mistake("last game of a lane", 1,
         "Your evaluation equals one that keeps the last game of each lane. A lane with short "
         "games plays several meanwhile, and the first of them is its game.")  # fmt: skip
class LastGame(Games):
    def chosen(self):
        last = {game[0]: game for game in self.games}
        return [last[lane] for lane in range(self.lanes.lanes)]


@mistake("best game of a lane", 1,
         "Your evaluation equals one that reports each lane's best game so far. The best of "
         "several tries is not what the agent scores.")  # fmt: skip
class BestGame(Games):
    def chosen(self):
        lanes = range(self.lanes.lanes)
        return [max((g for g in self.games if g[0] == i), key=lambda g: g[1]) for i in lanes]


@mistake("all games that ended", 1,
         "Your evaluation equals one that reports every game that ended until the last lane was "
         "ready: lanes with short games are counted several times.")  # fmt: skip
class AllGames(Games):
    def chosen(self):
        return self.games


@mistake("stops with the first", 1,
         "Your evaluation equals one that stops as soon as one lane's game is over, and reports "
         "what the others have by then. Their games are not over.")  # fmt: skip
class StopsWithFirst(Play):
    def goes_on(self):
        return self.playing.all()


# --- games that are cut off -----------------------------------------------------------------------


@mistake("ignores truncation", 1,
         "Your evaluation equals one that ends a game at `game_over` only. A game that the limit "
         "cut off is over for us; yours goes on with the lane's next game.")  # fmt: skip
class NoTruncation(Play):
    def over(self, rows):
        return rows.game_over


@mistake("ignores truncation, counting", 1,
         "Your evaluation equals one that ends a game at `game_over` only: after a cut-off it goes "
         "on with the lane's next game, and counts the next cut-off as well. A game that the limit "
         "cut off is over for us.")  # fmt: skip
class NoTruncationCounting(NoTruncation):
    def count(self, rows):
        self.cuts = getattr(self, "cuts", 0) + int((self.playing & rows.truncated).sum())
        super().count(rows)

    def result(self):
        return Evaluation(self.score.tolist(), self.steps.tolist(), self.cuts)


@mistake("cut games are left out", 1,
         "Your evaluation equals one that leaves out games that were cut off. Who waits for ever "
         "would get the score of the games in which he did not.")  # fmt: skip
class CutLeftOut(Play):
    def result(self):
        kept = np.flatnonzero(~self.cut)
        return Evaluation(self.score[kept].tolist(), self.steps[kept].tolist(), int(self.cut.sum()))


@mistake("cut games score nothing", 1,
         "Your evaluation equals one that gives 0 points for a game that was cut off. It keeps "
         "the points it has made.")  # fmt: skip
class CutIsZero(Play):
    def result(self):
        score = np.where(self.cut, 0.0, self.score)
        return Evaluation(score.tolist(), self.steps.tolist(), int(self.cut.sum()))


@mistake("cut games not counted", 1,
         "Your evaluation equals one whose `truncated` is always 0. Whoever reads the score must "
         "learn that games were cut off.")  # fmt: skip
class CutNotCounted(Play):
    def result(self):
        return Evaluation(self.score.tolist(), self.steps.tolist(), 0)


@mistake("counts the ends", 1,
         "Your evaluation equals one whose `truncated` counts the games that were not cut "
         "off.")  # fmt: skip
class CountsEnds(Play):
    def result(self):
        return Evaluation(self.score.tolist(), self.steps.tolist(), int((~self.cut).sum()))


@mistake("later games are cut, too", 1,
         "Your evaluation equals one that counts a cut-off of any later game of a lane in "
         "`truncated`.")  # fmt: skip
class CutLater(Play):
    def count(self, rows):
        super().count(rows)
        self.later = getattr(self, "later", 0) + int((rows.truncated & ~self.playing).sum())

    def result(self):
        return Evaluation(self.score.tolist(), self.steps.tolist(), self.later)


# --- what the policy is shown ---------------------------------------------------------------------


@mistake("stacks never break at a life", 4,
         "Your evaluation equals one that ignores `breaks_at_life`: after a lost life the stack "
         "goes on. A network that was trained with stacks of one life has never seen such a "
         "state.")  # fmt: skip
class NeverBreaks(Play):
    def starts(self, rows):
        return rows.reset_row


@mistake("stacks always break at a life", 4,
         "Your evaluation equals one that starts a stack at every lost life, whatever "
         "`breaks_at_life` says.")  # fmt: skip
class AlwaysBreaks(Play):
    def starts(self, rows):
        return rows.reset_row | rows.life_lost


@mistake("stacks break only at lives", 4,
         "Your evaluation equals one that does not start a stack at a reset row, where the "
         "environment has pressed a button: frames from before it stay in the state.")  # fmt: skip
class OnlyLives(Play):
    def starts(self, rows):
        return rows.life_lost & self.breaks_at_life


@mistake("stacks break at one or the other", 4,
         "Your evaluation equals one that starts a stack at a lost life if `breaks_at_life` is "
         "set, and at a reset row otherwise. At a reset row a stack always starts.")  # fmt: skip
class OneOrTheOther(Play):
    def starts(self, rows):
        return rows.life_lost if self.breaks_at_life else rows.reset_row


@mistake("stacks never break", 4,
         "Your evaluation equals one whose stacks start with `reset` and never again, neither at "
         "a reset row nor at a lost life.")  # fmt: skip
class NoStarts(Play):
    def starts(self, rows):
        return np.zeros(self.lanes.lanes, bool)


@mistake("every frame starts a stack", 4,
         "Your evaluation equals one that starts a stack at every frame: the policy sees one "
         "frame and three black ones, and cannot tell where the ball is going.")  # fmt: skip
class AlwaysStarts(Play):
    def starts(self, rows):
        return np.ones(self.lanes.lanes, bool)


@mistake("one row late", 3,
         "Your evaluation equals one that shows the policy the row before: it decides on a screen "
         "that has passed.")  # fmt: skip
class Stale(Play):
    def states(self, stack, rows, starts):
        return super().states(stack, self.before, starts)


@mistake("always the same state", 3,
         "Your evaluation equals one that pushes the first frames and never those that follow: "
         "the policy is asked about one state for ever.")  # fmt: skip
class Frozen(Play):
    def states(self, stack, rows, starts):
        if not self.steps.any() and self.before is rows:
            self.first = super().states(stack, rows, starts)
        return self.first


@mistake("always the same seed", 2,
         "Your evaluation equals one that resets with the seed 0 whatever it is asked for: every "
         "evaluation plays the same games.")  # fmt: skip
class SeedZero(Play):
    def reset(self, lanes, seed):
        return lanes.reset(0)


@mistake("closes the lanes", 2,
         "Your evaluation equals one that closes the lanes. They belong to the caller, who may "
         "want to play on.")  # fmt: skip
class Closes(Play):
    def result(self):
        self.lanes.close()
        return super().result()
