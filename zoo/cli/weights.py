"""What the commands that take weights share."""

from __future__ import annotations


def imagenet_names(count: int) -> list[str] | None:
    """The names of ImageNet's classes, if there are as many."""
    from tensorflow_datasets.datasets.siscore.labels import IMAGENET_LABELS_LIST

    if count != len(IMAGENET_LABELS_LIST):
        return None
    return [synonyms.split(",")[0] for synonyms in IMAGENET_LABELS_LIST]
