"""What nets learn: training, evaluation and report know a task by the methods of `Task` alone."""

from __future__ import annotations

from zoo.data.dataset import Dataset
from zoo.training.config import TrainConfig
from zoo.training.tasks.classification import Classification
from zoo.training.tasks.segmentation import Segmentation
from zoo.training.tasks.task import Task

_TASKS: dict[str, type[Task]] = {"classification": Classification, "segmentation": Segmentation}


def task_of(config: TrainConfig, dataset: Dataset) -> Task:
    """The task that the data is for.

    Raises:
        ValueError: if the config has something that the task or the data does not know.
    """
    return _TASKS[dataset.task].of(config, dataset)


__all__ = ["Classification", "Segmentation", "Task", "task_of"]
