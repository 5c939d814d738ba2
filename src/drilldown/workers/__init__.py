"""Training on several processes and machines: what travels, who trains, and what comes back."""
