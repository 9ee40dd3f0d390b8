"""A data set by its name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from zoo.data import cifar10, fair, image_folder, mask_folder, scenes, segmentation_sets, shapes, tfds_source
from zoo.data.dataset import Dataset, Source
from zoo.preprocessing import Preprocessing


def load(
    name: str,
    directory: Path | None = None,
    *,
    image_size: int = 32,
    train_examples: int | None = None,
    test_examples: int | None = None,
    test_share: float = 0.0,
    skip_unreadable: bool = False,
    random_crops: bool = False,
    preprocessing: Preprocessing | None = None,
    seed: int = 0,
) -> Dataset:
    """Loads a data set.

    Args:
        name: "shapes", "cifar10", "image_folder", or "tfds/NAME" for any other that TFDS has prepared, to classify;
            "scenes", "mask_folder", "oxford_iiit_pet" or "voc2012", to segment.
        directory: where it is; None for the usual place.
        image_size: what pictures are brought to that are not of one size: those of a folder, of Pet and of VOC.
        train_examples: use only that many training examples, a sample as `zoo.data.fair.sample` draws it; None for
            all. TFDS's records do not tell their classes before they are decoded: there each example is as likely.
        test_examples: use only that many test examples, likewise.
        test_share, skip_unreadable: of a folder, see `zoo.data.image_folder.load` and `zoo.data.mask_folder.load`.
        random_crops, preprocessing: of an image folder, see `zoo.data.image_folder.load`.
        seed: of the samples and of the split by `test_share`. `shapes` and `scenes` are drawn from a seed of their own.

    Raises:
        DataUnavailableError: if the data is not there or damaged, and cannot be had.
        ValueError: if there are fewer examples than asked for, or a folder cannot be used.
    """
    if name in ("shapes", "scenes"):
        sizes = {"train_examples": train_examples, "test_examples": test_examples}
        drawn = shapes if name == "shapes" else scenes
        return drawn.load(**{key: size for key, size in sizes.items() if size is not None})
    if name == "cifar10":
        dataset = cifar10.load(directory)
    elif name == "image_folder":
        assert directory is not None
        dataset = image_folder.load(
            directory,
            image_size,
            test_share=test_share,
            skip_unreadable=skip_unreadable,
            random_crops=random_crops,
            preprocessing=preprocessing,
            seed=seed,
        )
    elif name == "mask_folder":
        assert directory is not None
        dataset = mask_folder.load(
            directory, image_size, test_share=test_share, skip_unreadable=skip_unreadable, seed=seed
        )
    elif name in segmentation_sets.NAMES:
        dataset = segmentation_sets.load(name, directory, image_size)
    else:
        dataset = tfds_source.load(name.removeprefix("tfds/"), directory)
    train, train_note = _sample(dataset.train, train_examples, "training", seed)
    test, test_note = _sample(dataset.test, test_examples, "test", seed)
    note = "; ".join(filter(None, (dataset.note, train_note, test_note)))
    return replace(dataset, train=train, test=test, note=note)


def _sample(source: Source, count: int | None, split: str, seed: int) -> tuple[Source, str]:
    """The sample, and what to say of it."""
    if count is None:
        return source, ""
    if count > len(source):
        raise ValueError(f"{count} {split} examples asked for, but there are {len(source)}")
    drawn = "from all classes" if fair.labels_of(source) is not None else "regardless of class"
    return fair.sample(source, count, seed), f"{count:,} of {len(source):,} {split} images are used, drawn {drawn}"
