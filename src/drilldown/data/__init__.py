"""Datasets: finding, fetching, verifying and augmenting them; and reading a picture from a file."""
