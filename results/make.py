"""Figures, GIF and tables of the front page, from the files in this folder: `make results`.

    results/*/about.json, games.csv ──┬── figures/learning.png
    weights.safetensors of one run ───┼── figures/agent.gif
                                      └── the table between the marks in README.md

Nothing is trained here, and nothing written that a run did not leave.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas

from dqn_ref.agents import load_agent
from dqn_ref.course.bands import shipped_band
from dqn_ref.course.figures import BLUE, GREY, ORANGE, VERMILION, figure
from dqn_ref.course.recorded import record_game
from dqn_ref.course.xray import ATARI_DECISIONS, XRay
from dqn_ref.reporting import SCORE_GAMES
from dqn_ref.video import write_gif

RESULTS = Path(__file__).parent
ROOT = RESULTS.parent
FIGURES = RESULTS / "figures"
BEGIN, END = "<!-- made by `make results`, do not edit -->", "<!-- end -->"

# The agent on the front page, of the three seeds the one with the best training games, and the
# first game of an evaluation.
SHOWN, SHOWN_SEED, SHOWN_EPSILON = "breakout-laptop-seed-1", 0, 0.05
FIRST, DECISIONS = 60, 96  # six seconds; more of them would not fit into 3 MB

# As their authors report them; what they do not say is left empty.
PUBLISHED = (
    (
        "[CleanRL](https://docs.cleanrl.dev/rl-algorithms/dqn/), `dqn_atari.py`", "366.9",
        "learning", "10 million", "training's last", "0.01", "",
    ),
    (
        "[Stable-Baselines3's zoo]"
        "(https://github.com/DLR-RM/rl-baselines3-zoo/blob/master/benchmark.md)",
        "358.3 ± 62.0 (std)", "last, one run", "10 million", "55", "", "",
    ),
    (
        "[PFRL](https://github.com/pfnet/pfrl/tree/master/examples/atari/reproduction/dqn)",
        "352.5", "best, several seeds", "50 million", "30 each", "0.05", "18,000",
    ),
    (
        "[Mnih et al. 2015](https://doi.org/10.1038/nature14236), Extended Data Table 2",
        "401.2 ± 26.9 (std)", "best", "50 million", "30", "0.05", "18,000",
    ),
)  # fmt: skip
HEAD = (
    "Breakout, full games, unclipped points", "score", "network", "agent steps", "games",
    "epsilon", "frames at most",
)  # fmt: skip


def runs() -> dict[str, dict]:
    """Descriptions of the trained agents, by name."""
    paths = sorted(RESULTS.glob("*/about.json"))
    return {path.parent.name: json.loads(path.read_text()) for path in paths}


def table() -> str:
    """Every agent of this folder beside the published ones, each with its protocol."""
    rows = [
        _row(*HEAD),
        _row(*["---"] * len(HEAD)),
        _row("random play, chapter 00", "0.9", "none", "", "30", "1", ""),
    ]
    for name, about in runs().items():
        minutes = about["wall_seconds"] / 60
        cores = "one thread of a busy machine" if "--threads 1" in about["command"] else "two cores"
        who = f"[{name}](results/{name}/about.json), {minutes:.0f} minutes on {cores}"
        for played in about["evaluations"]:
            error = played["std"] / np.sqrt(played["games"])
            rows.append(
                _row(
                    who,
                    f"{played['mean']:.1f} ± {error:.1f}",
                    "last",
                    f"{about['agent_steps']:,}",
                    played["games"],
                    played["epsilon"],
                    f"{played['max_frames_per_game']:,}",
                )
            )
            who = "the same"
    rows += [_row(*published) for published in PUBLISHED]
    return "\n".join(rows)


def _row(*cells) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def with_table(page: str, made: str) -> str:
    """A page with the part between its two marks replaced."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{made}\n\n{END}{rest.split(END, 1)[1]}"


def moving_mean(games: Path, by: str) -> tuple[np.ndarray, np.ndarray]:
    """The mean of the last 100 games over the column `by` of a games.csv."""
    log = pandas.read_csv(games)
    return log[by].to_numpy(), log["score"].rolling(SCORE_GAMES, min_periods=10).mean().to_numpy()


def draw_learning() -> None:
    """Scores over the minutes, beside Stable-Baselines3, and over the steps, with the band."""
    drawing, (by_time, by_steps) = figure(12.0, 4.0, 2)
    for number, run in enumerate(sorted(RESULTS.glob("breakout-laptop-seed-*"))):
        label = None if number else "laptop, seeds 0, 1, 2"
        seconds, scores = moving_mean(run / "games.csv", "wall_seconds")
        by_time.plot(seconds / 60, scores, color=BLUE, label=label)
        steps, scores = moving_mean(run / "games.csv", "agent_steps")
        by_steps.plot(steps / 1000, scores, color=BLUE, label=label)
    other = RESULTS / "time-to-score" / "sb3-seed-0" / "games.csv"
    for ax, by, unit in ((by_time, "wall_seconds", 60), (by_steps, "agent_steps", 1000)):
        at, scores = moving_mean(other, by)
        ax.plot(at / unit, scores, color=VERMILION, label="Stable-Baselines3, seed 0")
    steps, scores = moving_mean(RESULTS / "breakout-laptop" / "games.csv", "agent_steps")
    short = steps < 400_000
    early = "an early laptop: one-step returns, eight games"
    by_steps.plot(steps[short] / 1000, scores[short], color=ORANGE, label=early)
    band = shipped_band("breakout")
    by_steps.fill_between(
        band.steps / 1000, band.low, band.high, color=GREY, alpha=0.2, linewidth=0,
        label="where 95 of 100 further seeds are expected",
    )  # fmt: skip
    by_time.set(xlabel="minutes on two cores", ylabel="points, mean of the last 100 games")
    by_steps.set(xlabel="agent steps (thousands)")
    for ax in (by_time, by_steps):
        ax.legend(loc="upper left", fontsize=10)
        ax.set_ylim(0, 60)
    drawing.savefig(FIGURES / "learning.png", dpi=110, metadata={"Software": None})


def draw_agent() -> None:
    """Some seconds of the agent at play, with what it sees and thinks, as a GIF."""
    recipe, agent = load_agent(RESULTS / SHOWN, precision="fp32")
    frames = 4 * (FIRST + DECISIONS) + 400  # of the game; no-ops and lives cost some
    game = record_game(recipe, agent.q_values, SHOWN_EPSILON, SHOWN_SEED, frames)
    drawing = XRay(game, (FIRST, FIRST + DECISIONS))
    pictures = map(drawing.pixels, range(FIRST, FIRST + DECISIONS))
    write_gif(pictures, FIGURES / "agent.gif", ATARI_DECISIONS)


def main() -> None:
    FIGURES.mkdir(exist_ok=True)
    page = ROOT / "README.md"
    text = page.read_text(encoding="utf-8")
    page.write_text(with_table(text, table()), encoding="utf-8")
    draw_learning()
    draw_agent()
    for path in sorted(FIGURES.iterdir()):
        print(f"{path.relative_to(ROOT)}  {path.stat().st_size / 1000:,.0f} kB")


if __name__ == "__main__":
    main()
