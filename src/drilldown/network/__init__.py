"""The block notation, laid out into shapes, costs and PyTorch modules; and networks in a user's own code."""
