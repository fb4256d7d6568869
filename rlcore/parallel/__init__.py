"""Several processes on one task: `hogwild` learns in all of them on shared parameters."""
