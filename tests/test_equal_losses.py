"""A solution's pieces and the reference's give the same losses, whatever the course exchanges.

Each piece is taken out of the chapters' sources as it stands there, with the markers removed.
"""

import ast
import re
from dataclasses import fields

import pytest
from own_folder import MEMORY, own_folder

from dqn_ref.course.compare import solution_sources, solution_text
from dqn_ref.own_pieces import load_pieces
from dqn_ref.pieces import CONTRACTS, REFERENCE, Pieces
from dqn_ref.recipes import get_recipe
from dqn_ref.runs import train

STEPS = 2_000


def solved_text(path, name):
    """A module with a solution's piece and what it needs of its chapter, by name."""
    statements = ast.parse(path.read_text(encoding="utf-8")).body
    binding = {bound: s for s in statements for bound in _bound(s)}
    needed, waiting = set(), [binding[name]]
    while waiting:
        statement = waiting.pop()
        if statement not in needed:
            needed.add(statement)
            read = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
            waiting += [binding[each] for each in read if each in binding]
    parts = [
        solution_text(path, s.name) if hasattr(s, "name") else ast.unparse(s)
        for s in statements
        if s in needed
    ]
    return "\n\n\n".join(parts) + "\n"


def _bound(statement):
    """Names that a statement gives a value to."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return [statement.name]
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return [alias.asname or alias.name.split(".")[0] for alias in statement.names]
    # A variable of the notebook's is no part of a piece, whose own scopes may use its name.
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    return [t.id for t in targets if isinstance(t, ast.Name) and t.id.isupper()]


def written_here():
    """The agent's pieces that a chapter here lets a learner write, with that chapter's source."""
    found = {}
    for path in solution_sources():
        text = path.read_text(encoding="utf-8")
        for name in (field.name for field in fields(Pieces)):
            defined = re.search(rf"^(def|class) {name}\b", text, re.MULTILINE)
            if defined and CONTRACTS[name].chapter == path.name[:2]:
                found[name] = path
    return found


HERE = written_here()
# Each alone, and all at once.
TOGETHER = [(name,) for name in HERE] + ([tuple(HERE)] if len(HERE) > 1 else [])


def losses(pieces, folder, steps=STEPS):
    """Loss of every update: one lane, CPU, fp32."""
    recipe = get_recipe(
        "gallery", lanes=1, total_steps=steps, learning_starts=200, memory_frames=4_000, seed=3,
        frame_height=20, frame_width=20, architecture="mnih2013", batch_size=8,
        target_every_steps=100, device="cpu", precision="fp32", threads=1, updates_at_once=1,
        log_every_steps=STEPS, checkpoint_every_steps=10 * STEPS,
    )  # fmt: skip
    seen = []
    train(
        recipe, folder, pieces, show_bar=False,
        on_step=lambda parts: seen.extend(float(m.loss) for m in parts.metrics),
    )  # fmt: skip
    assert len(seen) == (steps - 200) // recipe.train_every_steps - 1
    assert len(set(seen)) > len(seen) // 2  # it learns something
    return seen


@pytest.fixture(scope="module")
def reference_losses(tmp_path_factory):
    return losses(REFERENCE, tmp_path_factory.mktemp("reference") / "run")


def check_equal(texts, reference_losses, folder, steps=STEPS):
    pieces = load_pieces(own_folder(folder / "pieces", **texts))
    assert pieces.yours == [name for name in (f.name for f in fields(Pieces)) if name in texts]
    own = losses(pieces, folder / "run", steps)
    assert own == pytest.approx(reference_losses[: len(own)], rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("names", TOGETHER, ids=" ".join)
def test_solutions_give_the_losses_of_the_reference(names, reference_losses, tmp_path):
    """A contract that solution and reference, or two solutions, read differently."""
    texts = {name: solved_text(HERE[name], name) for name in names}
    check_equal(texts, reference_losses, tmp_path)


def test_there_is_something_to_compare():
    """A search for solutions that finds none, and a test that passes for that reason."""
    assert TOGETHER and set(HERE) <= set(CONTRACTS)


WRONG = {
    "rewards of the step after": "rewards=batch.rewards.roll(1)",
    "next states equal to states": "next_states=batch.states",
    "nothing terminates": "terminated=batch.terminated & False",
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_equal_rejects(change, reference_losses, tmp_path):
    text = (
        "from dqn_ref import replay\n\n\nclass ReplayMemory(replay.ReplayMemory):\n"
        "    def sample(self, batch_size, rng):\n"
        "        batch = super().sample(batch_size, rng)\n"
        f"        return batch._replace({change})\n"
    )
    with pytest.raises(AssertionError):
        check_equal({"ReplayMemory": text}, reference_losses, tmp_path, steps=500)


def test_equal_accepts_another_make(reference_losses, tmp_path):
    """A comparison so strict, or a loop so particular, that only the reference's own passes."""
    check_equal({"ReplayMemory": MEMORY}, reference_losses, tmp_path, steps=500)
