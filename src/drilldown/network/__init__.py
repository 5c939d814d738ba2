"""Networks: the block notation, its shapes, costs and PyTorch modules; and networks in a user's own Python file."""
