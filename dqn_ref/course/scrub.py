from dqn_ref.course.recorded import record_game  # noqa: F401
from dqn_ref.course.xray import scrub  # noqa: F401
