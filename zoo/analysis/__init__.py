"""What any NNX model costs and sees: parameters, MACs, receptive fields, and what XLA counts."""

from zoo.analysis.cost import Cost, cost_tree
from zoo.analysis.receptive_field import ReceptiveField, receptive_fields
from zoo.analysis.xla import XlaCost, xla_cost

__all__ = ["Cost", "ReceptiveField", "XlaCost", "cost_tree", "receptive_fields", "xla_cost"]
