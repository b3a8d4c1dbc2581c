"""Does the work: tasks, archives, media. Imports nothing of the faces."""
