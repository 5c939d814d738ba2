"""Writes a network as ONNX: in floating point, or with the same 8-bit integers as the C code."""
