"""The optimizer and its learning-rate schedule, from a config."""

from __future__ import annotations

from typing import Any

import jax
import optax

from zoo.training.config import OptimizerConfig


def make_schedule(config: OptimizerConfig, total_steps: int) -> optax.Schedule:
    """Linear warm-up from 0 to the peak, then a cosine to 0 at `total_steps` (1608.03983, without restarts)."""
    warmup_steps = round(config.warmup * total_steps)
    cosine = optax.cosine_decay_schedule(config.learning_rate, max(total_steps - warmup_steps, 1))
    if warmup_steps == 0:
        return cosine
    warmup = optax.linear_schedule(0.0, config.learning_rate, warmup_steps)
    return optax.join_schedules([warmup, cosine], [warmup_steps])


def make_optimizer(config: OptimizerConfig, schedule: optax.Schedule) -> optax.GradientTransformation:
    """SGD with Nesterov momentum, or AdamW; weight decay applies to kernels only, not to biases and norms."""
    clip = optax.identity() if config.gradient_clip is None else optax.clip_by_global_norm(config.gradient_clip)
    if config.name == "adamw":
        return optax.chain(clip, optax.adamw(schedule, weight_decay=config.weight_decay, mask=_is_kernel))
    return optax.chain(
        clip,
        optax.add_decayed_weights(config.weight_decay, mask=_is_kernel),
        optax.sgd(schedule, momentum=config.momentum, nesterov=True),
    )


def _is_kernel(params: Any) -> Any:
    return jax.tree.map(lambda parameter: parameter.ndim > 1, params)
