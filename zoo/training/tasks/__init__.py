"""What nets are trained for: the training loop knows a task only by the methods of `Task`."""

from zoo.training.tasks.classification import Classification
from zoo.training.tasks.task import Task

__all__ = ["Classification", "Task"]
