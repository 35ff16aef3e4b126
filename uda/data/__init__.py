"""From files to batches; knows nothing about learning."""
