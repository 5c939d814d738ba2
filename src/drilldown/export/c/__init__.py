"""Writes a network as C99: one header and one source, in floating point or in 8-bit integers."""
