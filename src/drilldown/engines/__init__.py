"""What executes training: PyTorch (the reference) and the native engine (C++)."""
