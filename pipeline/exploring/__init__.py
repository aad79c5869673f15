"""What the labelled texts look like: counts, words, lengths, duplicates, a map, as numbers and as one page."""
