"""What any NNX model costs and sees: parameters, MACs, receptive fields, and what XLA counts and exchanges."""

from zoo.analysis.cost import Cost, cost_tree
from zoo.analysis.exchange import Exchange, exchanges
from zoo.analysis.receptive_field import ReceptiveField, receptive_fields
from zoo.analysis.xla import XlaCost, xla_cost

__all__ = ["Cost", "Exchange", "ReceptiveField", "XlaCost", "cost_tree", "exchanges", "receptive_fields", "xla_cost"]
