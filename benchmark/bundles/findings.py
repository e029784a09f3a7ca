"""What the checks of one task found."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Findings:
    """Problems make a bundle invalid; notes say what was not checked, or what to look at."""

    task: str
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def problem(self, text: str) -> None:
        """Note what is wrong."""
        self.problems.append(f"task {self.task}: {text}")

    def note(self, text: str) -> None:
        """Note what a reader should know, once."""
        if text not in self.notes:
            self.notes.append(text)
