"""Nets for where there is no `zoo`: StableHLO, LiteRT and ONNX, each checked in a process of its own."""

from zoo.export.errors import ExportError
from zoo.export.export import export_net
from zoo.export.manifest import Manifest
from zoo.export.net import Net, read_net

__all__ = ["ExportError", "Manifest", "Net", "export_net", "read_net"]
