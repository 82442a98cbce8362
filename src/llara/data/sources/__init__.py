"""Known data sets: where their publishers offer them, and how their files are read."""
