"""What shows that the program is right: fuzzing, kills, intervals that cover. Each writes a result file."""
