from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import zoo
from zoo.analysis.receptive_field import ReceptiveField, receptive_fields, receptive_fields_of
from zoo.blocks import ContextModule, Conv, ConvTranspose, ShuffleUnitV2, SpatiallySeparableConv
from zoo.ops import force_lowering
from zoo.registry import _models


def fields_of(module: nnx.Module, size: int = 64, channels: int = 3) -> tuple[ReceptiveField, ReceptiveField]:
    return receptive_fields_of(lambda module, x: {"y": module(x)}, module, (size, size, channels))["y"]


def size_of(module: nnx.Module, **options) -> int:
    vertical, horizontal = fields_of(module, **options)
    assert vertical == horizontal
    return int(vertical.size)


def test_three_layers_of_dilation_1_2_4_see_15_pixels():
    assert size_of(nnx.Sequential(*(Conv(3, 3, 3, dilation=d, rngs=nnx.Rngs(0)) for d in (1, 2, 4)))) == 15


def test_the_context_module_sees_67_pixels():
    assert size_of(ContextModule(3, rngs=nnx.Rngs(0)), size=200) == 67


def test_the_axes_are_told_apart():
    vertical, horizontal = fields_of(Conv(3, 3, (1, 7), rngs=nnx.Rngs(0)))
    assert (vertical.size, horizontal.size, horizontal.start) == (1, 7, -3)
    assert size_of(SpatiallySeparableConv(3, 4, 5, rngs=nnx.Rngs(0))) == 5


def test_a_shuffle_of_channels_moves_no_places():
    assert size_of(ShuffleUnitV2(4, 4, rngs=nnx.Rngs(0)), channels=4) == 3


def test_a_transposed_convolution_sees_fractions_apart():
    vertical, _ = fields_of(ConvTranspose(3, 3, 4, stride=2, padding=1, rngs=nnx.Rngs(0)))
    assert vertical.stride == 0.5


@pytest.mark.parametrize(
    ("name", "stage", "size", "stride"),
    [  # of Araujo et al.'s table, but for VGG-16, whose 212 are those after the last pooling
        ("mobilenet_v1", "stage5", 315, 32),
        ("inception_v3", "stage4", 1311, 32),
        ("alexnet", "stage2", 195, 32),
        ("vgg16", "stage5", 196, 16),
    ],
)
def test_published_fields_are_met(name, stage, size, stride):
    model, pixels = nnx.eval_shape(lambda: zoo.create_model(name)), zoo.model_info(name).input_size
    vertical, horizontal = receptive_fields(model, (pixels, pixels, 3))[stage]
    assert vertical == horizontal
    assert (vertical.size, vertical.stride) == (size, stride)


@pytest.mark.parametrize("name", sorted({_models[name].architecture: name for name in zoo.list_models()}.values()))
def test_every_architecture_has_fields_at_its_declared_strides(name):
    model = nnx.eval_shape(lambda: zoo.create_model(name))
    for stage, (vertical, horizontal) in receptive_fields(model, (128, 128, 3)).items():
        assert vertical.stride == horizontal.stride == model.feature_strides[stage]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("dilated_resnet", "stage4"),
        ("mobilenet_v2", "stage2"),
        ("shufflenet_v2_x0_5", "stage2"),
        ("nin", "stage2"),
        ("googlenet", "stage2"),
    ],
)
def test_it_is_the_support_of_the_gradient_of_a_pixel(name, stage):
    """With positive weights, no image, and no norm nor activation that could cut a path."""
    options = {} if zoo.model_info(name).input_size == 32 else {"small_images": True}
    model = zoo.create_model(name, **options, act=lambda x: x, **({} if name == "nin" else {"norm": NoNorm}))
    for _, conv in nnx.iter_modules(model):
        if isinstance(conv, nnx.Conv):
            conv.kernel[...] = jnp.full(conv.kernel.shape, 1 / np.prod(conv.kernel.shape[:3]))
    model.eval()
    size = 160
    field, _ = receptive_fields(model, (size, size, 3))[stage]
    place = size // model.feature_strides[stage] // 2

    @jax.jit
    @jax.grad
    def gradient(images):
        return model.features(images)[stage][0, place, place].sum()

    # Max pooling passes one gradient only: of an image that falls from everywhere to one side, that is its first.
    seen = np.zeros(size, bool)
    for ramp in (np.arange(size), -np.arange(size)):
        images = jnp.asarray(np.broadcast_to(ramp[None, :, None, None], (1, size, size, 3)), jnp.float32)
        with force_lowering("native"):  # Winograd's rounding reaches to the end of a tile.
            seen |= np.asarray(jnp.abs(gradient(images)).sum((0, 2, 3)) > 0)
    rows = np.flatnonzero(seen)
    first = int(field.start + place * field.stride)
    assert (rows[0], rows[-1]) == (first, first + int(field.size) - 1)


class NoNorm(nnx.Module):
    def __init__(self, channels, **_options) -> None:
        pass

    def __call__(self, x):
        return x


def test_what_moves_places_unseen_is_refused():
    class Flipped(nnx.Module):
        def __call__(self, x):
            return jnp.flip(x, 1)

    with pytest.raises(NotImplementedError, match="how rev moves places is not known"):
        fields_of(Flipped())
