"""A VAE whose prior is a kernel density over training rows, and whose latent vector is the standardised row.

`mixture` and `search` choose the kernels, `prior` is p(z), `vae` the VAE, and `fit` puts them together.
"""
