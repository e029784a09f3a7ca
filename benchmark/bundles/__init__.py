"""Bundles: rows with everything that is needed to check them, as a directory for others.

`write_bundle` makes one from a store, `validate` believes nothing that it can compute again.
"""

from benchmark.bundles.validate import Report, validate
from benchmark.bundles.write import write_bundle

__all__ = ["Report", "validate", "write_bundle"]
