"""A trained VAE -> ONNX graphs that give the same numbers: capture, lowering, and the reference in torch."""

from training.export.graphs import Export, ExportedGraph, export_graphs
from training.export.reference import double, elbo_names, evaluate, graph_inputs, halved

__all__ = ["Export", "ExportedGraph", "double", "elbo_names", "evaluate", "export_graphs", "graph_inputs", "halved"]
