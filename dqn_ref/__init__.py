"""The course's reference agent: deep Q-learning on Atari from pixels, one small module per piece.

Read the modules in the order in which data flows: frames, environments, replay, network,
exploration, learner, training, evaluation, video. `python -m dqn_ref --help` lists the commands.
"""

__version__ = "0.1.0"
