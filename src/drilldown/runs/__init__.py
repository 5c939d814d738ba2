"""The run folder: written, found, performed, resumed; and many runs in turn."""
