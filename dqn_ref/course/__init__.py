"""What the notebooks use to teach. The agent in `dqn_ref` never imports it."""
