"""The defaults of a variation, for those that neither pick nor reassess."""

from __future__ import annotations


class VariationBase:
    """The usual answers of a variation about itself: it makes a new genome from its parents."""

    picks = False
    reassess = False
