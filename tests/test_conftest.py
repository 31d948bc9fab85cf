"""With CI=true a skip is a failure, except for tests that need CUDA."""

from pathlib import Path

import pytest

TESTS = """
import pytest

@pytest.mark.skip(reason="not today")
def test_marked(): pass

def test_called(): pytest.skip("nor now")

@pytest.mark.cuda
def test_gpu(): pytest.skip("no GPU here")

@pytest.mark.xfail(reason="known", strict=True)
def test_known(): assert False

def test_good(): pass
"""


@pytest.fixture
def project(pytester, monkeypatch):
    pytester.makeconftest((Path(__file__).parent / "conftest.py").read_text())
    pytester.makeini("[pytest]\nmarkers = cuda: needs a GPU")
    monkeypatch.delenv("CI", raising=False)
    return pytester


def test_skips_fail_in_ci(project, monkeypatch):
    project.makepyfile(TESTS)
    monkeypatch.setenv("CI", "true")
    result = project.runpytest("-p", "no:xdist")
    # A mark skips before the test begins, which pytest calls an error.
    result.assert_outcomes(errors=1, failed=1, skipped=1, xfailed=1, passed=1)
    result.stdout.fnmatch_lines(["*counts as a failure where CI=true*not today*"])


def test_skips_are_skips_elsewhere(project):
    project.makepyfile(TESTS)
    project.runpytest("-p", "no:xdist").assert_outcomes(skipped=3, xfailed=1, passed=1)


def test_module_that_skips_itself_fails_in_ci(project, monkeypatch):
    project.makepyfile("import pytest\npytest.importorskip('no_such_module_anywhere')")
    monkeypatch.setenv("CI", "true")
    assert project.runpytest("-p", "no:xdist").ret != 0
