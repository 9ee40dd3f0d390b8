"""What dilation does for dense prediction: the nets of docs/dense-prediction.md, trained on `scenes`.

    uv run python benchmarks/dilation.py RUNS    # the folder of the runs; those that are finished are not made again

Two pairs, trained with three seeds by configs/dilatednet_scenes.py, the first with batches of 32 and for 5 epochs. Six
layers behind a stem of stride 2, undilated and dilated, have the same parameters and multiply-accumulates and differ in
their receptive fields alone. The small DilatedNet stands beside its front end alone, which has learnt in the same run
by its own loss, with no gradient from the context module. The figures go to benchmarks/results/dilation.json.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Annotated

import jax
import jax.numpy as jnp
import tyro
from flax import nnx
from flax.typing import Dtype
from peer import Table

import zoo
from zoo.blocks import Conv, ConvNormAct
from zoo.models._net import Net
from zoo.ops import resize_bilinear
from zoo.training import metrics
from zoo.training.evaluate import evaluate
from zoo.training.main import main as train
from zoo.weights.checkpoint import find_checkpoint

RESULTS = Path(__file__).parent / "results" / "dilation.json"
_DILATEDNET, _FRONT_END = "DilatedNet", "its front end alone"
_SIX = (
    "--model.name six_layers --model.width None --model.dropout None --batch-size 32 --epochs 5 "
    "--optimizer.learning-rate 3e-3 --optimizer.delay --optimizer.body-learning-rate-factor 1"
)
NETS = {
    "six layers, dilation 1": f"{_SIX} --model.options dilations 1,1,1,1,1,1",
    "six layers, dilation 1, 2, 4, 8, 4, 1": f"{_SIX} --model.options dilations 1,2,4,8,4,1",
    _DILATEDNET: "",
}
SEEDS = (0, 1, 2)


class SixLayers(Net):
    """(N, H, W, in_channels) -> logits (N, H, W, num_classes), float32: residual 3×3 convolutions at stride 2."""

    def __init__(
        self,
        num_classes: int = 11,
        in_channels: int = 3,
        *,
        dilations: tuple[int, ...],
        dtype: Dtype | None = None,
        rngs: nnx.Rngs,
    ) -> None:
        self.stem = ConvNormAct(in_channels, 24, 3, stride=2, dtype=dtype, rngs=rngs)
        self.layers = nnx.List([ConvNormAct(24, 24, 3, dilation=rate, dtype=dtype, rngs=rngs) for rate in dilations])
        self.classify = Conv(24, num_classes, 1, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        size = x.shape[1:3]
        x = self.stem(x)
        for layer in self.layers:
            x = x + layer(x)
        return resize_bilinear(self.classify(x).astype(jnp.float32), size)

    @property
    def num_classes(self) -> int:
        return self.classify.out_features


def main(runs: Annotated[Path, tyro.conf.Positional]) -> None:
    """Trains what is not trained yet, and writes the figures.

    Args:
        runs: where the directories of the runs are.
    """
    info = zoo.ModelInfo("this script", 64, parameters=0, task="segmentation")
    zoo.register("six_layers", SixLayers, info, dilations=(1,) * 6)
    figures: dict[str, list[dict[str, float]]] = {}
    for net, options in NETS.items():
        for seed in SEEDS:
            run = runs / f"{net.replace(', ', '-').replace(' ', '-')}-seed{seed}"
            if not (run / "weights.safetensors").is_file():
                command = ["--config", "dilatednet_scenes", *options.split(), "--seed", str(seed), "--output", str(run)]
                if status := train(command):
                    raise SystemExit(status)
            last = metrics.read(run)[-1]
            figures.setdefault(net, []).append({"seed": seed, "accuracy": last.test_accuracy, **last.more})
            if net == _DILATEDNET:
                figures.setdefault(_FRONT_END, []).append({"seed": seed, **evaluate_front_end(run)})
    environment = json.loads((run / "environment.json").read_text())
    RESULTS.write_text(json.dumps({"environment": environment, "figures": figures}, indent=2) + "\n")
    table = Table("net", "mean IoU, %", "of the seeds", "pixel accuracy, %")
    for net, of_net in figures.items():
        scores = [100 * one["test_mean_iou"] for one in of_net]
        accuracy = 100 * statistics.mean(one["accuracy"] for one in of_net)
        spread = f"{statistics.mean(scores):.2f} ± {statistics.stdev(scores):.2f}"
        table.add(net, spread, ", ".join(f"{score:.2f}" for score in scores), f"{accuracy:.2f}")
    print("\n".join(table.lines))


def evaluate_front_end(run: Path) -> dict[str, float]:
    """Figures of the front end in the weights of a run, on the test images."""
    checkpoint = find_checkpoint(run)
    description = {**checkpoint.description, "model": "dilatednet_frontend"}
    front_end = zoo.create_model("dilatednet_frontend", weights=checkpoint, strict=False, **description["options"])
    path = run / "front_end.safetensors"
    zoo.save_weights(front_end, path, description)
    figures = evaluate(path, "scenes").evaluation.to_dict()
    return {"accuracy": figures["accuracy"], "test_mean_iou": figures["mean_iou"]}


if __name__ == "__main__":
    tyro.cli(main)
