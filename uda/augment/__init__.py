"""From uint8 images to views; knows no labels and no files but policies."""
