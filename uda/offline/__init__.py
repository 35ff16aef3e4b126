"""Work on files before or beside training: augmented copies, audits, boxes."""
