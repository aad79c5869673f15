"""The review: texts whose labels are in doubt, one at a time before a reviewer, who settles them."""
