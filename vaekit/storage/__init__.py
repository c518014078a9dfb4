"""Files and bundles on any file system: paths, and copying bundles to and from stores."""
