"""The page that shows what the labelled texts look like."""
