"""Known mistakes in LaneMemories. Each replaces one part of `LaneByLane`, which has none."""

from __future__ import annotations

import numpy as np
import torch

from dqn_ref.course.catalogue.judging import WrongVersions
from dqn_ref.replay import Batch

wrong = WrongVersions()


class LaneByLane:
    """A right one, cut into parts."""

    def __init__(self, memories: list):
        self.memories = memories

    def __len__(self) -> int:
        return sum(map(len, self.memories))

    def begin(self, frames: torch.Tensor) -> None:
        for memory, frame in zip(self.memories, frames.cpu().numpy(), strict=True):
            memory.begin(frame)

    def add(self, actions, rewards, terminated, truncated, starts, next_frames) -> None:
        frames = self.arrange(next_frames.cpu().numpy())
        rows = zip(actions, rewards, terminated, truncated, frames, strict=True)
        for memory, start, row in zip(self.memories, starts, rows, strict=True):
            self.tell(memory, bool(start), *row)

    def arrange(self, frames: np.ndarray) -> np.ndarray:
        return frames

    def tell(self, memory, start, action, reward, terminated, truncated, frame) -> None:
        if start:
            memory.begin(frame)
        else:
            memory.add(action, reward, terminated, truncated, frame)

    def sample(self, batch_size: int, rng: np.random.Generator) -> Batch:
        lengths = np.array([len(memory) for memory in self.memories])
        if not lengths.any():
            raise ValueError("nothing can be drawn yet")
        counts = self.shares(lengths, batch_size, rng)
        pairs = zip(self.memories, counts, strict=True)
        drawn = [self.draw(memory, int(n), rng) for memory, n in pairs if n]
        return self.join(drawn, rng)

    def shares(self, lengths, batch_size, rng) -> np.ndarray:
        return rng.multinomial(batch_size, lengths / lengths.sum())

    def draw(self, memory, count, rng) -> Batch:
        return memory.sample(count, rng)

    def join(self, drawn, rng) -> Batch:
        fields = zip(*drawn, strict=True)
        return Batch(*(torch.cat([torch.as_tensor(f) for f in field]) for field in fields))


@wrong(
    "starts are steps",
    1,
    "Your memory equals one that adds every row, also where a game starts. A step appears that "
    "nobody made, from the end of one game into the next, with an action that was ignored.",
)
class StartsAreSteps(LaneByLane):
    def tell(self, memory, start, *row):
        memory.add(*row)


@wrong(
    "starts are skipped",
    1,
    "Your memory equals one that leaves out the rows where a game starts. The lane's memory never "
    "hears of the new game: its first stack shows frames of the game before.",
)
class StartsAreSkipped(LaneByLane):
    def tell(self, memory, start, *row):
        if not start:
            memory.add(*row)


@wrong(
    "start and step",
    1,
    "Your memory equals one that begins a game and then adds the row as well. The action of that "
    "row was ignored, so a step is stored that led nowhere.",
)
class StartAndStep(LaneByLane):
    def tell(self, memory, start, *row):
        if start:
            memory.begin(row[-1])
        memory.add(*row)


@wrong(
    "step and start",
    1,
    "Your memory equals one that adds the row where a game starts, and then begins the game. The "
    "row is no step: its action was ignored, and it leads across two games.",
)
class StepAndStart(LaneByLane):
    def tell(self, memory, start, *row):
        memory.add(*row)
        if start:
            memory.begin(row[-1])


@wrong(
    "all begin when one does",
    1,
    "Your memory equals one in which a game that starts in one lane starts in all of them. The "
    "other lanes lose that step, and their stacks go black in mid-game.",
)
class AllBegin(LaneByLane):
    def add(self, actions, rewards, terminated, truncated, starts, next_frames):
        starts = np.full(len(self.memories), np.any(starts))
        super().add(actions, rewards, terminated, truncated, starts, next_frames)


@wrong(
    "begins after an end",
    1,
    "Your memory equals one that begins a game with the frame of a terminated step. The row that "
    "brings the first frame of the next game is still to come, and a lost life ends no game.",
)
class BeginsAfterAnEnd(LaneByLane):
    def tell(self, memory, start, action, reward, terminated, truncated, frame):
        super().tell(memory, start, action, reward, terminated, truncated, frame)
        if terminated and not start:
            memory.begin(frame)


@wrong(
    "flags exchanged",
    1,
    "Your memory equals one that takes `terminated` for `truncated` and the other way round. A "
    "game that was cut off then counts as lost, and a lost one as going on.",
)
class FlagsExchanged(LaneByLane):
    def tell(self, memory, start, action, reward, terminated, truncated, frame):
        super().tell(memory, start, action, reward, truncated, terminated, frame)


@wrong(
    "cut off is terminated",
    1,
    "Your memory equals one that hands on `terminated or truncated` as terminated. A game that a "
    "limit of time cut off then ends in a state worth nothing.",
)
class CutOffIsTerminated(LaneByLane):
    def tell(self, memory, start, action, reward, terminated, truncated, frame):
        ended = bool(terminated or truncated)
        super().tell(memory, start, action, reward, ended, truncated, frame)


@wrong(
    "every end is terminated",
    1,
    "Your memory equals one that hands on `terminated or truncated` as terminated, and False as "
    "truncated. A game that a limit of time cut off then ends in a state worth nothing.",
)
class EveryEndIsTerminated(LaneByLane):
    def tell(self, memory, start, action, reward, terminated, truncated, frame):
        ended = bool(terminated or truncated)
        super().tell(memory, start, action, reward, ended, False, frame)


@wrong(
    "one lane's frames",
    1,
    "Your memory equals one that gives the frame of lane 0 to every lane. The other lanes learn "
    "what their actions did in a game that they did not play.",
)
class OneLanesFrames(LaneByLane):
    def arrange(self, frames):
        return np.repeat(frames[:1], len(frames), axis=0)


@wrong(
    "frames in reverse",
    1,
    "Your memory equals one in which the frames go to the lanes in reverse order. Actions of one "
    "game meet the pictures of another.",
)
class FramesInReverse(LaneByLane):
    def arrange(self, frames):
        return frames[::-1].copy()


@wrong(
    "one memory for all",
    1,
    "Your memory equals one that writes all lanes into the first lane's memory. Frames of all "
    "games follow one another there, and a stack mixes them.",
)
class OneMemoryForAll(LaneByLane):
    def __init__(self, memories):
        super().__init__([memories[0]] * len(memories))


@wrong(
    "length of one lane",
    4,
    "Your memory equals one whose `len` is that of the first lane's memory. Training would begin "
    "late, and whoever asks how much is remembered gets the wrong number.",
)
class LengthOfOne(LaneByLane):
    def __len__(self):
        return len(self.memories[0])


@wrong(
    "length is the number of lanes",
    4,
    "Your memory equals one whose `len` is the number of lanes, whatever they hold.",
)
class LengthIsLanes(LaneByLane):
    def __len__(self):
        return len(self.memories)


@wrong(
    "first lane only",
    3,
    "Your memory equals one that draws from lane 0 alone. What the other lanes play is stored and "
    "never learnt from.",
)
class FirstLaneOnly(LaneByLane):
    def sample(self, batch_size, rng):
        return self.join([self.memories[0].sample(batch_size, rng)], rng)


@wrong(
    "lanes equally often",
    3,
    "Your memory equals one that draws from each lane equally often, whatever it holds. A step of "
    "a lane with few steps is then drawn more often than one of a lane with many.",
)
class LanesEquallyOften(LaneByLane):
    def shares(self, lengths, batch_size, rng):
        filled = lengths > 0
        return rng.multinomial(batch_size, filled / filled.sum())


@wrong(
    "the rest from the first lane",
    3,
    "Your memory equals one that rounds each lane's share down and takes the rest from lane 0. Its "
    "steps are then drawn more often than those of the other lanes.",
)
class RestFromTheFirst(LaneByLane):
    def shares(self, lengths, batch_size, rng):
        counts = batch_size * lengths // lengths.sum()
        counts[np.flatnonzero(lengths)[0]] += batch_size - counts.sum()
        return counts


@wrong(
    "the rest from the last lane",
    3,
    "Your memory equals one that rounds each lane's share down and takes the rest from one lane, "
    "here the last. With sixteen lanes and batches of 32 that can be fifteen rows.",
)
class RestFromTheLast(LaneByLane):
    def shares(self, lengths, batch_size, rng):
        counts = batch_size * lengths // lengths.sum()
        counts[np.flatnonzero(lengths)[-1]] += batch_size - counts.sum()
        return counts


@wrong(
    "one lane per batch",
    3,
    "Your memory equals one that throws dice for a lane and draws the whole batch from it. Each "
    "step is drawn as often, but the 32 of a minibatch then come from one game.",
)
class OneLanePerBatch(LaneByLane):
    def shares(self, lengths, batch_size, rng):
        return batch_size * rng.multinomial(1, lengths / lengths.sum())


@wrong(
    "the same dice in every lane",
    3,
    "Your memory equals one that gives each lane a generator with the same seed. Lanes that hold "
    "as much hand out the same positions: a batch shows one moment of all games.",
)
class SameDice(LaneByLane):
    def sample(self, batch_size, rng):
        if len(self.memories) > 1:
            self.seed = int(rng.integers(2**31))
        return super().sample(batch_size, rng)

    def draw(self, memory, count, rng):
        own = np.random.default_rng(self.seed) if len(self.memories) > 1 else rng
        return memory.sample(count, own)


@wrong(
    "dice of its own",
    3,
    "Your memory equals one that throws dice of its own and not those it is given. Two runs with "
    "the same seed then differ, and nobody can find out why.",
)
class DiceOfItsOwn(LaneByLane):
    def __init__(self, memories):
        super().__init__(memories)
        self.rng = np.random.default_rng(0)

    def sample(self, batch_size, rng):
        return super().sample(batch_size, self.rng)


@wrong(
    "fields shuffled apart",
    4,
    "Your memory equals one that shuffles each field of a batch anew. A state then stands beside "
    "the action and the reward of another step.",
)
class ShuffledApart(LaneByLane):
    def join(self, drawn, rng):
        batch = super().join(drawn, rng)
        if len(self.memories) == 1:
            return batch
        return Batch(*(field[torch.from_numpy(rng.permutation(len(field)))] for field in batch))


@wrong(
    "fields joined in other orders",
    4,
    "Your memory equals one that joins next states in another order of lanes than states. The next "
    "state of a row is then one of another game.",
)
class JoinedOtherwise(LaneByLane):
    def join(self, drawn, rng):
        batch, turned = super().join(drawn, rng), super().join(drawn[::-1], rng)
        return batch._replace(next_states=turned.next_states)
