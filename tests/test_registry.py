"""One test body over every registered model: the published figures, and what all models promise."""

from __future__ import annotations

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.extend.core import Literal

import zoo
from tests.quick import output_of, randomise
from zoo.analysis.cost import count_macs, count_parameters
from zoo.blocks.fusion import FoldedNorm
from zoo.ops import force_lowering
from zoo.registry import _models
from zoo.weights.load import load_weights
from zoo.weights.safetensors import save_weights, variables

FROM_FILES = (nnx.Param, nnx.BatchStat)

every_model = pytest.mark.parametrize("name", zoo.list_models())


def smallest_of_each_architecture() -> list[str]:
    """What is computed, and not only counted, need not be so for every width of a net."""
    by_size = sorted(zoo.list_models(), key=lambda name: zoo.model_info(name).parameters, reverse=True)
    return sorted({_models[name].architecture: name for name in by_size}.values())


every_architecture = pytest.mark.parametrize("name", smallest_of_each_architecture())
every_classifier = pytest.mark.parametrize(
    "name", [name for name in smallest_of_each_architecture() if zoo.model_info(name).task == "classification"]
)


def abstract(name: str, **options):
    return nnx.eval_shape(lambda: zoo.create_model(name, **options))


def small(name: str) -> dict[str, bool]:
    """The option of the 32×32 form, which nets made for CIFAR-10 do not need."""
    return {} if zoo.model_info(name).input_size == 32 else {"small_images": True}


def without_dropout(name: str) -> dict[str, float]:
    return {"dropout": 0.0} if "dropout" in zoo.registry.model_options(name) else {}


def norm_parameters(model: nnx.Module) -> int:
    return sum(count_parameters(module) for _, module in nnx.iter_modules(model) if isinstance(module, nnx.BatchNorm))


def count(model: nnx.Module, kind: type) -> int:
    return sum(isinstance(module, kind) for _, module in nnx.iter_modules(model))


@every_model
def test_published_figures_are_met(name):
    model, info = abstract(name), zoo.model_info(name)
    parameters = count_parameters(model) - (0 if info.counts_norms else norm_parameters(model))
    if isinstance(info.parameters, int):
        assert parameters == info.parameters
    else:
        assert parameters == pytest.approx(info.parameters, rel=0.01)
    if info.macs is not None:
        macs = count_macs(model, (info.input_size, info.input_size, 3))
        assert macs == pytest.approx(info.macs, rel=info.macs_tolerance)


@every_architecture
def test_features_of_the_small_form_have_the_declared_strides_and_channels(name):
    model = abstract(name, **small(name))
    features = nnx.eval_shape(lambda model: model.features(jnp.zeros((2, 32, 32, 3))), model)
    assert list(features) == list(model.feature_strides)
    for stage, stride in model.feature_strides.items():
        assert features[stage].shape[:3] == (2, 32 // stride, 32 // stride)
    assert {stage: x.shape[-1] for stage, x in features.items()} == model.feature_channels
    if zoo.model_info(name).input_size != 32:
        # Pixels of 64×64 are labelled on maps of 8×8 or 16×16.
        sizes = [(4, 4)] if zoo.model_info(name).task == "classification" else [(4, 4), (8, 8)]
        assert list(features.values())[-1].shape[1:3] in sizes


@every_architecture
def test_images_of_another_shape_are_refused_with_the_right_one(name):
    model = abstract(name, in_channels=4)
    for shape in ((4, 32, 32), (2, 4, 32, 32), (2, 32, 32, 3), (1, 2, 32, 32, 4)):
        methods = [type(model).__call__, type(model).features]
        for method in (*methods, *([type(model).embed] if isinstance(model, zoo.ImageClassifier) else [])):
            with pytest.raises(ValueError, match=r"images must be \(N, H, W, 4\), channels last, not \("):
                method(model, jax.ShapeDtypeStruct(shape, jnp.float32))


@pytest.mark.slow
@every_architecture
def test_logits_are_finite_float32_and_every_parameter_gets_a_gradient(name):
    model = abstract(name, num_classes=7, **small(name), **without_dropout(name))
    randomise(model)
    images = jnp.asarray(np.random.default_rng(0).standard_normal((2, 32, 32, 3)), jnp.float32)
    graph, params, rest = nnx.split(model, nnx.Param, ...)

    def logits(params):
        return nnx.merge(graph, params, rest, copy=True)(images)

    with force_lowering("native"):
        values = jax.jit(logits)(params)
        # Compiling the gradient would take most of the time. It is traced instead: what a parameter does not get is a
        # constant, because this loss gives every gradient that there is a factor that depends on the parameters.
        gradient = jax.make_jaxpr(jax.grad(lambda params: (logits(params) ** 3).sum()))(params)
    assert values.shape == ((2, 7) if zoo.model_info(name).task == "classification" else (2, 32, 32, 7))
    assert values.dtype == jnp.float32
    assert jnp.isfinite(values).all()
    paths = [path for path, _ in nnx.to_flat_state(params)]
    assert [path for path, is_one in zip(paths, depend_on_arguments(gradient.jaxpr), strict=True) if not is_one] == []


def depend_on_arguments(jaxpr) -> list[bool]:
    """Whether the arguments of a program have a part in each of its results."""
    known = set(jaxpr.invars)
    for equation in jaxpr.eqns:
        if any(not isinstance(variable, Literal) and variable in known for variable in equation.invars):
            known.update(equation.outvars)
    return [not isinstance(variable, Literal) and variable in known for variable in jaxpr.outvars]


@pytest.mark.slow
@every_architecture
def test_weights_come_back_from_a_file(name, tmp_path):
    saved, loaded = (abstract(name, num_classes=7, **small(name)) for _ in range(2))
    randomise(saved)
    nnx.update(loaded, jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), nnx.state(loaded, FROM_FILES)))
    save_weights(saved, tmp_path / "w.safetensors")
    load_weights(loaded, tmp_path / "w.safetensors")
    after = variables(loaded)
    for name, before in variables(saved).items():
        np.testing.assert_array_equal(before[...], after[name][...], err_msg=name)


@pytest.mark.slow
@every_architecture
def test_evaluation_treats_examples_independently_and_bfloat16_works(name):
    model = abstract(name, num_classes=7, **small(name), dtype=jnp.bfloat16, **without_dropout(name))
    randomise(model)
    model.eval()
    images = jnp.asarray(np.random.default_rng(0).standard_normal((3, 32, 32, 3)), jnp.float32)
    graph, state = nnx.split(model)
    predict = jax.jit(lambda state, images: nnx.merge(graph, state)(images))
    with force_lowering("native"):
        logits, others = predict(state, images), predict(state, images.at[1:].set(0))
    assert logits.dtype == jnp.float32
    np.testing.assert_allclose(others[0], logits[0], atol=1e-6)
    assert predict._cache_size() == 1, "compiled twice"


@pytest.mark.slow
@every_architecture
def test_fusing_folds_every_batch_norm_and_keeps_the_logits(name):
    norm = zoo.registry.model_options(name)["norm"] or zoo.blocks.BatchNorm
    model = abstract(name, num_classes=7, **small(name), norm=norm, **without_dropout(name))
    randomise(model)
    model.eval()
    fused = zoo.fuse(model)
    assert type(fused) is type(model)
    assert count(model, nnx.BatchNorm) == count(fused, FoldedNorm) > 0
    assert count(fused, nnx.BatchNorm) == 0
    images = jnp.asarray(np.random.default_rng(0).standard_normal((2, 32, 32, 3)), jnp.float32)
    expected = output_of(model, images)
    np.testing.assert_allclose(output_of(fused, images), expected, rtol=0, atol=3e-5 * expected.std())


def test_patterns_select_names():
    assert zoo.list_models("mobilenet_v2*") == [name for name in zoo.list_models() if name.startswith("mobilenet_v2")]
    assert zoo.list_models("no_such_*") == []


def test_unknown_names_and_options_are_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"unknown model 'mobilenetv2'; nearest: mobilenet_v2"):
        zoo.create_model("mobilenetv2")
    with pytest.raises(ValueError, match=r"mobilenet_v2 has no option 'widht'; nearest: width"):
        zoo.create_model("mobilenet_v2", widht=0.5)


def test_without_rngs_the_seed_is_0():
    ours = zoo.create_model("mobilenet_v2", width=0.35)
    seeded = zoo.create_model("mobilenet_v2", width=0.35, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(ours.stem.conv.kernel[...], seeded.stem.conv.kernel[...])


def test_the_head_can_be_replaced():
    model = zoo.create_model("mobilenet_v2", width=0.35, num_classes=1000)
    model.eval()
    model.reset_head(5)
    assert nnx.eval_shape(model, jnp.zeros((2, 32, 32, 3))).shape == (2, 5)
    with pytest.raises(ValueError, match="num_classes=-1 must be at least 1, or 0 for no head"):
        model.reset_head(-1)


@every_classifier
def test_a_net_without_a_head_gives_the_pooled_features(name):
    model = abstract(name, num_classes=0, **small(name))
    assert model.head is None
    output = nnx.eval_shape(lambda model, x: model(x), model, jnp.zeros((2, 32, 32, 3)))
    assert (output.shape, output.dtype) == ((2, model.num_features), jnp.float32)
    assert not any(path.startswith(model.layers_of_classes()) for path in variables(model))


def test_auxiliary_heads_ask_for_a_head():
    with pytest.raises(ValueError, match="num_classes=0 is for no head, but the model has auxiliary heads"):
        abstract("googlenet", num_classes=0, auxiliary_heads=True)


def test_the_channels_of_a_known_net():
    model = abstract("mobilenet_v2", in_channels=1)
    assert model.feature_channels == {"stage1": 16, "stage2": 24, "stage3": 32, "stage4": 96, "stage5": 320}


@every_architecture
def test_models_pickle(name):
    model = abstract(name, num_classes=7, **small(name))
    again = pickle.loads(pickle.dumps(model))
    assert {path: variable.shape for path, variable in variables(again).items()} == {
        path: variable.shape for path, variable in variables(model).items()
    }
