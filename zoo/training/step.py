"""The training step as a pure function, and the compiled loops around it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from zoo.blocks import BatchNorm
from zoo.data import fair
from zoo.data.balance import BalancedDraws, class_weights
from zoo.data.dataset import Dataset
from zoo.models._rematerialise import rematerialise_blocks
from zoo.ops import force_lowering
from zoo.training.config import TrainConfig
from zoo.training.devices import Devices
from zoo.training.freezing import IsFrozen, freeze
from zoo.training.state import EpochSums, TrainState
from zoo.training.tasks import Classification, Task

_ORDER, _AUGMENTATION = 0, 1  # streams of the run's seed


@dataclass(frozen=True, eq=False)
class Trainer:
    """The pure functions of a training run; the state goes in and comes out.

    `nnx.split` takes the model apart once, in `create`. From then on everything is plain JAX: the module graph is
    reassembled only while a function is traced.

    Attributes:
        config: of the run.
        devices: what it runs on.
        task: what the model learns.
        steps_per_epoch: whole batches in the training set.
        optimizer: Optax's transformation.
        train_graph, eval_graph: the model's structure in the two modes.
        is_frozen: of its variables, which training leaves as they are.
        random_state: the model's own random keys; they stay the same, and each step folds its number in.
        draws: which examples are taken; None for each once an epoch.
    """

    config: TrainConfig
    devices: Devices
    task: Task
    steps_per_epoch: int
    optimizer: optax.GradientTransformation
    train_graph: Any
    eval_graph: Any
    is_frozen: IsFrozen
    random_state: Any
    draws: BalancedDraws | None = None

    @classmethod
    def create(
        cls,
        config: TrainConfig,
        model: nnx.Module,
        dataset: Dataset,
        optimizer: optax.GradientTransformation,
        devices: Devices,
    ) -> tuple[Trainer, TrainState]:
        """Takes a model apart; gives the functions that train it, and the state to start from, which `place` takes.

        Raises:
            ValueError: if batch norm is to be per device, and there is none, if classes are to be balanced whose labels
                the data does not have at hand, or as `freeze` does.
        """
        if config.batch_norm == "per-device":
            _use_virtual_batches(model, devices.count)
        model.train()
        is_frozen = freeze(model, config.optimizer.freeze)
        train_graph, *states = nnx.split(model, is_frozen, nnx.Param, nnx.RngState, ...)
        frozen, params, random_state, batch_stats = states
        model.eval()
        eval_graph = nnx.split(model)[0]
        num_classes = config.model.num_classes or len(dataset.class_names)
        balance, labels = config.balance, fair.labels_of(dataset.train)
        if balance != "none" and labels is None:
            raise ValueError(f"balance={balance!r} takes all labels beforehand, which {dataset.name} does not tell")
        task = Classification(
            augmentation=config.augment,
            num_classes=num_classes,
            image_size=dataset.image_size,
            mean=dataset.mean,
            std=dataset.std,
            label_smoothing=config.label_smoothing,
            class_weights=class_weights(labels, num_classes) if labels is not None and balance == "loss" else None,
        )
        trainer = cls(
            config=config,
            devices=devices,
            task=task,
            steps_per_epoch=len(dataset.train) // config.batch_size,
            optimizer=optimizer,
            train_graph=train_graph,
            eval_graph=eval_graph,
            is_frozen=is_frozen,
            random_state=random_state,
            draws=BalancedDraws(labels) if labels is not None and balance == "sampling" else None,
        )
        state = TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            frozen=frozen,
            batch_stats=batch_stats,
            optimizer=optimizer.init(params),
            average=None if config.ema_decay is None else jax.tree.map(jnp.copy, (params, batch_stats)),
            sums=EpochSums.zeros(),
            first_bad_step=jnp.full((), -1, jnp.int32),
        )
        return trainer, state

    def place(self, state: TrainState) -> TrainState:
        """A state that was made in this process, on the devices; that of the first process where there are several."""
        return self.devices.place_state(state, self.shardings_of(state))

    def shardings_of(self, state: TrainState) -> TrainState:
        """Where each array of a state lies on the devices."""
        return self.devices.shardings_of(state, split_optimizer=self.config.optimizer.split_state)

    def train_chunk(self, state: TrainState, images: jax.Array, labels: jax.Array, num_steps: jax.Array) -> TrainState:
        """Makes `num_steps` steps, within one epoch, on a training set that lies on the device.

        The number of steps is not static, so that one compiled program serves chunks of any length.

        Args:
            state: to start from.
            images: the whole training set, uint8, shape (N, H, W, 3); rows beyond the labels are not used.
            labels: int32, shape (N,).
            num_steps: int32 scalar.
        """
        batch_size = self.config.batch_size
        order_key = jax.random.fold_in(self._key(_ORDER), state.step // self.steps_per_epoch)
        if self.draws is None:
            order = jax.random.permutation(order_key, len(labels))
        else:
            order = self.draws.draw_many(order_key, len(labels))

        def one_step(_: jax.Array, state: TrainState) -> TrainState:
            first = state.step % self.steps_per_epoch * batch_size
            chosen = jax.lax.dynamic_slice(order, (first,), (batch_size,))
            batch = jax.lax.with_sharding_constraint((images[chosen], labels[chosen]), self.devices.split)
            return self.train_step(state, *batch)

        return jax.lax.fori_loop(0, num_steps, one_step, state)

    def train_step(self, state: TrainState, images: jax.Array, labels: jax.Array) -> TrainState:
        """One step on one batch: images uint8 (B, H, W, 3), labels int32 (B,)."""
        inputs, targets = self.task.prepare(jax.random.fold_in(self._key(_AUGMENTATION), state.step), images, labels)
        gradients, loss, correct, batch_stats = self._differentiate(state, inputs, targets)
        updates, optimizer = self.optimizer.update(gradients, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        return replace(
            state,
            step=state.step + 1,
            params=params,
            batch_stats=batch_stats,
            optimizer=optimizer,
            average=self._averaged(state, params, batch_stats),
            sums=self._summed(state, loss, correct, len(labels)),
            first_bad_step=jnp.where(
                (state.first_bad_step < 0) & ~jnp.isfinite(loss), state.step, state.first_bad_step
            ),
        )

    def _differentiate(
        self, state: TrainState, inputs: jax.Array, targets: jax.Array
    ) -> tuple[Any, jax.Array, jax.Array, Any]:
        """The gradients and the mean of the loss, how many examples are right, and the new batch statistics."""

        def loss_of(
            params: Any, batch_stats: Any, random_state: Any, inputs: jax.Array, targets: jax.Array
        ) -> tuple[jax.Array, tuple[jax.Array, Any]]:
            model = nnx.merge(self.train_graph, params, random_state, batch_stats, state.frozen, copy=True)
            with self._lowering(), self._rematerialisation():
                loss, correct = self.task.loss(model, inputs, targets)
            *_, batch_stats = nnx.state(model, self.is_frozen, nnx.Param, nnx.RngState, ...)
            return loss, (correct, batch_stats)

        differentiate = jax.value_and_grad(loss_of, has_aux=True)
        random_state = _fold_in(self.random_state, state.step)
        parts = self.config.gradient_accumulation
        if parts == 1:
            (loss, (correct, batch_stats)), gradients = differentiate(
                state.params, state.batch_stats, random_state, inputs, targets
            )
            return gradients, loss, correct, batch_stats

        def add_part(carry: Any, part: Any) -> tuple[Any, jax.Array]:
            sums, batch_stats = carry
            number, *examples = part
            (loss, (correct, batch_stats)), gradients = differentiate(
                state.params, batch_stats, _fold_in(random_state, number), *examples
            )
            return (jax.tree.map(jnp.add, sums, (loss, gradients)), batch_stats), correct

        # Every `parts`th example, not consecutive ones: a batch that is split over devices stays where it is.
        divided = (jnp.arange(parts), *(x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1) for x in (inputs, targets)))
        zeros = jax.tree.map(jnp.zeros_like, (jnp.zeros(()), state.params))
        (sums, batch_stats), correct = jax.lax.scan(add_part, (zeros, state.batch_stats), divided)
        loss, gradients = jax.tree.map(lambda total: total / parts, sums)
        return gradients, loss, correct.sum(), batch_stats

    def lower_step(self, state: TrainState, image_size: int) -> jax.stages.Lowered:
        """`train_step` for the devices, on a batch of images of so many pixels a side; it takes over its state."""
        batch_size, split = self.config.batch_size, self.devices.split
        images = jax.ShapeDtypeStruct((batch_size, image_size, image_size, 3), jnp.uint8, sharding=split)
        labels = jax.ShapeDtypeStruct((batch_size,), jnp.int32, sharding=split)
        step = jax.jit(self.train_step, donate_argnames="state", out_shardings=self.shardings_of(state))
        with self.devices.entered():
            return step.lower(state, images, labels)

    def predict(self, state: TrainState, images: jax.Array) -> jax.Array:
        """Logits (N, classes) of uint8 images (N, H, W, 3), in evaluation mode."""
        model = nnx.merge(self.eval_graph, self.random_state, *state.evaluated)
        with self._lowering():
            return model(self.task.normalize(images))

    def predict_chunks(self, state: TrainState, images: jax.Array) -> jax.Array:
        """`predict` for (chunks, batch, H, W, 3), chunk after chunk in one dispatch: (chunks, batch, classes)."""
        return jax.lax.map(partial(self.predict, state), images)

    def _lowering(self) -> AbstractContextManager[None]:
        return nullcontext() if self.config.lowering is None else force_lowering(self.config.lowering)

    def _rematerialisation(self) -> AbstractContextManager[None]:
        return rematerialise_blocks() if self.config.remat == "blocks" else nullcontext()

    def _averaged(self, state: TrainState, params: Any, batch_stats: Any) -> tuple[Any, Any] | None:
        if state.average is None or self.config.ema_decay is None:
            return None
        # The decay is low at first, so that the average forgets the random initialisation.
        decay = jnp.minimum(self.config.ema_decay, (1 + state.step) / (10 + state.step))
        return optax.incremental_update((params, batch_stats), state.average, 1 - decay)

    def _summed(self, state: TrainState, loss: jax.Array, correct: jax.Array, examples: int) -> EpochSums:
        starts_epoch = state.step % self.steps_per_epoch == 0
        before = jax.tree.map(lambda total: jnp.where(starts_epoch, jnp.zeros_like(total), total), state.sums)
        return EpochSums(
            loss=before.loss + loss * examples,
            correct=before.correct + correct,
            examples=before.examples + examples,
        )

    def _key(self, stream: int) -> jax.Array:
        return jax.random.fold_in(jax.random.key(self.config.seed), stream)


def _use_virtual_batches(model: nnx.Module, count: int) -> None:
    norms = [module for _, module in nnx.iter_graph(model) if isinstance(module, BatchNorm)]
    if not norms:
        raise ValueError("batch_norm='per-device', but the model has no batch norm")
    for norm in norms:
        norm.virtual_batches = count


def _fold_in(random_state: Any, number: jax.Array) -> Any:
    """The model's random keys for one step, or part of one; every layer has its own, so masks differ between layers."""

    def fold(leaf: jax.Array) -> jax.Array:
        return jax.random.fold_in(leaf, number) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf

    return jax.tree.map(fold, random_state)
