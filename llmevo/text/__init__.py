"""The text wing: genomes of named texts, variations with and without a model, and what a text does with a case."""

from llmevo.breeding.parts import ANY, EACH, PartCrossover, on
from llmevo.text.edits import Cut, Splice, WordEdits
from llmevo.text.encoded import Encoded, sentence_encoder
from llmevo.text.founders import given, seeds
from llmevo.text.genome import TextGenome
from llmevo.text.instruct import Draw, Instruct
from llmevo.text.likelihood import Likelihood
from llmevo.text.phenotypes import Prompted, Verbatim
from llmevo.text.phrases import Corrections, Phrases
from llmevo.text.views import ParentView, views

__all__ = [
    "ANY",
    "EACH",
    "Corrections",
    "Cut",
    "Draw",
    "Encoded",
    "Instruct",
    "Likelihood",
    "ParentView",
    "PartCrossover",
    "Phrases",
    "Prompted",
    "Splice",
    "TextGenome",
    "Verbatim",
    "WordEdits",
    "given",
    "on",
    "seeds",
    "sentence_encoder",
    "views",
]
