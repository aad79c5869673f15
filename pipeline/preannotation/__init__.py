"""Pre-annotation: the labels to tick before a person sees a text, proposed from machine labels, with reasons."""

from pipeline.preannotation.fitting import fit_policy
from pipeline.preannotation.policy import Policy, default_policy
from pipeline.preannotation.proposal import Proposal
from pipeline.preannotation.propose import Preannotator, propose, propose_new

__all__ = ["Policy", "Preannotator", "Proposal", "default_policy", "fit_policy", "propose", "propose_new"]
