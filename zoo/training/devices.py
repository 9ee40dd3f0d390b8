"""The devices of a run: one mesh of all of them, and what lies where on it.

The training step is one program for the whole mesh. The examples of a batch are split over its only axis, the state is
the same on every device, and XLA adds what has to be exchanged: sums over the batch, of gradients and of statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from zoo.ops.lowering.measured import device_of
from zoo.ops.placement import BATCH_AXIS
from zoo.training.state import TrainState

Tree = TypeVar("Tree")


@dataclass(frozen=True, eq=False)
class Devices:
    """A mesh with the one axis `data`, and the placements on it.

    Attributes:
        mesh: of devices, those of one process next to each other.
    """

    mesh: Mesh

    @classmethod
    def find(cls, wanted: int | Sequence[int] | None = None) -> Devices:
        """All devices that JAX sees in all processes, or some of those of this one.

        Args:
            wanted: how many, or the numbers that JAX gives them; None for all.

        Raises:
            ValueError: if there are no such devices, or some are chosen where there are several processes.
        """
        there_are = jax.devices()
        if wanted is None:
            return cls.of(there_are)
        if jax.process_count() > 1:
            raise ValueError(
                f"devices={wanted!r} cannot be chosen in a run of {jax.process_count()} processes, which use all that "
                "they see; let each see fewer, as with CUDA_VISIBLE_DEVICES"
            )
        by_number = {device.id: device for device in there_are}
        if isinstance(wanted, int):
            chosen = there_are[:wanted] if 1 <= wanted <= len(there_are) else []
        else:
            chosen = [by_number[number] for number in dict.fromkeys(wanted) if number in by_number]
        if len(chosen) != (wanted if isinstance(wanted, int) else len(wanted)) or not chosen:
            listed = ", ".join(map(str, by_number))
            raise ValueError(
                f"devices={wanted!r}: there are {len(there_are)} {there_are[0].platform} devices, with the numbers "
                f"{listed}"
            )
        return cls.of(chosen)

    @classmethod
    def of(cls, devices: Sequence[jax.Device]) -> Devices:
        """The given devices."""
        return cls(Mesh(np.asarray(devices), (BATCH_AXIS,)))

    @property
    def count(self) -> int:
        return self.mesh.size

    @property
    def replicated(self) -> NamedSharding:
        """The same on every device."""
        return NamedSharding(self.mesh, PartitionSpec())

    @property
    def split(self) -> NamedSharding:
        """The first axis, such as the examples of a batch, divided between the devices."""
        return self.split_along(0)

    def split_along(self, axis: int) -> NamedSharding:
        return NamedSharding(self.mesh, PartitionSpec(*[None] * axis, BATCH_AXIS))

    def entered(self) -> AbstractContextManager[Any]:
        """The context in which programs for these devices are compiled, so that operations know of the split."""
        return jax.set_mesh(self.mesh)

    def share_of(self, examples: int) -> slice:
        """Which of so many examples of a batch, a multiple of the devices, this process has to bring."""
        devices = list(self.mesh.devices.flat)
        mine = [index for index, device in enumerate(devices) if device.process_index == jax.process_index()]
        size = examples // len(devices)
        return slice(mine[0] * size, (mine[-1] + 1) * size)

    def check_batch(self, batch_size: int, micro_batches: int = 1) -> None:
        """Raises ValueError, with the numbers, if a batch cannot be split evenly over devices and micro-batches."""
        unit = self.count * micro_batches
        if batch_size % unit:
            over = f"{self.count} device{'s' if self.count > 1 else ''}"
            over += f" in {micro_batches} micro-batches" if micro_batches > 1 else ""
            possible = f"{batch_size // unit * unit} or " if batch_size > unit else ""
            raise ValueError(
                f"batch_size={batch_size} cannot be split over {over}; {possible}{-(-batch_size // unit) * unit} can"
            )

    def place(self, tree: Tree, sharding: Any) -> Tree:
        """Arrays that every process has whole, as global arrays.

        Args:
            tree: of arrays.
            sharding: of all of them, or a tree of one for each.
        """

        def place(array: Any, sharding: NamedSharding) -> jax.Array:
            array = np.asarray(array)
            return jax.make_array_from_callback(array.shape, sharding, array.__getitem__)

        if isinstance(sharding, NamedSharding):
            return jax.tree.map(partial(place, sharding=sharding), tree)
        return jax.tree.map(place, tree, sharding)

    def join(self, shares: Any) -> Any:
        """Global arrays, split along their first axis, of what each process brings of it."""
        if jax.process_count() == 1:
            return jax.device_put(shares, self.split)
        return jax.tree.map(partial(jax.make_array_from_process_local_data, self.split), shares)

    def shardings_of(self, state: TrainState, *, split_optimizer: bool) -> TrainState:
        """Where each array of a training state lies.

        Args:
            state: arrays, or their shapes.
            split_optimizer: whether the optimizer's arrays are divided between the devices, along the longest axis
                that they divide (ZeRO-1; 1910.02054, section 5.1); all else is the same on every device.
        """
        shardings = jax.tree.map(lambda _: self.replicated, state)
        if not split_optimizer:
            return shardings
        return replace(shardings, optimizer=jax.tree.map(self._split_longest_axis, state.optimizer))

    def place_state(self, state: TrainState, shardings: TrainState) -> TrainState:
        """A state that was made in this process, or the first one's where there are several, as global arrays."""
        if jax.process_count() > 1:
            state = multihost_utils.broadcast_one_to_all(state)
        return self.place(state, shardings)

    def _split_longest_axis(self, array: Any) -> NamedSharding:
        divisible = [axis for axis, size in enumerate(array.shape) if size % self.count == 0]
        if not divisible:
            return self.replicated
        return self.split_along(max(divisible, key=lambda axis: array.shape[axis]))

    def describe(self) -> str:
        """How many there are, of what kind, and in how many processes: "8 devices (NVIDIA H100) of 2 processes"."""
        kind = device_of(self.mesh.devices.flat[0].platform)
        processes = jax.process_count()
        return (
            f"{self.count} device{'s' if self.count > 1 else ''} ({kind})"
            f"{f' of {processes} processes' if processes > 1 else ''}"
        )
