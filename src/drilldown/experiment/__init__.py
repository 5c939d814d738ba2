"""The experiment file: typed tables, inheritance, overrides, and messages with the line of each error."""
