"""The dashboard: pages for maintainers and reviewers, on the same actions as the command line."""
