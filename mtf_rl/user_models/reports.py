"""How well each part of a fitted user model explains rows that it was not fitted on."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["FitReport", "PartReport"]


@dataclass(frozen=True)
class PartReport:
    """One part beside a simple reference; log likelihoods are means per observation, in nats."""

    part: str
    observations: int
    log_likelihood: float
    reference: str
    reference_log_likelihood: float

    @property
    def gain(self) -> float:
        """Nats per observation over the reference; a part that gains nothing is useless."""
        return self.log_likelihood - self.reference_log_likelihood


@dataclass(frozen=True)
class FitReport:
    """The parts of a user model, each on validation observations."""

    parts: tuple[PartReport, ...]

    def to_json(self) -> list[dict[str, Any]]:
        """One record per part."""
        return [asdict(part) for part in self.parts]

    @classmethod
    def from_json(cls, records: Iterable[dict[str, Any]]) -> "FitReport":
        """What `to_json` wrote."""
        return cls(tuple(PartReport(**record) for record in records))

    def to_markdown(self) -> str:
        """The report as a table."""
        lines = [
            "| part | validation observations | log likelihood | reference | its | gain |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        lines += [
            f"| {part.part} | {part.observations:,} | {part.log_likelihood:.4f} |"
            f" {part.reference} | {part.reference_log_likelihood:.4f} | {part.gain:+.4f} |"
            for part in self.parts
        ]
        lines += [
            "",
            "Log likelihood in nats per observation. The validation rows also say when to stop and"
            " where to centre, so gains are slightly optimistic.",
        ]
        return "\n".join(lines)
