"""What is ticked before a person looks: labels proposed from everything that machines know of a text, and why."""

from pipeline.preannotation.fitting import fit_policy
from pipeline.preannotation.policy import Policy, default_policy
from pipeline.preannotation.proposal import Proposal
from pipeline.preannotation.propose import Preannotator, propose, propose_new

__all__ = ["Policy", "Preannotator", "Proposal", "default_policy", "fit_policy", "propose", "propose_new"]
