"""What is measured: records, predictions, verdicts, intervals and effects."""
