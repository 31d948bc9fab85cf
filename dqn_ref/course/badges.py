"""The badge under a check: one line that says how a piece does, in HTML and in plain text.

The letters take the colour of the notebook's theme; the mark and the bar beside it have one that is
seen on light and on dark ground.
"""

from __future__ import annotations

import html
import re
import sys
import textwrap
import uuid
from dataclasses import dataclass

PASSED, FAILING, OPEN = "✅", "❌", "◻"
_COLOURS = {PASSED: "#009E73", FAILING: "#D55E00", OPEN: "#767676"}


_SHOWN_LINES = 12  # of what a piece printed; more are folded


@dataclass(frozen=True)
class Badge:
    """What a check says. `code` in backquotes and *emphasis* are rendered as such."""

    mark: str  # PASSED, FAILING or OPEN
    name: str  # of the piece
    sentence: str  # follows the name, with the space or colon between them
    notes: tuple[str, ...] = ()  # a line each
    picture: str | None = None  # data URI
    picture_alt: str = ""
    output: str = ""  # what the piece printed
    is_saved: bool = False

    @property
    def text(self) -> str:
        """Plain text: the line, then notes and output, indented."""
        lines = [f"{self.mark} `{self.name}`{self.sentence}", *self.notes]
        if self.output:
            lines += ["It printed:", textwrap.indent(self.output.rstrip("\n"), "    ")]
        return "\n  ".join(lines)

    @property
    def html(self) -> str:
        parts = [f"{self.mark} <code>{html.escape(self.name)}</code>{_rendered(self.sentence)}"]
        parts += [f'<div style="opacity: 0.8">{_rendered(note)}</div>' for note in self.notes]
        if self.picture:
            alt = html.escape(self.picture_alt, quote=True)
            source = html.escape(self.picture, quote=True)
            parts.append(f'<div><img style="max-width: 100%" alt="{alt}" src="{source}"></div>')
        if self.output:
            unfolded = " open" * (self.output.count("\n") < _SHOWN_LINES)
            parts.append(
                f"<details{unfolded}><summary>It printed</summary>"
                f"<pre>{html.escape(self.output)}</pre></details>"
            )
        style = f"border-left: 4px solid {_COLOURS[self.mark]}; padding: 0.2em 0.8em; margin: 0.2em"
        return f'<div class="dqn-check" style="{style}">{"".join(parts)}</div>'


def _rendered(text: str) -> str:
    escaped = html.escape(text, quote=False)
    parts = re.split(r"(`[^`]*`)", escaped)  # no emphasis inside code: a * b * c
    return "".join(
        f"<code>{part[1:-1]}</code>"
        if part.startswith("`") and part.endswith("`") and len(part) > 1
        else re.sub(r"(?<!\w)\*(\w[^*\n]*)\*(?!\w)", r"<em>\1</em>", part)
        for part in parts
    )


class Display:
    """The place of a badge: an output of the cell, or lines where there is no notebook."""

    def __init__(self):
        self._id = uuid.uuid4().hex
        self._lines: list[str] = []

    def show(self, badge: Badge) -> None:
        """Show a badge for the first time."""
        if _has_frontend():
            self._send(badge, update=False)
        else:
            print(badge.text)
        self._lines = badge.text.split("\n")

    def update(self, badge: Badge) -> None:
        """Show what a badge has become, in the same place if the notebook can do that."""
        if _has_frontend():
            self._send(badge, update=True)
        else:
            first, *notes = badge.text.split("\n")
            new = [note for note in notes if note not in self._lines]
            if first != self._lines[0]:
                new = ["  " + first.removeprefix(self._lines[0]).removeprefix(" · "), *new]
            print("\n".join(new))
        self._lines = badge.text.split("\n")

    def _send(self, badge: Badge, update: bool) -> None:
        from IPython.display import display

        data = {"text/plain": badge.text, "text/html": badge.html}
        display(data, raw=True, display_id=self._id, update=update)


def _has_frontend() -> bool:
    """Whether outputs can be shown as HTML and changed later: in a kernel, not in a terminal."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return hasattr(get_ipython(), "kernel")
