"""How good a genome is: cases, scorers, and the evaluator that joins them with a phenotype."""

from llmevo.fitness.cases import Splits, apart, checked, label_names, new_case, split, with_labels
from llmevo.fitness.contract import Answer, Case, Failure, NoAnswer, Phenotype, Score, Scorer
from llmevo.fitness.evaluator import Evaluator
from llmevo.fitness.files import from_rows, load_aligned, load_file, load_hub
from llmevo.fitness.functions import FunctionFitness, FunctionScorer
from llmevo.fitness.judge import Judge, Judging, NoVerdict
from llmevo.fitness.objectives import Lexicographic, Several, WeightedSum
from llmevo.fitness.repeated import Repeated
from llmevo.fitness.scorers import SHIPPED, scorer_named
from llmevo.fitness.selecting import not_test, split_of

__all__ = [
    "SHIPPED",
    "Answer",
    "Case",
    "Evaluator",
    "Failure",
    "FunctionFitness",
    "FunctionScorer",
    "Judge",
    "Judging",
    "Lexicographic",
    "NoAnswer",
    "NoVerdict",
    "Phenotype",
    "Repeated",
    "Score",
    "Scorer",
    "Several",
    "Splits",
    "WeightedSum",
    "apart",
    "checked",
    "from_rows",
    "label_names",
    "load_aligned",
    "load_file",
    "load_hub",
    "new_case",
    "not_test",
    "scorer_named",
    "split",
    "split_of",
    "with_labels",
]
