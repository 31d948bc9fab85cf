"""Errors that a user can cause; each message says what to do, in one sentence.

(`dqn_ref.recipes.RecipeError` is one more.) They stand apart from the modules that raise them so
that the command line, and above all `doctor`, starts without loading PyTorch or ALE.
"""


class UserError(Exception):
    """In a notebook its sentence is shown, without the lines of the course's own code."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback."""
        return [f"{type(self).__name__}: {self}"]


class CheckpointError(UserError, ValueError):
    """A file of weights or a checkpoint that cannot be used."""


class RunError(UserError, RuntimeError):
    """A run that cannot start or go on."""
