"""The training step as a pure function, and the compiled loops around it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from zoo.blocks import BatchNorm
from zoo.data.dataset import Dataset
from zoo.models._rematerialise import rematerialise_blocks
from zoo.ops import force_lowering
from zoo.training.config import TrainConfig
from zoo.training.devices import Devices
from zoo.training.freezing import IsFrozen, freeze, is_of_body
from zoo.training.state import EpochSums, TrainState
from zoo.training.tasks import Task, task_of

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
            ValueError: if batch norm is to be per device or frozen, and there is none, or as `freeze` and `task_of` do.
        """
        if config.batch_norm == "per-device":
            _use_virtual_batches(model, devices.count)
        model.train()
        if config.batch_norm == "frozen":
            _keep_statistics(model)
        is_frozen = freeze(model, config.optimizer.freeze)
        train_graph, *states = nnx.split(model, is_frozen, nnx.Param, nnx.RngState, ...)
        frozen, params, random_state, batch_stats = states
        model.eval()
        eval_graph = nnx.split(model)[0]
        task = task_of(config, dataset)
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
        )
        state = TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            frozen=frozen,
            batch_stats=batch_stats,
            optimizer=optimizer.init(params),
            average=None if config.ema_decay is None else jax.tree.map(jnp.copy, (params, batch_stats)),
            sums=EpochSums.zeros(task.correct_dtype),
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
            labels: of its N examples.
            num_steps: int32 scalar.
        """
        batch_size = self.config.batch_size
        order_key = jax.random.fold_in(self._key(_ORDER), state.step // self.steps_per_epoch)
        if self.task.draws is None:
            order = jax.random.permutation(order_key, len(labels))
        else:
            order = self.task.draws.draw_many(order_key, len(labels))

        def one_step(_: jax.Array, state: TrainState) -> TrainState:
            first = state.step % self.steps_per_epoch * batch_size
            chosen = jax.lax.dynamic_slice(order, (first,), (batch_size,))
            batch = jax.lax.with_sharding_constraint((images[chosen], labels[chosen]), self.devices.split)
            return self.train_step(state, *batch)

        return jax.lax.fori_loop(0, num_steps, one_step, state)

    def train_step(self, state: TrainState, images: jax.Array, labels: jax.Array) -> TrainState:
        """One step on one batch: images uint8 (B, H, W, 3), and B labels."""
        inputs, targets = self._prepare(state.step, images, labels)
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

    def _prepare(self, step: jax.Array, images: jax.Array, labels: jax.Array) -> tuple[jax.Array, Any]:
        return self.task.prepare(jax.random.fold_in(self._key(_AUGMENTATION), step), images, labels)

    def _differentiate(
        self, state: TrainState, inputs: jax.Array, targets: Any
    ) -> tuple[Any, jax.Array, jax.Array, Any]:
        """The gradients and the mean of the loss, how many examples are right, and the new batch statistics."""

        def loss_of(
            params: Any, batch_stats: Any, random_state: Any, inputs: jax.Array, targets: Any
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
        inputs, targets = jax.tree.map(lambda x: x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1), (inputs, targets))
        divided = (jnp.arange(parts), inputs, targets)
        zeros = jax.tree.map(jnp.zeros_like, (jnp.zeros(()), state.params))
        (sums, batch_stats), correct = jax.lax.scan(add_part, (zeros, state.batch_stats), divided)
        loss, gradients = jax.tree.map(lambda total: total / parts, sums)
        return gradients, loss, correct.sum(dtype=correct.dtype), batch_stats

    def abstract_batch(self, image_size: int) -> tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
        """Images of so many pixels a side and their labels, as `train_step` takes them."""
        shape = (self.config.batch_size, image_size, image_size, 3)
        images = jax.ShapeDtypeStruct(shape, jnp.uint8, sharding=self.devices.split)
        return images, self.task.abstract_labels(images)

    def lower_step(self, state: TrainState, image_size: int) -> jax.stages.Lowered:
        """`train_step` for the devices, on a batch of images of so many pixels a side; it takes over its state."""
        step = jax.jit(self.train_step, donate_argnames="state", out_shardings=self.shardings_of(state))
        with self.devices.entered():
            return step.lower(state, *self.abstract_batch(image_size))

    def predict(self, state: TrainState, images: jax.Array) -> jax.Array:
        """Logits of uint8 images (N, H, W, 3), in evaluation mode."""
        model = nnx.merge(self.eval_graph, self.random_state, *state.evaluated)
        with self._lowering():
            return model(self.task.normalize(images))

    def judge(self, state: TrainState, images: jax.Array, labels: jax.Array, counts: jax.Array) -> Any:
        """What the task keeps of a batch of test examples, of which those count where `counts`, bool (N,), says so."""
        return self.task.judge(self.predict(state, images), labels, counts)

    def judge_chunks(self, state: TrainState, images: jax.Array, labels: jax.Array, counts: jax.Array) -> Any:
        """`judge` for (chunks, N, ...), chunk after chunk in one dispatch: arrays (chunks, ...)."""
        return jax.lax.map(lambda chunk: self.judge(state, *chunk), (images, labels, counts))

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
    norms = [module for _, module in nnx.iter_modules(model) if isinstance(module, BatchNorm)]
    if not norms:
        raise ValueError("batch_norm='per-device', but the model has no batch norm")
    for norm in norms:
        norm.virtual_batches = count


def _keep_statistics(model: nnx.Module) -> None:
    """Has the batch norms of the body normalise by their running statistics from now on."""
    is_kept = is_of_body(model)
    norms = [
        module
        for path, module in nnx.iter_modules(model)
        if isinstance(module, nnx.BatchNorm) and is_kept(".".join(map(str, path)))
    ]
    if not norms:
        raise ValueError("batch_norm='frozen', but the body of the model has no batch norm")
    for norm in norms:
        norm.eval()


def _fold_in(random_state: Any, number: jax.Array) -> Any:
    """The model's random keys for one step, or part of one; every layer has its own, so masks differ between layers."""

    def fold(leaf: jax.Array) -> jax.Array:
        return jax.random.fold_in(leaf, number) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf

    return jax.tree.map(fold, random_state)
