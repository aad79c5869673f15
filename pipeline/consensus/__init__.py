"""What several machines together say: estimating the consensus, choosing its method on gold, and what each is worth."""
