"""Labelling on pages of Saring: tasks that a volunteer holds, and answers that become annotations in Label Studio."""
