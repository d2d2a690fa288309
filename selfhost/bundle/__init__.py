"""A bundle: what crosses an air gap on drives, complete, verified and signed."""
