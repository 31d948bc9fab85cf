"""The updates of a turn as one CUDA graph.

An update is some sixty small kernels, and on a big GPU it takes longer to launch them than to run
them. A graph is recorded once and launched whole::

    host      draw integers --> copy --> launch ................ (emulators run meanwhile)
    device                      slots -> gather -> targets -> K x (forward, backward, optimiser)

Recorded is the same function that the eager path calls. Graphs know addresses, not names:
everything that lives on must stay where it is, so weights are restored in place after the
warm-up, and results are cloned before the next launch overwrites them.

Source: PyTorch's notes on CUDA graphs ("whole-network capture").
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from dqn_ref.hardware import to_device
from dqn_ref.learner import Learner, Metrics
from dqn_ref.replay import Batch, FrameRing

_WARM_UP_CALLS = 3  # as PyTorch's notes have it: libraries choose their kernels in these


class GroupOfUpdates:
    """`count` updates on minibatches drawn from `memory`, between two copies of the target.

    Args:
        memory: on the learner's device.
        learner: all its pieces the reference's.
        count: updates in the group.
        batch_size: transitions per update.
    """

    def __init__(self, memory: FrameRing, learner: Learner, count: int, batch_size: int):
        self.memory, self.learner, self.size = memory, learner, count
        self.batch_size = batch_size
        self._slots = torch.zeros(count * batch_size, dtype=torch.int64, device=memory.device)
        self._replay: Callable[[], tuple[torch.Tensor, torch.Tensor]] | None = None

    def __call__(self, rng: np.random.Generator) -> list[Metrics]:
        """Draw, and make the updates: one entry, their mean loss and Q."""
        slots = self.memory.draw(len(self._slots), rng)
        self._slots.copy_(to_device(slots, self.memory.device))
        if self._replay is None:
            self._replay = self._record() if self.memory.device.type == "cuda" else self.run
        loss, q_mean = self._replay()
        self.learner.count(self.size)
        return [Metrics(loss.clone(), q_mean.clone())]

    def run(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The updates on the transitions in the slots: mean loss and mean Q, 0-d."""
        fields = zip(*(f.split(self.batch_size) for f in self._gathered()), strict=True)
        metrics = self.learner.update_between_copies([Batch(*field) for field in fields])
        loss = torch.stack([m.loss for m in metrics]).mean()
        return loss, torch.stack([m.q_mean for m in metrics]).mean()

    def _gathered(self) -> Batch:
        return self.memory.gather_slots(self._slots)

    def _record(self) -> Callable[[], tuple[torch.Tensor, torch.Tensor]]:
        restore = _snapshot(self.learner)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP_CALLS):
                self.run()
        torch.cuda.current_stream().wait_stream(side)
        self.learner.parts.optimizer.zero_grad(set_to_none=True)
        restore()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            results = self.run()  # recorded, not executed

        def replay() -> tuple[torch.Tensor, torch.Tensor]:
            graph.replay()
            return results

        return replay


def _snapshot(learner: Learner) -> Callable[[], None]:
    """Remember weights and optimiser; the result puts them back, in place.

    What the optimiser did not have yet begins at zero, as all its quantities do.
    """
    weights = [p.detach().clone() for p in learner.online.parameters()]
    state = {
        (parameter, name): value.clone()
        for parameter, quantities in learner.optimizer.state.items()
        for name, value in quantities.items()
    }

    @torch.no_grad()
    def restore() -> None:
        for parameter, before in zip(learner.online.parameters(), weights, strict=True):
            parameter.copy_(before)
        for parameter, quantities in learner.optimizer.state.items():
            for name, value in quantities.items():
                if (parameter, name) in state:
                    value.copy_(state[parameter, name])
                else:
                    value.zero_()
        learner.refresh()

    return restore
