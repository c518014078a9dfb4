"""Exports a trained VAE as ONNX graphs that give the same numbers as torch.

`capture` records the operations of torch, `lowering` converts them to ONNX with `builder` and `operators`, and
`reference` computes the same outputs in torch.
"""

from vaekit_training.export.graphs import Export, ExportedGraph, export_graphs
from vaekit_training.export.reference import double, elbo_names, evaluate, evaluate_in_parts, graph_inputs, halved

__all__ = [
    "Export",
    "ExportedGraph",
    "double",
    "elbo_names",
    "evaluate",
    "evaluate_in_parts",
    "export_graphs",
    "graph_inputs",
    "halved",
]
