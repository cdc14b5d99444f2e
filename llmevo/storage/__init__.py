"""What lasts: the database of a run, its journal, answers, blobs and budget."""
