"""The training loop, and the choice of engine, device and threads."""
