"""The experiment file: typed, with inheritance, overrides, and messages that name the line."""
