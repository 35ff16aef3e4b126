"""A run is a folder: names, numbering, status, and the model bundle."""
