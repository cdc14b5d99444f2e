"""The weight wing: genomes are recipes of LoRA adapters, merged, mutated and selected without gradients. Extra `[weights]`.

`genome` and `variations` need no torch, so that a run can be planned, replayed and shown without it; `adapter`, `merge` and whatever
touches a tensor do. Import from the modules.
"""
