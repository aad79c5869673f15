"""The stages of `pipeline` whose work can be spread over workers."""

from pipeline.work.stages.centroid import CentroidStage
from pipeline.work.stages.embed import EmbedStage
from pipeline.work.stages.judge import JudgeStage
from pipeline.work.stages.pseudolabel import PseudolabelStage
from pipeline.work.stages.sentiment import SentimentStage

__all__ = ["CentroidStage", "EmbedStage", "JudgeStage", "PseudolabelStage", "SentimentStage"]
