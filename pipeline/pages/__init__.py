"""HTML pages: render them, and write them into a folder."""
