"""The ONNX form of each aten operator that a VAE uses.

Each function takes the builder, the operation's result and its arguments as torch declares them. Arithmetic happens in
the type of the result, as in torch; nothing is approximated.
"""

from vaekit_training.export.operators import elementwise, reductions, shapes
from vaekit_training.export.operators.table import TABLE

__all__ = ["TABLE", "elementwise", "reductions", "shapes"]
