"""zoo: efficient convolutional architectures in Flax NNX that are efficient in XLA."""

from zoo import models as models  # importing them registers them
from zoo.preprocessing import Preprocessing, preprocess
from zoo.registry import ModelInfo, create_model, list_models, model_info

__all__ = ["ModelInfo", "Preprocessing", "create_model", "list_models", "model_info", "preprocess"]
