"""Every net in every format of `zoo export`: whether it converts, how far its logits are off, its size and its time.

    uv run --extra export python benchmarks/export.py [NAMES ...] [--to onnx litert] [--size 64] [--out TABLE.md]

The weights are those of the initialisation with seed 0, and the running statistics those of one batch of random images:
without them the logits of a deep net would be all the same. --size exports the nets for another size than the published
one, which is quicker; some need at least 75 pixels. A time is of one image, on all cores, in a process
of its own. LiteRT takes `pip install --no-deps litert-converter`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import tyro
from flax import nnx

import zoo
from zoo.export import ExportError, Net, export_net
from zoo.export.export import random_pixels
from zoo.ops import force_lowering
from zoo.ops.lowering.measured import processor
from zoo.preprocessing import Preprocessing, normalise

_BATCH = 16
Format = Literal["stablehlo", "litert", "onnx"]


def main(
    names: Annotated[tuple[str, ...], tyro.conf.Positional] = (),
    to: tuple[Format, ...] = ("stablehlo", "litert", "onnx"),
    size: int | None = None,
    out: Path | None = None,
) -> None:
    """Prints a row a net, and writes the table after each.

    Args:
        names: of the nets, or patterns such as "mobilenet*"; all that are registered if there are none.
        to: the formats.
        size: height and width of the images; by default those that each net is published for.
        out: the Markdown file; only printed if there is none.
    """
    chosen = [name for pattern in names or ("*",) for name in zoo.list_models(pattern)]
    columns = [f"{form} {figure}" for form in to for figure in ("error", "MB", "ms")]
    lines = [
        f"JAX {jax.__version__}, {processor()}, {'published sizes' if size is None else f'{size}x{size} pixels'}. "
        "Errors are the largest difference of a logit, as a share of the logits' standard deviation.",
        "",
        f"| net | {' | '.join(columns)} |",
        f"| --- |{' ---: |' * len(columns)}",
    ]
    print("\n".join(lines), flush=True)
    reasons: list[str] = []
    for name in chosen:
        cells = [name]
        try:
            net = random_net(name, size or zoo.model_info(name).input_size)
        except ValueError as error:
            reasons.append(f"- {name}: {error}")
            continue
        for form in to:
            figures, reason = exported(net, form)
            cells += figures
            reasons += [f"- {name} as {form}: {reason}"] * (reason is not None)
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], flush=True)
        if out is not None:
            out.write_text("\n".join([*lines, "", *reasons, *[""] * bool(reasons)]), encoding="utf-8")
    print("\n".join(["", *reasons]))


def random_net(name: str, size: int) -> Net:
    """A net with random weights whose logits differ from image to image."""
    model = zoo.create_model(name)
    graph, state = nnx.split(model)

    def statistics_of(state: Any, images: jax.Array) -> Any:
        merged: Any = nnx.merge(graph, state, copy=True)
        merged(images)
        return nnx.state(merged, nnx.BatchStat)

    preprocessing = Preprocessing(size, size)
    images = jnp.asarray(normalise(random_pixels(_BATCH, size, size), preprocessing))
    with force_lowering("native"):
        run = jax.jit(statistics_of, compiler_options={"xla_backend_optimization_level": 0})
        nnx.update(model, run(state, images))
    return Net(model, preprocessing, name=name)


def exported(net: Net, form: Format) -> tuple[list[str], str | None]:
    """The figures of a net in a format, and the reason why there are none."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            written = export_net(net, Path(folder) / "net", form)
        except ExportError as error:
            return ["-", "-", "-"], str(error)
    return [f"{written.error:.1e}", f"{written.bytes / 1e6:.2f}", f"{written.milliseconds:.2f}"], None


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
