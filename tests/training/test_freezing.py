from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import zoo
from zoo.blocks import BatchNorm
from zoo.training.config import OptimizerConfig
from zoo.training.freezing import freeze


def frozen_paths(model, *patterns):
    is_frozen = freeze(model, patterns)
    frozen, _ = nnx.split_state(nnx.state(model), is_frozen, ...)
    return {".".join(map(str, path)) for path, _ in nnx.to_flat_state(frozen)}


@pytest.fixture
def model():
    return zoo.create_model("mobilenet_v1", width=0.25, num_classes=3, small_images=True)


def test_a_pattern_means_parameters_and_what_is_in_modules(model):
    assert frozen_paths(model) == set()
    assert frozen_paths(model, "head.bias") == {"head.bias"}
    stem = {f"stem.{name}" for name in ("conv.kernel", "norm.scale", "norm.bias", "norm.mean", "norm.var")}
    assert frozen_paths(model, "stem") == stem | {"stem.norm.num_batches"}
    assert frozen_paths(model, "stem", "head.*") == stem | {"stem.norm.num_batches", "head.kernel", "head.bias"}
    assert "stages.0.0.depthwise.conv.kernel" in frozen_paths(model, "stages.0")


def test_the_body_is_all_but_the_head(model):
    frozen = frozen_paths(model, "body")
    everything = {
        ".".join(map(str, path)) for path, _ in nnx.to_flat_state(nnx.state(model, (nnx.Param, nnx.BatchStat)))
    }
    assert everything - frozen == {"head.kernel", "head.bias"}


def test_batch_norms_whose_parameters_are_all_frozen_keep_their_statistics(model):
    freeze(model, ["stem", "stages.*.scale"])
    norms = {".".join(map(str, path)): norm for path, norm in nnx.iter_modules(model) if isinstance(norm, BatchNorm)}
    assert [path for path, norm in norms.items() if norm.use_running_average] == ["stem.norm"]


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (["stm"], "optimizer.freeze: 'stm' is no parameter of the model; nearest: stem"),
        (["stem.mean"], "'stem.mean' is no parameter"),
        (["body", "head"], r"optimizer.freeze=\('body', 'head'\) leaves no parameter to train"),
    ],
)
def test_what_cannot_be_frozen_is_said(model, patterns, message):
    with pytest.raises(ValueError, match=message):
        freeze(model, patterns)


def test_only_a_net_of_the_zoo_tells_its_body():
    with pytest.raises(ValueError, match=r"Linear is neither a zoo\.ImageClassifier nor a zoo\.Segmenter"):
        freeze(nnx.Linear(2, 2, rngs=nnx.Rngs(0)), ["body"])


@pytest.mark.parametrize("options", [{}, {"gradient_accumulation": 2}, {"remat": "blocks"}])
def test_what_is_frozen_stays_to_the_bit_and_the_rest_learns(make_trainer, dataset, options):
    optimizer = OptimizerConfig("adamw", learning_rate=0.1, freeze=("conv",))
    trainer, before = make_trainer(optimizer=optimizer, ema_decay=0.9, **options)
    images, labels = jnp.asarray(dataset.train.images[:8]), jnp.asarray(dataset.train.labels[:8])
    after = before
    for _ in range(3):
        after = jax.jit(trainer.train_step)(after, images, labels)

    def variables(state):
        model = nnx.merge(trainer.eval_graph, trainer.random_state, *state.evaluated)
        return dict(nnx.to_flat_state(nnx.state(model, (nnx.Param, nnx.BatchStat))))

    old, new = variables(before), variables(after)
    assert {path[0] for path in old} == {"conv", "head"}
    for path, value in old.items():
        is_same = np.array_equal(value[...], new[path][...])
        assert is_same == (path[0] == "conv"), path
    # The optimizer keeps nothing of it either.
    assert not any("conv" in jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(after.optimizer))
