"""Actions of a home, which commands, jobs, pages and notebooks call."""
