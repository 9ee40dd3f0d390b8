from __future__ import annotations

import hashlib

import jax.numpy as jnp
import pytest
from flax import nnx

import zoo
from zoo.data.tfds_source import default_directory
from zoo.training.evaluate import evaluate
from zoo.weights import packaged
from zoo.weights.checkpoint import find_checkpoint

NAMES = packaged.names()


def test_there_are_some_and_they_are_small():
    assert NAMES
    assert sum(packaged.find(name).stat().st_size for name in NAMES) <= 6e6


@pytest.mark.parametrize("name", NAMES)
def test_they_load_with_their_classes_and_preprocessing(name):
    checkpoint = find_checkpoint(name)
    model = zoo.create_model(checkpoint.model, weights=name)
    assert nnx.eval_shape(lambda model, x: model(x), model, jnp.zeros((1, 32, 32, 3))).shape == (1, 10)
    assert checkpoint.class_names(10)[:2] == ["airplane", "automobile"]
    assert zoo.model_info(checkpoint.model, weights=name).preprocessing.input_size == 32


@pytest.mark.parametrize("name", NAMES)
def test_the_model_card_is_of_these_weights(name):
    card = packaged.find(name).with_suffix(".md").read_text(encoding="utf-8")
    assert card.startswith(f"# {name}\n")
    assert hashlib.sha256(packaged.find(name).read_bytes()).hexdigest() in card
    for part in ("Data", "Test accuracy", "Command", "Limits", "Licence"):
        assert f"- {part}: " in card


def test_an_unknown_name_is_one_line_with_the_nearest():
    with pytest.raises(
        ValueError, match=r"unknown weights 'zoo/shufflenet_v2'; nearest: zoo/shufflenet_v2_x0_5.cifar10"
    ):
        find_checkpoint("zoo/shufflenet_v2")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_they_have_the_accuracy_of_their_card(name):
    if not (default_directory() / "cifar10").is_dir():
        pytest.skip("CIFAR-10 has not been prepared")
    accuracy = evaluate(name, "cifar10").evaluation.accuracy
    assert f"Test accuracy: {accuracy:.2%} " in packaged.find(name).with_suffix(".md").read_text(encoding="utf-8")
