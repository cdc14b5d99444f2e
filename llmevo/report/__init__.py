"""What a run file says: summaries, intervals, checks. Reads only."""
