"""What the checks of chapter 03 say about pieces that are not in their catalogue.

`test_catalogue.py` runs every entry's own versions. Here: right pieces that choose what the
contract leaves open, wrong ones with their first fact, and two mistakes at once, without a name.
"""

from __future__ import annotations

import itertools
import random

import gymnasium
import numpy as np
import pytest
import torch

from dqn_ref.course.catalogue import entry, judge
from dqn_ref.course.catalogue.clip_reward import Rewards
from dqn_ref.course.catalogue.frame_stack import Deques, RolledArray
from dqn_ref.course.catalogue.judging import Probe, Raised, Trace, observe, wrong_version
from dqn_ref.course.catalogue.life_loss import ByCases, ByDifference
from dqn_ref.course.catalogue.random_start import OwnGenerator, PythonsRandom
from dqn_ref.course.catalogue.repeat_max import BufferOfTwo, ListOfFrames
from dqn_ref.course.catalogue.wrapper_games import NumberedGame, Script
from dqn_ref.course.catalogue.wrapper_lives import Games
from dqn_ref.course.catalogue.wrapper_repeats import Decisions
from dqn_ref.course.catalogue.wrapper_stacks import Pushes
from dqn_ref.course.catalogue.wrapper_starts import FewGames, OneEnvironment, ShortGames, even
from dqn_ref.frames import FrameStack
from dqn_ref.wrappers import LifeLoss, RandomStart, RepeatMax

CHAPTER = ("RepeatMax", "RandomStart", "LifeLoss", "clip_reward", "FrameStack")


def name_of(known, piece) -> str | None:
    """The name that a failing piece gets, without the rest of a verdict."""
    traces = [Trace(tuple(observe(probe, piece, None))) for probe in known.probes]
    version = wrong_version(known, traces)
    return version and version.slug


@pytest.mark.parametrize("name", CHAPTER)
def test_right_pieces_are_seen_to_the_end_of_every_scene(name):
    """An error inside a probe would end it for all pieces alike, and pass whatever comes after."""
    known = entry(name)
    for piece in (known.reference, *(version.piece for version in known.right)):
        for probe in known.probes:
            assert not any(isinstance(f, Raised) for f in observe(probe, piece, None)), probe.scene


# --- what the contract leaves open ----------------------------------------------------------------


class EndsOnLastFrame(BufferOfTwo):
    """Shows the last frame alone where a game ends inside a repetition."""

    def step(self, action):
        self.buffer[:] = 0
        observation, points, *flags, info = super().step(action)
        return observation, points, *flags, info


class AloneWhenOne(ListOfFrames):
    """With repeat=1, the frame alone; flags as numpy's, points as a 0-d array."""

    def step(self, action):
        observation, points, terminated, truncated, info = super().step(action)
        return observation, np.array(points), np.bool_(terminated), np.bool_(truncated), info


class FromTorch(RandomStart):
    def reset(self, *, seed=None, options=None):
        observation, info = self.env.reset(seed=seed, options=options)
        if seed is not None:
            torch.manual_seed(seed)
        for _ in range(int(torch.randint(0, self.noops_max + 1, ()))):
            observation, _, *ended, info = self.env.step(0)
            if any(ended):
                observation, info = self.env.reset()
        return observation, info


class FromOldGenerator(OwnGenerator):
    """A new generator in every reset, of NumPy's older kind; without a seed it seeds itself."""

    def reset(self, seed=None, options=None):
        result = self.env.reset(seed=seed, options=options)
        for _ in range(np.random.RandomState(seed).randint(self.noops_max + 1)):
            *step, info = self.env.step(0)
            result = step[0], info
            if step[2] or step[3]:
                result = self.env.reset()
        return result


class DrawsSeedsToo(PythonsRandom):
    """Hands a seed of its own to every reset without one."""

    def reset(self, *, seed=None, options=None):
        if seed is None:
            seed, drawn = self.dice.randrange(2**31), True
        else:
            drawn = False
            self.dice.seed(seed)
        result = self.env.reset(seed=seed, options=options)
        for _ in range(self.dice.choice(self.choices)):
            *step, info = self.env.step(0)
            result = step[0], info
            if step[2] or step[3]:
                result = self.env.reset(seed=seed if drawn else None)
        return result


class NumpysBool(LifeLoss):
    """NumPy's bool, and a key more than was asked for."""

    def step(self, action):
        *result, info = super().step(action)
        return (*result, info | {"life_lost": np.bool_(info["life_lost"]), "mine": 1})


class NumpyFlags(RolledArray):
    def push(self, frames, starts):
        return super().push(frames.numpy(), starts.astype(int) > 0)


OPEN = [
    ("RepeatMax", EndsOnLastFrame),
    ("RepeatMax", AloneWhenOne),
    ("RandomStart", FromTorch),
    ("RandomStart", FromOldGenerator),
    ("RandomStart", DrawsSeedsToo),
    ("LifeLoss", NumpysBool),
    ("FrameStack", NumpyFlags),
    ("clip_reward", lambda rewards, limit=1.0: rewards),  # refused below: it shows the table works
]


@pytest.mark.parametrize("name, piece", OPEN, ids=lambda x: getattr(x, "__name__", x))
def test_what_the_contract_leaves_open_may_be_chosen(name, piece):
    """A check that compares with the reference's choice refuses right pieces."""
    verdict = judge(name, piece)
    assert verdict.passed == (name != "clip_reward"), verdict.message


def test_even_draws_are_called_even():
    """A right wrapper would be refused once in so many checks."""
    rng = np.random.default_rng(3)
    for games, cells in ((220, 13), (250, 13), (800, 4)):
        for times in rng.multinomial(games, [1 / cells] * cells, size=15_000):
            assert even(times)
    assert not even(np.array([19] * 13))  # taken by turns, not drawn
    assert not even(np.bincount(rng.binomial(12, 0.5, size=250), minlength=13))


def test_unseeded_draws_pass_every_time():
    """Refusing one right wrapper in a thousand would show here now and then."""
    scenes = [OneEnvironment(250, 12), OneEnvironment(60), ShortGames(Script(over=3), 60, 6)]
    for scene in scenes:
        right = Trace(tuple(scene.observe(RandomStart, None)))
        for _ in range(60):
            assert right.equals(scene.observe(FromOldGenerator, None))


def test_starts_that_cannot_be_repeated_pass_with_a_remark():
    """They are right by the contract; whoever wants to repeat a run has to hear of it."""

    class Unseeded(OwnGenerator):
        def reset(self, seed=None, options=None):
            result = self.env.reset(seed=seed, options=options)
            for _ in range(self.rng.integers(self.noops_max + 1)):
                *step, info = self.env.step(0)
                result = step[0], info
                if step[2] or step[3]:
                    result = self.env.reset()
            return result

    verdict = judge("RandomStart", Unseeded)
    assert verdict.passed and "cannot be repeated" in verdict.message
    assert judge("RandomStart", OwnGenerator).message == ""


# --- wrong pieces outside the catalogue -----------------------------------------------------------


def changed(base, **methods):
    return type(base.__name__, (base,), methods)


def result_of(base, method, change):
    """The class with the result of one method changed."""

    def exchanged(self, *args, **named):
        return change(getattr(base, method)(self, *args, **named))

    return changed(base, **{method: exchanged})


def steps(base, **parts):
    """The wrapper with parts of what `step` returns exchanged."""
    names = ("observation", "reward", "terminated", "truncated", "info")

    def change(result):
        named = dict(zip(names, result, strict=True))
        return tuple(parts[name](named) if name in parts else named[name] for name in names)

    return result_of(base, "step", change)


class CoinFlips(RandomStart):
    def reset(self, *, seed=None, options=None):
        result = self.env.reset(seed=seed, options=options)
        for _ in range(self.noops_max):
            if self.np_random.random() < 0.5:
                *step, info = self.env.step(0)
                result = step[0], info
                if step[2] or step[3]:
                    result = self.env.reset()
        return result


class Rounds(RandomStart):
    """Both ends come half as often as the others."""

    def reset(self, *, seed=None, options=None):
        result = self.env.reset(seed=seed, options=options)
        for _ in range(round(self.np_random.random() * self.noops_max)):
            *step, info = self.env.step(0)
            result = step[0], info
            if step[2] or step[3]:
                result = self.env.reset()
        return result


class Reseeds(RandomStart):
    def reset(self, *, seed=None, options=None):
        self.seed = self.seed if seed is None and hasattr(self, "seed") else seed
        return super().reset(seed=self.seed, options=options)


class NoWrapper:
    def __init__(self, env, *rest):
        self.inner = RepeatMax(env, *rest)
        self.reset, self.step = self.inner.reset, self.inner.step


class Shared(FrameStack):
    """The newest stack is a variable of the class."""

    now = None

    def push(self, frames, starts):
        self.current = self.current if Shared.now is None else Shared.now
        same = self.current.shape[0] == len(frames) and self.current.shape[2:] == frames.shape[1:]
        if not same:
            self.current = torch.zeros_like(frames)[:, None].repeat(1, self.stack_frames, 1, 1)
        result = super().push(frames, starts)
        Shared.now = result
        return result


OUTSIDE = {
    "a float picture": (
        "RepeatMax", steps(RepeatMax, observation=lambda r: r["observation"] / 1.0),
        "210 × 160 × 3 float64, expected 210 × 160 × 3 uint8",
    ),
    "the largest pixel": (
        "RepeatMax", steps(RepeatMax, observation=lambda r: np.max(r["observation"])),
        "is a single number, expected 210 × 160 × 3 uint8",
    ),
    "four values": (
        "RepeatMax", result_of(RepeatMax, "step", lambda r: (*r[:2], r[2] or r[3], r[4])),
        "a tuple of 4, expected a tuple of observation, reward, terminated, truncated and info",
    ),
    "no return": (
        "RepeatMax", result_of(RepeatMax, "reset", lambda r: None), "None (is a `return` missing?)",
    ),
    "half the points": (
        "RepeatMax", steps(RepeatMax, reward=lambda r: r["reward"] / 4),
        "decision 1 has reward 1.375, expected 5.5 (frames 1 to 4 pay 1, 0.5, 0 and 4)",
    ),
    "no wrapper": ("RepeatMax", NoWrapper, "no `gymnasium.Wrapper`"),
    "info of nobody": (
        "RepeatMax", steps(RepeatMax, info=lambda r: {}), 'lost its entry "frame_number"',
    ),
    "life_lost counted": (
        "RepeatMax", steps(RepeatMax, info=lambda r: r["info"] | {"life_lost": 2}),
        'info["life_lost"] is 2, of type int, expected False',
    ),
    "coin flips": ("RandomStart", CoinFlips, "do not begin with 0 to 12 no-ops equally often"),
    "rounded": ("RandomStart", Rounds, "do not begin with 0 to 3 no-ops equally often"),
    "one seed for ever": ("RandomStart", Reseeds, "`reset()` without a seed hands seed=11"),
    "a list": (
        "RandomStart", result_of(RandomStart, "reset", list),
        "of type list, expected a tuple of observation and info",
    ),
    "lives that are lost": (
        "LifeLoss", steps(LifeLoss, info=lambda r: r["info"] | {"lives": 3}),
        'after frame 3 of game 1, info["lives"] is 3, expected 2',
    ),
    "a number for a bool": (
        "LifeLoss", steps(LifeLoss, info=lambda r: r["info"] | {"life_lost": 0}),
        'info["life_lost"] is 0, of type int, expected False',
    ),
    "nothing in reset": (
        "LifeLoss", result_of(LifeLoss, "reset", lambda r: (r[0], {"lives": r[1].get("lives")})),
        'info has lost its entry "frame_number"',
    ),
    "no entry in reset": (
        "LifeLoss",
        result_of(LifeLoss, "reset", lambda r: (
            r[0], {k: v for k, v in r[1].items() if k != "life_lost"})),
        'the info that `reset` returns has no entry "life_lost"',
    ),
    "float64": (
        "clip_reward", lambda rewards, limit=1.0: np.clip(rewards, -limit, limit).astype(float),
        "(6,) float64, expected an array (6,) float32",
    ),
    "a list of rewards": (
        "clip_reward", lambda rewards, limit=1.0: [max(-limit, min(limit, r)) for r in rewards],
        "of type list",
    ),
    "a view": (
        "clip_reward", lambda rewards, limit=1.0: (
            rewards[:] if max(abs(rewards)) <= 0.5 else np.clip(rewards, -limit, limit)
        ),
        "the result is the argument itself, or a view of it; expected a new array",
    ),
    "squashed": (
        "clip_reward", lambda rewards, limit=1.0: np.tanh(rewards),
        "a reward of 1 becomes 0.761594, expected 1",
    ),
    "an array": (
        "FrameStack", result_of(RolledArray, "push", lambda result: result.numpy()),
        "the result of push 1 is of type ndarray, expected a tensor (1, 4, 3, 4) uint8",
    ),
    "a method": (
        "FrameStack", changed(Deques, current=lambda self: self.push),
        "`current` before the first push is a method",
    ),
    "floats": (
        "FrameStack", result_of(FrameStack, "push", lambda result: result / 255),
        "a tensor (1, 4, 3, 4) float32",
    ),
    "one stack for all objects": ("FrameStack", Shared, "lane 0 shows frames"),
}  # fmt: skip


@pytest.mark.parametrize("name, piece, fact", OUTSIDE.values(), ids=OUTSIDE.keys())
def test_wrong_pieces_outside_the_catalogue_get_the_first_fact(name, piece, fact):
    """No name is true of these; a learner needs the fact, with its numbers."""
    verdict = judge(name, piece)
    assert not verdict.passed and verdict.attempted
    assert verdict.wrong is None and fact in verdict.message, verdict.message


class NotTerminated(LifeLoss):
    """Two mistakes at once: it asks for `lives` in every game, and forgets `truncated`."""

    def step(self, action):
        before = self._lives
        *result, info = super().step(action)
        return (*result, info | {"life_lost": info["lives"] < before and not result[2]})


class EitherWay(LifeLoss):
    """`not terminated or truncated` is `(not terminated) or truncated`."""

    def step(self, action):
        before = self._lives
        *result, info = super().step(action)
        lost = info.get("lives", 0) < before and not result[2] or result[3]
        return (*result, info | {"life_lost": lost})


class AsInt(LifeLoss):
    def step(self, action):
        *result, info = super().step(action)
        return (*result, info | {"life_lost": int(info["life_lost"])})


@pytest.mark.parametrize("piece, hint", [(NotTerminated, 1), (EitherWay, 1), (AsInt, 2)])
def test_the_hint_follows_the_symptom(piece, hint):
    """Whoever overlooks an end is sent to read about what has to be kept."""
    verdict = judge("LifeLoss", piece)
    assert not verdict.passed and (verdict.wrong, verdict.hint) == (None, hint), verdict.message


def test_of_a_single_frame_the_expected_picture_is_named_both_ways():
    """ "expected frame 2" contradicts the chapter, where the frame before joins in."""

    class Black(RepeatMax):
        def step(self, action):
            shown, *rest = super().step(action)
            return (shown if self.repeat > 1 else shown * 0, *rest)

    verdict = judge("RepeatMax", Black)
    assert "is black, expected frame 1, alone or in the maximum with frame 0." in verdict.message


def test_an_environment_without_lives_is_told():
    """`info["lives"]` fits Atari alone; the error has to say in which game it came up."""

    class AtariOnly(ByDifference):
        def step(self, action):
            *result, info = super().step(action)
            return (*result, info | {"life_lost": info["life_lost"] and info["lives"] > -1,
                                     "lives": info["lives"]})  # fmt: skip

    message = judge("LifeLoss", AtariOnly).message
    assert message.startswith("in scripted games that tell no lives, `step` raises KeyError")


def test_the_picture_shows_yours_and_the_expected_frames():
    known = entry("FrameStack")
    (version,) = (v for v in known.wrong if v.slug == "all lanes break")
    verdict = judge("FrameStack", version.piece)
    assert verdict.picture.startswith("data:image/png;base64,")
    assert verdict.picture_alt == (
        "The stack of lane 0, after push 4. Yours: zeros, zeros, zeros, 4; expected: 1, 2, 3, 4."
    )


# --- no untrue name -------------------------------------------------------------------------------

_LONG = Script(
    over=45, rewards={n: (-1) ** n * n / 4 for n in range(1, 45, 3)}, lost=(3, 9, 10, 20, 31),
    lives={0: 6, 3: 5, 9: 4, 10: 3, 20: 2, 25: 3, 31: 2, 45: 1},
)  # fmt: skip
_CUT = Script(cut=14, rewards={2: 5, 14: 3}, lives={0: 4, 1: 3, 7: 0, 12: 2}, lost=(1, 7))
_OVER = Script(over=18, rewards={17: 2, 18: 9}, lives={0: 3, 4: 2, 17: 1, 18: 0}, lost=(4, 17))
_ACTIONS = tuple(tuple((n * 7 + game) % 4 for n in range(50)) for game in range(3))

OTHER = {
    "RepeatMax": [
        *(
            Decisions((_CUT, _LONG, _OVER), _ACTIONS, repeat, (4, 4), one_array)
            for repeat, one_array in ((1, False), (2, False), (4, False), (4, True), (5, False))
        )
    ],
    "RandomStart": [
        FewGames(40, 5),
        OneEnvironment(400, 5),
        OneEnvironment(800),
        ShortGames(Script(over=4), 80, 9),
        ShortGames(Script(cut=2), 80, 5),
    ],
    "LifeLoss": [Games((_CUT, _LONG, _OVER, _CUT, _CUT), (9, 50, 50, 3, 50))],
    "clip_reward": [
        *(
            Rewards(tuple(np.linspace(-9, 9, 49).tolist()), limit) for limit in (None, 2.0, np.inf)
        ),
        Rewards((0.25, -0.5), 2.0),
    ],
    "FrameStack": [
        Pushes(tuple("".join(random.Random(10 * k + n).choice("x....") for n in range(4))
                     for k in range(40)), frames, (3, 3), frames, beside)
        for frames, beside in ((4, True), (3, False), (1, False))
    ],
}  # fmt: skip


def same_everywhere(name, piece, version) -> bool:
    """Whether two pieces answer alike in scenes that the check does not use."""
    for scene in OTHER[name]:
        probe = Probe("another scene", scene.observe)
        mine = Trace(tuple(observe(probe, piece, None)))
        if not mine.equals(observe(probe, version, mine)):
            return False
    return True


@pytest.mark.parametrize("name", CHAPTER)
def test_the_other_scenes_tell_wrong_versions_apart(name):
    """Otherwise the test below would accept any name."""
    known = entry(name)
    for one, other in itertools.pairwise(known.wrong):
        assert not same_everywhere(name, one.piece, other.piece), (one.slug, other.slug)
    assert same_everywhere(name, known.reference, known.reference)
    assert all(same_everywhere(name, v.piece, v.piece) for v in known.wrong[::7])


@pytest.mark.parametrize("name", ["RepeatMax", "RandomStart", "LifeLoss", "FrameStack"])
def test_two_mistakes_at_once_have_no_untrue_name(name):
    """A name may be given where one mistake hides the other: it is true then."""
    known = entry(name)
    pairs = list(itertools.combinations(known.wrong, 2))
    unnamed = 0
    for one, other in random.Random(4).sample(pairs, 30):
        if issubclass(one.piece, other.piece) or issubclass(other.piece, one.piece):
            continue
        both = type("Both", (one.piece, other.piece), {})
        slug = name_of(known, both)
        if slug is None:
            unnamed += 1
            continue
        (version,) = (v for v in known.wrong if v.slug == slug)
        assert same_everywhere(name, both, version.piece), (one.slug, other.slug, slug)
    assert unnamed >= 10


def test_two_mistakes_of_clipping_have_no_name():
    def sign_in_place(rewards, limit=1.0):
        return np.sign(rewards, out=rewards)

    def upper_whole(rewards, limit=1.0):
        return np.trunc(np.minimum(rewards, np.float32(limit)))

    for piece in (sign_in_place, upper_whole):
        verdict = judge("clip_reward", piece)
        assert not verdict.passed and verdict.wrong is None, verdict.message


@pytest.mark.parametrize("wrapper", [RepeatMax, LifeLoss, ByCases, ListOfFrames])
def test_the_scripted_game_is_a_gymnasium_environment(wrapper):
    """A wrapper that asks for spaces, names of actions or ALE's lives must find them."""
    game = NumberedGame(Script(lives={0: 3}))
    env = wrapper(game)
    observation, info = env.reset(seed=1)
    assert env.observation_space.contains(observation) and isinstance(env, gymnasium.Wrapper)
    assert env.unwrapped.get_action_meanings()[0] == "NOOP" and env.unwrapped.ale.lives() == 3
