"""Searching for networks: the space, the sampler, the race between candidates, and the confirmation of the winner."""
