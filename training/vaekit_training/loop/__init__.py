"""The optimisation of one run, from its first step to its best weights. Knows no files of rows and no graphs."""
