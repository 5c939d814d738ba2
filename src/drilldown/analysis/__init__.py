"""Many runs together: seeds, comparisons, ablations, studies."""
