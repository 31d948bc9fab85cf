"""What every test shares: one thread per worker, and no silent skips in CI."""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest

# Two workers on two cores: more threads than one each only get in each other's way. Set before
# torch is imported, and inherited by the kernels and programs that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")


# A worker takes whole files. The long ones come first, or one worker would sit on the last of them
# while the other has nothing left to do. (`--no-loadscope-reorder` keeps this order.)
LONG_FILES = ("test_chapters_half_solved", "test_chapters_unsolved", "test_solutions_run")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.stem not in LONG_FILES)


@pytest.fixture(autouse=True, scope="session")
def _learners_work_is_safe():
    """No test, and no notebook that a test runs, touches what a learner keeps here."""
    before = os.environ.get("DQN_COURSE_HOME")
    folder = os.environ["DQN_COURSE_HOME"] = tempfile.mkdtemp(prefix="dqn-course-")
    yield
    shutil.rmtree(folder, ignore_errors=True)
    if before is None:
        del os.environ["DQN_COURSE_HOME"]
    else:
        os.environ["DQN_COURSE_HOME"] = before


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """A run chooses threads and denormals of the whole process: no module leaves them behind."""
    import torch

    torch.set_num_threads(1)
    yield
    torch.set_num_threads(1)
    torch.set_flush_denormal(False)


def _skip_is_failure(report, markers: set[str]) -> bool:
    """In CI nothing is skipped but what needs an NVIDIA GPU. (An expected failure is no skip.)"""
    in_ci = os.environ.get("CI") == "true"
    return in_ci and report.skipped and not hasattr(report, "wasxfail") and "cuda" not in markers


def _fail(report):
    report.longrepr = f"skipped, which counts as a failure where CI=true: {report.longrepr}"
    report.outcome = "failed"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    markers = {marker.name for marker in item.iter_markers()}
    return _fail(report) if _skip_is_failure(report, markers) else report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    """A module that skips itself while it is collected, as `pytest.importorskip` does."""
    report = yield
    return _fail(report) if _skip_is_failure(report, set()) else report
