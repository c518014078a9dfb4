"""One scoring run: the pipeline from fragments to written parts, its summary, and the engines that run it."""
