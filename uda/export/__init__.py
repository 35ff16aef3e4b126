"""From a run to one model file for other programs, and back to answers."""
