"""The replay memory's bill, as the operating system sees it."""

import subprocess
import sys

FILL = """
import numpy as np, psutil, torch
from dqn_ref.replay import FrameRing
resident = psutil.Process().memory_info
lanes, frames = 16, {frames}
picture = torch.ones((lanes, 84, 84), dtype=torch.uint8)
no, zeros = np.zeros(lanes, bool), np.zeros(lanes, np.int64)

def filled(frames):
    ring = FrameRing(frames, lanes)
    ring.begin(picture)
    for _ in range(ring.time_rows + 3):
        ring.add(zeros, zeros.astype(np.float32), no, no, no, picture)
    return ring

filled(1_000)  # what libraries load at first use is not the ring's
before = resident().rss
ring = filled(frames)
{extra}
print((resident().rss - before) / frames)
"""


def resident_bytes_per_frame(extra: str = "") -> float:
    """Of a ring of 60,000 frames that was filled, in a process of its own."""
    program = FILL.format(frames=60_000, extra=extra)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def test_a_full_ring_takes_what_it_says():
    """Bug: a second copy of the frames, or of the flags in eight bytes each, beside the ring."""
    assert 7_056 < resident_bytes_per_frame() <= 7_100


def test_that_sees_a_second_copy():
    assert resident_bytes_per_frame("copy = ring.frames.clone()") > 14_000
