"""What dilation does for dense prediction: the nets of docs/dense-prediction.md, trained on `scenes`.

    uv run python benchmarks/dilation.py --runs DIR    # nine runs of some five minutes on two cores

The front end of a small DilatedNet alone, with a context module, and with one whose layers are not dilated: of the same
parameters and multiply-accumulates. Each is trained with three seeds by configs/dilatednet_scenes.py. Runs that are
finished are not made again. The figures go to benchmarks/results/dilation.json.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

import tyro
from peer import Table

from zoo.training import metrics

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "dilation.json"
CONFIG = "configs/dilatednet_scenes.py"
NETS = {
    "front end alone": "--model.name dilatednet_frontend",
    "context, not dilated": "--model.options dilations 1,1,1,1,1,1",
    "context": "",
}
SEEDS = (0, 1, 2)


def main(runs: Path) -> None:
    """Trains what is not trained yet, and writes the figures.

    Args:
        runs: where the directories of the runs are.
    """
    figures: dict[str, list[dict[str, float]]] = {}
    for net, options in NETS.items():
        for seed in SEEDS:
            run = runs / f"{net.replace(', ', '-').replace(' ', '-')}-{seed}"
            if not (run / "weights.safetensors").is_file():
                command = [sys.executable, "train.py", "--config", CONFIG, *options.split(), "--seed", str(seed)]
                subprocess.run([*command, "--output", str(run)], cwd=ROOT, check=True)
            last = metrics.read(run)[-1]
            figures.setdefault(net, []).append({"seed": seed, "accuracy": last.test_accuracy, **last.more})
    environment = json.loads((run / "environment.json").read_text())
    RESULTS.write_text(json.dumps({"environment": environment, "figures": figures}, indent=2) + "\n")
    table = Table("net", "mean IoU of the seeds", "mean", "pixel accuracy")
    for net, of_net in figures.items():
        scores = [one["test_mean_iou"] for one in of_net]
        accuracy = statistics.mean(one["accuracy"] for one in of_net)
        spread = f"{statistics.mean(scores):.2%} ± {100 * statistics.stdev(scores):.2f}"
        table.add(net, ", ".join(f"{score:.2%}" for score in scores), spread, f"{accuracy:.2%}")
    print("\n".join(table.lines))


if __name__ == "__main__":
    tyro.cli(main)
