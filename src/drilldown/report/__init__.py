"""Reports on runs and studies, as HTML pages and as Markdown."""
