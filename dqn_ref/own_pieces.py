"""A learner's pieces in an agent: read from their folder, kept with the run, fitted to a recipe.

    my_dqn/ ── load_pieces ──> OwnPieces ── train ──> runs/first/pieces/*.py   as they were read
                                   ↑                  runs/first/pieces.json   whose they are
                                   └───── kept_pieces ────────────┘
                                   resume, evaluate, watch

A run keeps the pieces that it was trained with: it stays what it was when `my_dqn` changes later,
and can be played when `my_dqn` is gone. A new version of a piece is for a new run.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from dqn_ref import piece_files
from dqn_ref.environments import SMALL_GAMES
from dqn_ref.errors import RunError
from dqn_ref.pieces import CONTRACTS, REFERENCE, Pieces
from dqn_ref.settings import Recipe
from dqn_ref.wrapped_lane import Wrappers, why_not

AGENT_PIECES = tuple(field.name for field in fields(Pieces))
COPY_FOLDER, COPY_INDEX = "pieces", "pieces.json"  # in the folder of a run
_VERSION = 1


@dataclass(frozen=True)
class OwnPieces(Pieces):
    """Pieces of which some come from a folder; see `load_pieces`."""

    folder: Path = Path()
    # Everything in that folder that may be needed: name of the file -> its bytes.
    sources: Mapping[str, bytes] = field(default_factory=dict, repr=False, compare=False)

    @property
    def yours(self) -> list[str]:
        """Names of the pieces that are not the reference's."""
        return [name for name in AGENT_PIECES if not self.is_reference(name)]

    def __str__(self) -> str:
        rest = len(AGENT_PIECES) - len(self.yours)
        return f"yours, from {self.folder}: {', '.join(self.yours)}; the reference's: {rest} others"


def load_pieces(folder: Path) -> OwnPieces:
    """The pieces in a folder, the reference's where there is none.

    Only pieces that are a part of the agent are read, so a broken file of another chapter's
    exercise is in nobody's way.

    Args:
        folder: such as `my_course/my_dqn`; see `dqn_ref.piece_files`.
    Raises:
        RunError: if there is no such folder or no piece in it, or one of them does not work.
    """
    if not folder.is_dir():
        kind = "is a file, name its folder" if folder.exists() else "does not exist"
        raise RunError(f"{folder} {kind}; pieces come there when they pass a chapter's check")
    there = piece_files.pieces_in(folder, CONTRACTS)
    names = [name for name in there if name in AGENT_PIECES]
    if not names:
        only = f" ({', '.join(there)} is needed in its chapter only)" if there else ""
        raise RunError(
            f"{folder} holds no piece of the agent{only}; let one pass its chapter's check, or "
            "leave out --pieces to train with the reference's"
        )
    remedy = "mend it, or let the chapter's check save it again"
    return _load(folder, names, remedy)


def _load(folder: Path, names: list[str], remedy: str) -> OwnPieces:
    paths = [folder / piece_files.file_name(name) for name in names]
    texts = [piece_files.read(path) for path in paths]
    found = {
        name: piece_files.define(name, text, path, remedy)
        for name, text, path in zip(names, texts, paths, strict=True)
    }
    sources = _neighbours(folder)
    sources |= {path.name: text.encode() for path, text in zip(paths, texts, strict=True)}
    return OwnPieces(**found, folder=folder.absolute(), sources=sources)


def _neighbours(folder: Path) -> dict[str, bytes]:
    """All Python files but the index, which runs other pieces that nobody asked for."""
    paths = [path for path in sorted(folder.glob("*.py")) if path.name != piece_files.INDEX_FILE]
    return {path.name: path.read_bytes() for path in paths if path.is_file()}


def keep_pieces(run_dir: Path, pieces: Pieces) -> None:
    """Copy the files of a learner's pieces into the folder of a run, in place of older ones.

    The index comes last: what a kill leaves half copied is no copy.

    Raises:
        OSError: if it cannot be written.
    """
    folder, index = run_dir / COPY_FOLDER, run_dir / COPY_INDEX
    if isinstance(pieces, OwnPieces) and pieces.folder == folder.absolute():
        return  # it is the copy
    index.unlink(missing_ok=True)
    if folder.exists():
        shutil.rmtree(folder)
    if not isinstance(pieces, OwnPieces):
        return
    folder.mkdir(parents=True)
    for name, content in pieces.sources.items():
        (folder / name).write_bytes(content)
    about = {"version": _VERSION, "folder": str(pieces.folder), "yours": pieces.yours}
    partial = index.with_name(index.name + ".partial")
    partial.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, index)


def kept_names(run_dir: Path) -> list[str]:
    """Names of the pieces that a run was trained with and that are the learner's.

    Raises:
        RunError: if the record of them is damaged.
    """
    index = run_dir / COPY_INDEX
    try:
        about = json.loads(index.read_text(encoding="utf-8"))
        version, names = about["version"], about["yours"]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError):
        version, names = None, None
    sound = isinstance(names, list) and all(name in AGENT_PIECES for name in names)
    if version != _VERSION or not sound:
        raise RunError(
            f"{index} is damaged or of another version of the course, so nobody knows whose pieces "
            "this run has; begin a new run"
        )
    return names


def kept_pieces(run_dir: Path) -> Pieces:
    """The pieces that a run was trained with, from the copy in its folder.

    Raises:
        RunError: if the copy is damaged.
    """
    names = kept_names(run_dir)
    if not names:
        return REFERENCE
    remedy = "this copy belongs to the run: mend it, or begin a new run"
    folder = run_dir / COPY_FOLDER
    missing = [n for n in names if not (folder / piece_files.file_name(n)).is_file()]
    if missing:
        path = folder / piece_files.file_name(missing[0])
        raise RunError(f"{path} is missing, which the run was trained with; begin a new run")
    return _load(folder, names, remedy)


def not_called(recipe: Recipe, yours: Collection[str]) -> list[str]:
    """Parts of the agent that a run never calls, in the order of `AGENT_PIECES`.

    Args:
        recipe: as `fit_recipe` returned it.
        yours: names of the pieces that are the learner's.
    """
    atari = recipe.game not in SMALL_GAMES
    wrapped = atari and not why_not(recipe) and not set(Wrappers._fields).isdisjoint(yours)
    called = {
        "preprocess": not atari or recipe.door == "gym",
        **dict.fromkeys(Wrappers._fields, wrapped and recipe.door == "gym"),
        "NatureRMSProp": recipe.optimizer == "nature_rmsprop",
    }
    return [name for name in AGENT_PIECES if not called.get(name, True)]


def fit_recipe(recipe: Recipe, pieces: Pieces) -> tuple[Recipe, list[str]]:
    """A recipe that lets a learner's pieces do their work, and a sentence about each change."""
    changes, told = {}, []
    if recipe.n_step > 1 and pieces.own_memory:
        changes["n_step"] = 1
        told.append(
            f"n_step is 1 in this run, not the recipe's {recipe.n_step}: a ReplayMemory of one "
            "lane keeps single steps"
        )
    names = ("preprocess", *Wrappers._fields)
    own = [name for name in names if not pieces.is_reference(name)]
    if recipe.door == "ale" and recipe.game not in SMALL_GAMES and own:
        changes["door"] = "gym"
        told.append(
            "door is gym in this run, not the recipe's ale: ALE would use its own rules, not the "
            f"{', '.join(own)} in use"
        )
    fitted = dataclasses.replace(recipe, **changes)
    yours = [name for name in AGENT_PIECES if not pieces.is_reference(name)]
    if idle := [name for name in not_called(fitted, yours) if name in yours]:
        wrapped = recipe.game not in SMALL_GAMES and not set(idle).isdisjoint(Wrappers._fields)
        why = f"; the wrappers know nothing of {why_not(fitted)}" if wrapped else ""
        told.append(f"not called in this run: your {', '.join(idle)}{why}")
    return fitted, told
