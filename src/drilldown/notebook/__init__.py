"""Objects and figures in a notebook."""
