"""The band of several seeds, and what is said about a training beside it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from dqn_ref.course import bands
from dqn_ref.course.bands import beside_band, make_band, shipped_band, verdict
from dqn_ref.course.shipped import RESULTS
from dqn_ref.recipes import get_recipe
from dqn_ref.reporting import history

GALLERY = get_recipe("gallery")
STEPS = np.arange(0, 10_001, 250)


def noisy(seed, level=lambda steps: steps / 1000, spread=0.5):
    rng = np.random.default_rng(seed)
    return STEPS, level(STEPS) + spread * rng.normal(size=len(STEPS))


@pytest.fixture(scope="module")
def band():
    return make_band([noisy(seed) for seed in range(5)], GALLERY, range(5))


def test_the_band_holds_as_many_trainings_as_it_says():
    """Bugs: the spread of the mean for the spread of a training; a quantile of one side only."""
    rng, inside = np.random.default_rng(0), []
    for _ in range(1_000):
        logs = [(STEPS, np.full(len(STEPS), 50.0 + rng.normal())) for _ in range(6)]
        made = make_band(logs[:5], GALLERY, range(5))
        inside.append(verdict(made, *logs[5]) == "inside")
    assert 0.93 < np.mean(inside) < 0.97  # 1.4 standard errors and more from 0.95; 0.90 one-sided


def test_it_follows_the_mean_and_never_goes_below_nothing(band):
    assert np.abs(band.mean - band.steps / 1000).mean() < 0.3 and band.low.min() == 0
    assert (band.low <= band.mean).all() and (band.mean <= band.high).all()


def test_two_seeds_have_no_spread():
    with pytest.raises(ValueError, match="3 to 10"):
        make_band([noisy(0), noisy(1)], GALLERY, (0, 1))


def test_games_that_have_not_ended_are_no_zeros():
    """Bug: a band that begins at 0 points because no game had ended; nan all the way."""
    logs = [(STEPS, np.where(STEPS < 1_000, np.nan, 5.0 + k)) for k in range(3)]
    made = make_band(logs, GALLERY, range(3))
    assert made.steps[0] == 1_000 and np.allclose(made.mean, 6)


CASES = {
    "inside": lambda steps: steps / 1000,
    "too early to say": lambda steps: np.where(steps > 250, np.nan, 0.0),
    "below since step 6,000": lambda steps: np.where(steps < 6_000, steps / 1000, 2.0),
    "above since step 5,000": lambda steps: np.where(steps < 5_000, steps / 1000, 30.0),
    "inside since step 4,000, below before": lambda steps: np.where(
        (steps > 2_000) & (steps < 4_000), 0.0, steps / 1000
    ),
    "below since step 0": lambda steps: np.full(len(steps), -1.0),
}


@pytest.mark.parametrize("said", CASES)
def test_what_is_said(said, band):
    assert verdict(band, STEPS, CASES[said](STEPS)) == said


SENTENCES = {
    "inside": "inside the course's band of 5 seeds",
    "too early to say": "too early to compare with the course's band of 5 seeds",
    "below since step 6,000": "below the course's band of 5 seeds since step 6,000",
    "inside since step 4,000, below before": (
        "inside the course's band of 5 seeds since step 4,000, below before"
    ),
}


@pytest.mark.parametrize("said", SENTENCES)
def test_it_is_said_in_a_sentence(said, band):
    """Bug: a learner whose run has other settings is told that it learns badly, and not why."""
    scores = CASES[said](STEPS)
    assert beside_band(band, GALLERY, STEPS, scores) == SENTENCES[said]
    other = dataclasses.replace(GALLERY, discount=0.5, seed=99, lanes=2)
    assert beside_band(band, other, STEPS, scores) == (
        f"{SENTENCES[said]}; unlike theirs, this training has lanes=2, discount=0.5"
    )
    more = dataclasses.replace(other, batch_size=8, learning_rate=0.1)
    assert beside_band(band, more, STEPS, scores).endswith("batch_size=8 and more")


def test_one_bad_interval_is_no_trend(band):
    """Bug: an alarm for an unlucky hundred games."""
    scores = STEPS / 1000.0
    scores[[20, 21, 39, 40]] = 0
    assert verdict(band, STEPS, scores) == "inside"
    scores[[38]] = 0
    assert verdict(band, STEPS, scores) == "below since step 9,500"


def test_what_lies_beyond_the_band_is_not_judged(band):
    """Bug: a training that goes on for longer is compared with the band's last point."""
    steps = np.append(STEPS, [20_000, 30_000, 40_000])
    assert verdict(band, steps, np.append(STEPS / 1000, [0, 0, 0])) == "inside"


@pytest.mark.parametrize("game, count", [("gallery", 5), ("breakout", 3)])
def test_the_bands_of_the_course_hold_their_own_trainings(game, count):
    """Bugs: a run of another recipe in the band; logs that were not read."""
    made = shipped_band(game)
    folders = [*RESULTS.glob("bands/gallery-seed-*"), *RESULTS.glob("breakout-laptop-seed-*")]
    own = [folder for folder in folders if folder.name.startswith(("gallery", "breakout"))]
    own = [folder for folder in own if game in folder.name]
    assert len(own) == count == len(set(made.seeds))
    for folder in own:
        log = history(folder)
        assert verdict(made, log["agent_steps"], log["score_mean"]) == "inside"
        assert made.differs(bands.Recipe.load(folder / "recipe.json")) == []
    recipe = {"gallery": "gallery", "breakout": "laptop"}[game]
    assert made.differs(get_recipe(recipe, total_steps=7, seed=99, log_every_steps=1)) == []


def test_a_slower_agent_of_the_course_is_noticed():
    """The first form of `laptop`, a million steps: other settings, and below the band for long."""
    made, folder = shipped_band("breakout"), RESULTS / "breakout-laptop"
    log = history(folder)
    assert verdict(made, log["agent_steps"], log["score_mean"]) == "below since step 40,007"
    other = made.differs(bands.Recipe.load(folder / "recipe.json"))
    assert "n_step=1" in other and "lanes=8" in other and not any("seed" in each for each in other)


def test_every_setting_that_is_called_indifferent_exists():
    fields = {field.name for field in dataclasses.fields(GALLERY)}
    assert bands._INDIFFERENT < fields


def test_there_is_none_for_other_games_and_none_without_results(monkeypatch, tmp_path):
    assert shipped_band("pong") is None
    monkeypatch.setattr(bands, "RESULTS", tmp_path)
    assert shipped_band("gallery") is None
