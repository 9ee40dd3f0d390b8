"""`zoo eval`: the figures of a run, or of any weights, on a test set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from zoo.training.evaluate import Evaluated


def evaluate(
    source: Annotated[str, tyro.conf.Positional],
    data: str | None = None,
    directory: Path | None = None,
    model: str | None = None,
    scales: tuple[float, ...] = (1.0,),
    flip: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    window: int | None = None,
    confusion_matrix: Path | None = None,
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
) -> None:
    """Shows the figures of a net on a test set, and those of each class.

    Of a classifier these are loss, accuracy, top-5 accuracy, calibration error, precision and recall; of a segmentation
    net loss, pixel accuracy and intersection over union.

    Args:
        source: directory of a run, a file of weights, or zoo/NAME, torchvision/NAME or timm/NAME.
        data: what to evaluate on: a directory of pictures in folders named after their classes, for a segmentation net
            in a folder images with their masks in a folder masks, or shapes, scenes, cifar10 or tfds/NAME; None for the
            data of the run.
        directory: where that data set is; None for its usual place.
        model: name of the model, if the weights do not tell.
        scales: of a segmentation net, average what it makes of the images at these scales.
        flip: of a segmentation net, average what it makes of the images and of their mirror images.
        window: of a segmentation net, show it parts of so many pixels a side that overlap by a third.
        confusion_matrix: a PNG file to draw the confusion matrix into.
        json: print one JSON object instead of tables.
    """
    import json as json_format
    import sys

    from zoo.training.evaluate import evaluate as evaluate_source
    from zoo.training.report import write_confusion_matrix

    result = evaluate_source(source, data, directory=directory, model=model, scales=scales, flip=flip, window=window)
    for note in result.notes:
        print(note, file=sys.stderr)
    if confusion_matrix is not None:
        write_confusion_matrix(confusion_matrix, result.evaluation.confusion, result.class_names)
    if json:
        figures = result.evaluation.to_dict()
        print(json_format.dumps({"source": source, "model": result.model, "data": result.data, **figures}))
    else:
        _show(result)


def _show(result: Evaluated) -> None:
    from zoo.cli.format import print_table

    figures = result.evaluation
    rows = [("model", result.model), ("data", f"{result.data}, {result.examples:,} test images"), *figures.rows()]
    print_table(("figure", "value"), rows)
    print()
    header, *classes = figures.rows_of_classes()
    print_table(header, classes, right=header[1:])
