"""Exports a trained VAE as ONNX graphs that give the same numbers: capture, lowering, and the reference in torch."""

from vaekit_training.export.graphs import Export, ExportedGraph, export_graphs
from vaekit_training.export.reference import double, elbo_names, evaluate, graph_inputs, halved

__all__ = ["Export", "ExportedGraph", "double", "elbo_names", "evaluate", "export_graphs", "graph_inputs", "halved"]
