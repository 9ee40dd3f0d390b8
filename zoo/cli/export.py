"""`zoo export`: a net for where there is no `zoo`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro


def export(
    source: Annotated[str, tyro.conf.Positional],
    out: Annotated[Path, tyro.conf.Positional],
    to: Literal["stablehlo", "litert", "onnx"],
    model: str | None = None,
    symbolic_size: tyro.conf.FlagCreatePairsOff[bool] = False,
    with_preprocessing: tyro.conf.FlagCreatePairsOff[bool] = False,
    quantize: Literal["int8"] | None = None,
    calibrate: str | None = None,
) -> None:
    """Writes a net for inference, and OUT.json with its classes, input, preprocessing, versions, hashes and error.

    The file counts as written once it has been loaded in a process without zoo and has given the same logits there.

    Args:
        source: directory of a run, a file of weights, or zoo/NAME, torchvision/NAME or timm/NAME.
        out: the file to write.
        to: stablehlo for JAX and XLA, litert for LiteRT (TensorFlow Lite), onnx for onnxruntime and others.
        model: name of the model, where the weights do not tell.
        symbolic_size: for stablehlo, take images of any height and width from half of the net's own on.
        with_preprocessing: for stablehlo, take uint8 pixels and give probabilities, not normalised images and logits.
        quantize: for litert and onnx, weights and activations of 8 bits.
        calibrate: what they are calibrated on: a folder of pictures, or a data set's name, such as shapes or tfds/NAME.
    """
    from zoo.cli.weights import imagenet_names
    from zoo.export.export import check_request, export_net
    from zoo.export.net import read_net

    options: dict[str, Any] = {
        "symbolic_size": symbolic_size,
        "with_preprocessing": with_preprocessing,
        "quantize": quantize,
        "calibrate": calibrate,
    }
    check_request(out, to, **options)
    net = read_net(source, model)
    if net.class_names is None and (names := imagenet_names(net.num_classes)) is not None:
        net = replace(net, class_names=tuple(names))
    written = export_net(net, out, to, **options)
    what, precision = written.output.name, quantize or "float32"
    print(f"{out}: {net.name} for {to}, {precision}, {written.bytes / 1e6:.2f} MB")
    print(f"error: {written.error:.1e} of the {what}' standard deviation, with {written.runtime} and without zoo")
    if (quantized := written.quantization) is not None:
        same = f"the same class as float32 on {quantized.agreement:.1%} of {net.labelled(quantized.pictures)}"
        print(f"int8: {same}; {quantized.data}")
    print(f"time: {written.milliseconds:.2f} ms an image on {written.processor}")
