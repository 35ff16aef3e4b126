"""What the data can support, and which treatment to try first."""
