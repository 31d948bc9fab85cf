"""Errors that a user can cause; each message says what to do, in one sentence.

(`dqn_ref.recipes.RecipeError` is the third.) They stand apart from the modules that raise them so
that the command line, and above all `doctor`, starts without loading PyTorch or ALE.
"""


class CheckpointError(ValueError):
    """A file of weights or a checkpoint that cannot be used."""


class RunError(RuntimeError):
    """A run that cannot start or go on."""
