"""Actions of a home: what commands, jobs, pages and notebooks call."""
