"""Small data sets that tests of whole commands share."""
