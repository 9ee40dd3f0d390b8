"""The optimizer and its learning-rate schedule, from a config."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from zoo.training.config import OptimizerConfig, OptimizerName
from zoo.training.freezing import is_of_body, matching

# Learning rate and weight decay that are usual for small batches. AdamW: the weight decay of DeiT (2012.12877). Lion: a
# tenth of AdamW's rate and ten times its decay (2302.06675, section 5). LAMB: the decay of 2110.00476. RMSProp:
# EfficientNet's (1905.11946, section 5.2), its rate scaled from batches of 4096 to 64.
_USUAL: dict[OptimizerName, tuple[float, float]] = {
    "sgd": (0.05, 5e-4),
    "adam": (1e-3, 0.0),
    "adamw": (1e-3, 0.05),
    "lamb": (5e-3, 0.02),
    "lion": (1e-4, 0.5),
    "rmsprop": (4e-3, 1e-5),
}


def resolve(config: OptimizerConfig) -> OptimizerConfig:
    """The config with the usual learning rate and weight decay of its optimizer where it leaves them open."""
    learning_rate, weight_decay = _USUAL[config.name]
    return replace(
        config,
        learning_rate=learning_rate if config.learning_rate is None else config.learning_rate,
        weight_decay=weight_decay if config.weight_decay is None else config.weight_decay,
    )


def make_schedule(config: OptimizerConfig, total_steps: int) -> optax.Schedule:
    """A linear warm-up from 0 to the peak, and then what the config says.

    Cosine is that of 1608.03983 without restarts, poly that of 1412.7062: (1 - step / steps) ** power. Both end with
    0 at `total_steps`.
    """
    peak = resolve(config).learning_rate
    warmup_steps = round(config.warmup * total_steps)
    remaining = max(total_steps - warmup_steps, 1)
    if config.schedule == "cosine":
        schedule = optax.cosine_decay_schedule(peak, remaining)
    elif config.schedule == "poly":
        schedule = optax.polynomial_schedule(peak, 0.0, config.power, remaining)
    elif config.schedule == "step":
        boundaries: dict[int, float] = {}
        for share in config.decay_at:
            step = round(share * total_steps) - warmup_steps
            boundaries[step] = boundaries.get(step, 1.0) * config.decay_factor
        schedule = optax.piecewise_constant_schedule(peak, boundaries)
    else:
        schedule = optax.constant_schedule(peak)
    if warmup_steps == 0:
        return schedule
    return optax.join_schedules([optax.linear_schedule(0.0, peak, warmup_steps), schedule], [warmup_steps])


def make_optimizer(
    config: OptimizerConfig, schedule: optax.Schedule, model: nnx.Module | None = None, total_steps: int | None = None
) -> optax.GradientTransformation:
    """Optax's optimizer of that name.

    Weight decay applies to kernels only, not to biases and norms. With sgd, adam and rmsprop it is part of the
    gradient, as in PyTorch; adamw, lamb and lion subtract it beside the step.

    Args:
        config: what to make.
        schedule: step -> learning rate.
        model: whose parameters the config names, where it has a factor for the body or a delay.
        total_steps: of the run, of which delays are shares.

    Raises:
        ValueError: if there is a factor and the model does not say what its head is, or a delay of what is no parameter
            of the model, or of a run of unknown length.
    """
    weight_decay, momentum = resolve(config).weight_decay, config.momentum
    in_gradient = optax.add_decayed_weights(weight_decay, mask=_is_kernel)
    beside: dict[str, Any] = {"weight_decay": weight_decay, "mask": _is_kernel}
    steps: dict[OptimizerName, Callable[[], tuple[optax.GradientTransformation, ...]]] = {
        "sgd": lambda: (in_gradient, optax.sgd(schedule, momentum=momentum, nesterov=True)),
        "adam": lambda: (in_gradient, optax.adam(schedule)),
        "adamw": lambda: (optax.adamw(schedule, **beside),),
        "lamb": lambda: (optax.lamb(schedule, **beside),),
        "lion": lambda: (optax.lion(schedule, **beside),),
        "rmsprop": lambda: (in_gradient, optax.rmsprop(schedule, decay=0.9, eps=1e-3, momentum=momentum)),
    }
    clip = optax.identity() if config.gradient_clip is None else optax.clip_by_global_norm(config.gradient_clip)
    factor = config.body_learning_rate_factor
    of_body = () if factor == 1 else (optax.masked(optax.scale(factor), partial(_by_path, is_of_body(model))),)
    return optax.chain(clip, *steps[config.name](), *of_body, *_delays(config, model, total_steps))


def delayed_steps(config: OptimizerConfig, total_steps: int) -> dict[str, int]:
    """Pattern -> for how many steps what it means stays as it is."""
    return {pattern: round(share * total_steps) for pattern, share in config.delay.items()}


def _delays(
    config: OptimizerConfig, model: nnx.Module | None, total_steps: int | None
) -> list[optax.GradientTransformation]:
    """Leave out the first updates, so that the optimizer knows the gradients when it begins."""
    if not config.delay:
        return []
    if model is None or total_steps is None:
        raise ValueError(f"optimizer.delay={dict(config.delay)} takes the model and the number of steps")

    def delay(pattern: str, steps: int) -> optax.GradientTransformation:
        has_begun = optax.scale_by_schedule(lambda step: jnp.where(step < steps, 0.0, 1.0))
        return optax.masked(has_begun, partial(_by_path, matching(model, [pattern], "delay").__contains__))

    return [delay(pattern, steps) for pattern, steps in delayed_steps(config, total_steps).items()]


def _is_kernel(params: Any) -> Any:
    return jax.tree.map(lambda parameter: parameter.ndim > 1, params)


def _by_path(holds: Callable[[str], bool], params: Any) -> Any:
    """What holds of the dotted path of each parameter, in the structure of `params`."""

    def of(path: Any, _: Any) -> bool:
        dotted = jax.tree_util.keystr(path, simple=True, separator=".")
        return holds(dotted.removesuffix(".value"))  # of the variable that holds the parameter

    return jax.tree.map_with_path(of, params)
