"""Fit report: validation log likelihoods of each part of a fitted user model."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["FitReport", "PartReport"]


@dataclass(frozen=True)
class PartReport:
    """One part and a simple reference; log likelihoods are means per observation in nats."""

    part: str
    observations: int
    log_likelihood: float
    reference: str
    reference_log_likelihood: float

    @property
    def gain(self) -> float:
        """Gain over the reference in nats per observation; a useful part has a positive gain."""
        return self.log_likelihood - self.reference_log_likelihood


@dataclass(frozen=True)
class FitReport:
    """Reports of the parts of a user model on validation observations."""

    parts: tuple[PartReport, ...]

    def to_json(self) -> list[dict[str, Any]]:
        """One record per part."""
        return [asdict(part) for part in self.parts]

    @classmethod
    def from_json(cls, records: Iterable[dict[str, Any]]) -> "FitReport":
        """Build the report from records of `to_json`."""
        return cls(tuple(PartReport(**record) for record in records))

    def to_markdown(self) -> str:
        """The report as a Markdown table."""
        lines = [
            "| part | observations | log likelihood | reference | its log likelihood | gain |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        lines += [
            f"| {part.part} | {part.observations:,} | {part.log_likelihood:.4f} |"
            f" {part.reference} | {part.reference_log_likelihood:.4f} | {part.gain:+.4f} |"
            for part in self.parts
        ]
        lines += [
            "",
            "Log likelihoods are in nats per validation observation. Gains are slightly optimistic:"
            " early stopping and calibration use the same rows.",
        ]
        return "\n".join(lines)
