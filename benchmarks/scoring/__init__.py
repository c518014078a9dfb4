"""Batch scoring beside raw ONNX Runtime and PyOD, at scale, killed, and on a cluster."""
