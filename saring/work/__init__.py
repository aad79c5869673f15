"""How the front door hands work to workers, and what its workers bring along."""
