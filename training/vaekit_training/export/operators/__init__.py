"""The ONNX form of each aten operator that a VAE uses.

Each function takes the builder, the type and shape of the operation's result (`out`), and the arguments as torch
declares them; it returns the result. Arithmetic is done in the type of the result, as in torch, without approximations.
"""

from vaekit_training.export.operators import elementwise, reductions, shapes
from vaekit_training.export.operators.table import TABLE

__all__ = ["TABLE", "elementwise", "reductions", "shapes"]
