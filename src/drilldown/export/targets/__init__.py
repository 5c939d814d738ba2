"""Figures of the int8 code on a chip, before any board: flash, RAM, stack, instructions, and the same bits."""
