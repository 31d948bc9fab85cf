"""Names for the numbers that may turn up in an update where others belong."""

from __future__ import annotations

import numpy as np
import torch

from dqn_ref.course.catalogue.learning_facts import flat, numbers
from dqn_ref.learner import LearnerParts, huber_loss, td_targets
from dqn_ref.replay import Batch

TAKEN = "Q of the actions taken"


class Known:
    """Everything that might be taken for something else in an update, by its name."""

    @torch.no_grad()
    def __init__(self, parts: LearnerParts, batch: Batch):
        self.batch, self.target_before = batch, parameters(parts.target)
        self.values: dict[str, torch.Tensor] = {}
        for states in ("states", "next_states"):
            for about in (f"`{states}`", f"`{states}` divided by 255"):
                self._note("the online network", parts.online, states, about)
                self._note("the target network", parts.target, states, about)
        online, target = (n(batch.next_states).float() for n in (parts.online, parts.target))
        usual = batch.rewards, batch.discounts, batch.terminated, target
        targets = td_targets(*usual, *([online] if parts.double else []))
        self.values["the targets"] = targets
        self.losses = huber_loss(self.values[TAKEN], targets, parts.huber_delta)
        for name in ("rewards", "discounts", "terminated"):
            self.values[f"`batch.{name}`"] = getattr(batch, name)

    def _note(self, name: str, network: torch.nn.Module, states: str, about: str) -> None:
        seen = getattr(self.batch, states)
        values = network(seen / 255 if "255" in about else seen).float()
        where = "" if about == "`states`" else f" in {about}"
        where += "" if name == "the online network" else f" of {name}"
        self.values[f"what {name} says of {about}"] = values
        self.values[TAKEN + where] = values.gather(1, self.batch.actions[:, None]).squeeze(1)
        self.values[f"the largest Q{where}"] = values.max(dim=1).values
        self.values[f"the mean of Q over all actions{where}"] = values.mean(dim=1)
        self.values[f"Q of action 0{where}"] = values[:, 0]
        self.values[f"`q[:, actions]`{where}"] = values[:, self.batch.actions]

    def words(self, values: torch.Tensor | None) -> str:
        """What these values are."""
        if values is None:
            return "None"
        for name, known in self.values.items():
            if values.numel() == known.numel() and np.allclose(flat(values), flat(known), 1e-4):
                return name
        few = ", ".join(str(bool(v)) for v in values.flatten()[:4])
        shown = few if values.dtype == torch.bool else numbers(flat(values)[:4])
        return shown + (", …" if values.numel() > 4 else "")


def parameters(network: torch.nn.Module) -> np.ndarray:
    return np.concatenate([flat(p) for p in network.parameters()])


def atol_of(values: np.ndarray) -> float:
    """What sums of large numbers in another order may be apart."""
    return 1e-5 * max(1.0, float(np.abs(values).max(initial=0)))
