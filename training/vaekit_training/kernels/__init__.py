"""A prior that is a kernel density over training rows: `mixture` and `search` choose the kernels, `prior` is p(z)."""
