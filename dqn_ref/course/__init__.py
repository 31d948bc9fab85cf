"""What the notebooks use to teach. The agent in `dqn_ref` never imports it.

from dqn_ref.course import begin, check, compare, progress, provenance
"""

# These modules load neither PyTorch nor IPython before they are called, so that the command line
# stays quick. Two functions are named like the modules they live in: imported here, once and for
# all, the names mean the functions.
from dqn_ref.course.checking import CheckFailed, check
from dqn_ref.course.compare import compare
from dqn_ref.course.home import begin
from dqn_ref.course.progress import progress, provenance
from dqn_ref.course.shipped import shipped_run

__all__ = ["CheckFailed", "begin", "check", "compare", "progress", "provenance", "shipped_run"]
