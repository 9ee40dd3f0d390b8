"""`train.py` with tiny models and an accident, `run(place, step, arguments of train.py)`.

The place is `nowhere`; once the step is reached `training` (in mid-epoch), `before-checkpoint` or `in-checkpoint`, to
be killed there with SIGKILL; `signal` or `interrupt-twice`, to send itself SIGTERM or two SIGINTs in a dispatch;
`poison`, to get NaN weights; or `hang`. `set-up` sends itself SIGINT while the model is made, `results` when it is
trained. In `idle` nothing happens: it is for a process beside one that is in another place.
"""

from __future__ import annotations

import functools
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
from flax import nnx

from zoo.blocks import ConvNormAct, DropPath
from zoo.models._classifier import ImageClassifier, global_average_pool
from zoo.models._segmenter import Segmenter, classifier
from zoo.registry import ModelInfo, register
from zoo.training import feed, loop
from zoo.training.checkpoint import Checkpoints
from zoo.training.main import main


class Tiny(ImageClassifier):
    """One convolution, with batch statistics and two kinds of dropping."""

    def __init__(self, num_classes, *, small_images, dtype=None, rngs):
        self.stem = ConvNormAct(3, 16, stride=4, dtype=dtype, rngs=rngs)
        self.drop_path = DropPath(0.2, rngs=rngs)
        self._init_head(16, num_classes, dropout=0.2, dtype=dtype, param_dtype=jnp.float32, rngs=rngs)

    def embed(self, x):
        return global_average_pool(self.drop_path(self.stem(x)))


class TinySegmenter(Segmenter):
    """The convolution of `Tiny` and a class for each pixel."""

    def __init__(self, num_classes, *, dtype=None, rngs):
        self.body = Tiny(num_classes, small_images=True, dtype=dtype, rngs=rngs)
        self.head = classifier(16, num_classes, dtype=dtype, param_dtype=jnp.float32, rngs=rngs)
        self.auxiliary_heads = nnx.List([])

    def dense_logits(self, x):
        return self.head(self.body.drop_path(self.body.stem(x))).astype(jnp.float32)

    def layers_of_classes(self):
        return ("head",)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(place: str, step: int) -> None:
    advance, save, make, write = feed.ResidentFeed.advance, Checkpoints.save, Tiny.__init__, loop.write_results

    def armed_advance(self, state, num_steps):
        num_steps = min(num_steps, 3)  # several dispatches an epoch
        state = advance(self, state, num_steps)
        if int(state.step) >= step:
            if place == "training":
                die()
            if place == "signal":
                signal.raise_signal(signal.SIGTERM)
            if place == "interrupt-twice":
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)
            if place == "hang":
                time.sleep(600)
            if place == "poison":
                state = replace(state, params=jax.tree.map(lambda leaf: leaf * jnp.nan, state.params))
        return state

    def watch(checkpoints: Path) -> None:
        while True:
            if any("tmp" in entry.name for entry in os.scandir(checkpoints)):
                die()
            time.sleep(1e-4)

    def armed_save(self, at, state):
        if at >= step and place == "before-checkpoint":
            die()
        if at >= step and place == "in-checkpoint":
            threading.Thread(target=watch, args=(self._manager.directory,), daemon=True).start()
        save(self, at, state)
        self._manager.wait_until_finished()  # so that it is known what a later death leaves

    @functools.wraps(make)  # whose signature says which options there are
    def armed_make(self, *arguments, **options):
        if place == "set-up":
            signal.raise_signal(signal.SIGINT)
        make(self, *arguments, **options)

    def armed_write(*arguments):
        if place == "results":
            signal.raise_signal(signal.SIGINT)
        write(*arguments)

    Tiny.__init__ = armed_make
    loop.write_results = armed_write
    feed.ResidentFeed.advance = armed_advance
    Checkpoints.save = armed_save


def run(place: str, step: int, arguments: list[str]) -> int:
    """`main` with the tiny models; gives the exit status."""
    register("tiny", Tiny, ModelInfo("", 32, 0, 0))
    register("tiny_segmenter", TinySegmenter, ModelInfo("", 64, 0, task="segmentation"))
    if place != "nowhere":
        arm(place, step)
    return main(arguments)
