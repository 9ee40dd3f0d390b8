"""What a run keeps of the weights that it started from, so that it can go on when they have moved."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from zoo.preprocessing import Preprocessing
from zoo.weights.checkpoint import Checkpoint
from zoo.weights.numerics import Numerics


@dataclass(frozen=True)
class StartWeights:
    """All that a run takes over from weights but their tensors, which are in its checkpoints.

    Attributes:
        model: the name of the model that they are for; None if nothing tells.
        options: of that model, which they were trained with.
        preprocessing: what images went through before them; None if nothing tells.
        numerics: how the net computes with them; None until they are loaded.
    """

    model: str | None
    options: dict[str, Any]
    preprocessing: Preprocessing | None
    numerics: Numerics | None = None

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> StartWeights:
        """Those of a checkpoint that is not loaded yet."""
        return cls(checkpoint.model, checkpoint.description.get("options", {}), checkpoint.preprocessing)

    def to_json(self) -> str:
        """As a file of a run's directory holds it."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> StartWeights:
        """What `to_json` wrote.

        Raises:
            ValueError: if the text is of another form.
        """
        try:
            values = json.loads(text)
            numerics = Numerics(**values["numerics"])
            preprocessing = None
            if (said := values["preprocessing"]) is not None:
                channels: dict[str, Any] = {name: tuple(said[name]) for name in ("mean", "std")}
                preprocessing = Preprocessing(**said | channels)
            return cls(values["model"], dict(values["options"]), preprocessing, numerics)
        except (KeyError, TypeError) as error:
            raise ValueError(f"it does not describe weights: {error}") from error
