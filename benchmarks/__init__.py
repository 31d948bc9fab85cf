"""Speed beside the peers. `python -m benchmarks.throughput` is the way in."""
