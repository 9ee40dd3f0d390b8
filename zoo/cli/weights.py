"""What the commands that take weights share."""

from __future__ import annotations

from zoo.weights.checkpoint import Checkpoint


def model_of(checkpoint: Checkpoint, given: str | None) -> str:
    """The name of the model that weights are for.

    Raises:
        ValueError: if it is neither given nor known.
    """
    name = given or checkpoint.model
    if name is None:
        raise ValueError(f"{checkpoint.path} does not tell which model it is of; name it by --model")
    return name


def imagenet_names(count: int) -> list[str] | None:
    """The names of ImageNet's classes, if there are as many."""
    from tensorflow_datasets.datasets.siscore.labels import IMAGENET_LABELS_LIST

    if count != len(IMAGENET_LABELS_LIST):
        return None
    return [synonyms.split(",")[0] for synonyms in IMAGENET_LABELS_LIST]
