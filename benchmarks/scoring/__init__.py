"""Measures batch scoring: against raw ONNX Runtime and PyOD, at scale, after kills, and on a cluster."""
