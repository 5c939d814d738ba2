"""The speed of an epoch against plain pipelines."""
