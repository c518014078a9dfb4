"""Input and output files of a scoring run: paths on any file system, formats, fragments, the writer."""
