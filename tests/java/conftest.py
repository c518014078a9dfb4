"""Fixtures of the tests of the Java examples: ONNX Runtime's C library, which the JavaScript packages bring."""

from tests.javascript.conftest import node_environment, package

__all__ = ["node_environment", "package"]
