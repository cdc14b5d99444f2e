from __future__ import annotations

import numpy as np

from llmevo.text.bag import SIZE, bag_of_words


def test_rows_are_units_that_do_not_depend_on_their_company() -> None:
    texts = ["The screen is bright.", "the screen, is bright", "It arrived late", "…"]
    rows = bag_of_words(texts)
    assert rows.shape == (4, SIZE)
    assert np.allclose(np.linalg.norm(rows[:3], axis=1), 1.0) and not rows[3].any()
    assert np.array_equal(rows[0], rows[1]), "case and punctuation do not matter"
    assert np.array_equal(rows[2], bag_of_words(texts[2:3])[0])


def test_shared_words_are_near_and_order_counts_a_little() -> None:
    rows = bag_of_words(["late and broken", "it came late and broken", "fast and shiny", "broken and late"])
    near = rows @ rows[0]
    assert near[1] > near[2] and 1.0 > near[3] > near[2]
