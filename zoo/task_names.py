"""The names of all tasks, for what must not import JAX; `zoo.training.tasks` has the tasks themselves."""

from __future__ import annotations

from typing import Literal

TaskName = Literal["classification", "segmentation"]
