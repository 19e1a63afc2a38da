"""What became of each array when weights were loaded."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Report:
    """Which arrays fitted and which did not; ``print`` it.

    Attributes:
        fitted: Name in the model -> name in the source.
        unfit: Name in the model -> what was offered and why it does not fit.
        missing: Names in the model that nothing was offered for.
        unexpected: Names in the source that the model has no place for.
        ignored: Names in the source that voxelgrad has no use for.
    """

    fitted: dict[str, str] = field(default_factory=dict)
    unfit: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether every array of the model was found and every one of the source was used."""
        return not (self.unfit or self.missing or self.unexpected)

    def __str__(self) -> str:
        total = len(self.fitted) + len(self.unfit) + len(self.missing)
        renamed = [f"{ours} <- {theirs}" for ours, theirs in self.fitted.items() if ours != theirs]
        return "\n".join(
            [
                f"{len(self.fitted)} of the model's {total} arrays fit",
                *_listed("does not fit", [f"{name}: {why}" for name, why in self.unfit.items()]),
                *_listed("missing in the source", self.missing),
                *_listed("unexpected in the source", self.unexpected),
                *_listed("under another name", renamed),
                *_listed("not needed", self.ignored),
            ]
        )


def _listed(title: str, lines: list[str], shown: int = 20) -> list[str]:
    if not lines:
        return []
    more = [f"  and {len(lines) - shown} more"] if len(lines) > shown else []
    return [f"{title} ({len(lines)}):", *(f"  {line}" for line in lines[:shown]), *more]
