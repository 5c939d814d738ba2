"""Images with their labels: found or fetched, verified, augmented; and pictures from outside."""
