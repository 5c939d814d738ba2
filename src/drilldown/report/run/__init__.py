"""The report on one run."""
