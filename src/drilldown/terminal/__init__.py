"""The output of the commands: tables, and the progress of a run."""
