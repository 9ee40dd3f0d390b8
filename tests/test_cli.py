from __future__ import annotations

import subprocess
import sys

import pytest

import zoo
from zoo.cli import main


def lines_of(capsys, *argv: str) -> list[str]:
    assert main(argv) == 0
    return capsys.readouterr().out.splitlines()


def test_list_shows_every_model_with_its_figures(capsys):
    lines = lines_of(capsys, "list")
    assert [line.split()[0] for line in lines[2:]] == zoo.list_models()
    row = next(line for line in lines if line.startswith("mobilenet_v2 "))
    assert row.split() == ["mobilenet_v2", "3,504,872", "300.8", "M", "224", "72.0", "%", "1801.04381"]


def test_list_takes_a_pattern(capsys):
    lines = lines_of(capsys, "list", "resnext29_*")
    assert [line.split()[0] for line in lines[2:]] == zoo.list_models("resnext29_*")


def test_list_does_not_import_jax():
    code = "import sys; from zoo.cli import main; main(['list', 'nin*']); sys.exit('jax' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert "nin_root" in run.stdout


@pytest.mark.parametrize("name", ["shufflenet_v1_x1_0_g3", "mobilenet_v4_conv_small", "googlenet", "drn_d_22"])
def test_summary_fits_100_columns_and_adds_up(name, capsys):
    lines = lines_of(capsys, "summary", name)
    assert max(map(len, lines)) <= 100
    table = lines[3 : lines.index("")]
    shares = [float(line.split()[-1].rstrip("%")) for line in table if not line.startswith(" ")]
    assert sum(shares) == pytest.approx(100, abs=0.3)
    parameters = f"{zoo.model_info(name).parameters:,} parameters"
    assert parameters in lines[-2]
    assert parameters in lines[-1]


def test_summary_goes_as_deep_as_asked(capsys):
    flat = lines_of(capsys, "summary", "nin", "--depth", "1")
    assert not any(line.startswith(" ") for line in flat[3:])
    deep = lines_of(capsys, "summary", "mobilenet_v2", "--depth", "4", "--input", "64")
    assert any(line.startswith("      conv ") for line in deep)
    (stage,) = (line.split() for line in deep if line.startswith("stage5 "))
    assert stage[1:3] == ["2x2x320", "491"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["list", "no_such_*"], "no model matches 'no_such_*'; `zoo list` shows them all"),
        (["summary", "mobilenetv2"], "unknown model 'mobilenetv2'; nearest: mobilenet_v2"),
        (["summary", "nin", "--input", "0"], "--input 0 must be at least 1"),
        (["summary", "nin", "--depth", "0"], "--depth 0 must be at least 1"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(argv, message, capsys):
    assert main(argv) == 2
    written = capsys.readouterr().err
    assert written.startswith(f"zoo: error: {message}")
    assert written.count("\n") == 1
