"""The benchmark's contender `single`, a loop written out in this repository.

Its tests need Stable-Baselines3, which is not among what tests may count on.
"""

import numpy as np
import torch

from benchmarks import throughput
from benchmarks.peers import Settings

if not throughput.missing_packages(["single"]):
    from benchmarks.single_loop import SingleLoopWorker

    def small(**changes) -> SingleLoopWorker:
        settings = dict(warm_transitions=64, settle_steps=0, memory_transitions=1_000)
        return SingleLoopWorker(Settings(**settings | changes), threads=1)

    def same_weights(a: torch.nn.Module, b: torch.nn.Module) -> bool:
        return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))

    def test_it_plays_at_random_first_and_then_trains_every_fourth_step():
        """Updates before the memory is filled, or counted in steps of its own."""
        worker = small()
        try:
            worker.warm_up()
            facts = worker.facts()
            assert (facts["transitions_stored"], facts["epsilon"]) == (64, 0.1)
            assert worker._updates == 0
            assert [worker.run_block(steps) for steps in (4, 6, 2)] == [(4, 1), (6, 1), (2, 1)]
            assert worker.facts()["transitions_stored"] == 76
        finally:
            worker.close()

    def test_the_target_network_is_copied_when_its_time_comes_and_only_then():
        """A target that never moves, or that shares its weights, costs no time and learns less."""
        worker = small(target_update_steps=8)
        try:
            worker.warm_up()
            assert same_weights(worker._online, worker._target)
            worker.run_block(4)
            assert not same_weights(worker._online, worker._target)
            worker.run_block(4)
            assert same_weights(worker._online, worker._target)
        finally:
            worker.close()

    def test_states_are_stacks_of_moving_pictures_and_a_lost_life_ends_the_episode():
        """A stack that does not move on, empty pictures, or a memory that knows no end."""
        worker = small(warm_transitions=300)
        try:
            worker.warm_up()
            states = worker._memory.observations[:300, 0]
            assert states.shape == (300, 4, 84, 84) and states.dtype == np.uint8
            ends = worker._memory.dones[:299, 0].astype(bool)
            assert 1 <= ends.sum() < 30
            going_on = ~ends
            assert np.array_equal(states[1:][going_on, :3], states[:-1][going_on, 1:])
            assert states.max() > 100
            assert set(np.unique(worker._memory.rewards)) <= {-1.0, 0.0, 1.0}
        finally:
            worker.close()
