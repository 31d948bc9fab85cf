"""The report for people: a table, the machine, the floor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.floor import format_floor

BUSY_LIMIT = 0.05  # share of the machine used by others above which the report says so


def format_report(report: dict[str, Any]) -> str:
    """What `benchmarks.throughput.measure` returns, as text."""
    measurements = report["measurements"].values()
    entries = [entry for measured in measurements for entry in measured["contenders"].values()]
    lines = [*_align(list(_rows(report))), "", *_machine_lines(report)]
    busy = max(share for entry in entries for share in entry["busy_elsewhere_by_block"])
    if busy > BUSY_LIMIT:
        lines.append(
            f"Other programs used up to {busy:.0%} of the machine during a block: "
            "measure again when it is idle."
        )
    for measured in measurements:
        for name, floor in measured["floors"].items():
            lines += ["", *format_floor(name, floor)]
    return "\n".join(lines)


def _rows(report: dict[str, Any]) -> Iterator[Sequence[str]]:
    ratio_to = f"x {report['reference']}" if report["reference"] else "ratio"
    yield (
        "contender", "instructions", "steps/s", "slowest-fastest block", ratio_to,
        "steps", "updates", "threads", "precision", "resident MiB", "bytes/transition",
    )  # fmt: skip
    for measured in report["measurements"].values():
        for name, entry in measured["contenders"].items():
            speeds = entry["steps_per_second_by_block"]
            yield (
                name,
                entry["cpu_capability"],
                f"{entry['steps_per_second']:.1f}",
                f"{min(speeds):.1f}-{max(speeds):.1f}",
                f"{entry['ratio']['of_medians']:.2f}" if entry["ratio"] else "-",
                f"{entry['steps']:,}",
                f"{entry['updates']:,}",
                str(entry["threads"]),
                entry["precision"],
                f"{entry['resident_mib']:.0f}",
                f"{entry['bytes_per_transition']:,.0f}",
            )


def _align(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns of equal width: names to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        figures = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        yield "  ".join([name.ljust(widths[0]), *figures])


def _machine_lines(report: dict[str, Any]) -> list[str]:
    machine = report["machine"]
    lines = [
        f"{machine['cpu_model']}, {machine['cores_usable']} cores, Python {machine['python']}, "
        f"{report['date']}",
        ", ".join(f"{name} {version}" for name, version in report["versions"].items()),
    ]
    if machine["environment"]:
        lines.append(" ".join(f"{k}={v}" for k, v in machine["environment"].items()))
    for label, measured in report["measurements"].items():
        if measured["environment"]:
            limits = " ".join(f"{k}={v}" for k, v in measured["environment"].items())
            lines.append(f"rows {label}: {limits}")
    return lines
