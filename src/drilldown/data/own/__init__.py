"""Datasets that have no name: IDX files, arrays, tables and folders of pictures, each with a reader of its own."""
