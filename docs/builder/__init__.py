"""Builds the docs site: prepares the pages of docs/, generates pages of the reference, and runs Sphinx.

python -m docs.builder [--out FOLDER] [--fresh]
"""
