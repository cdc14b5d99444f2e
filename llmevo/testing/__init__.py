"""Fakes and toys that ship with the product, so that users can test what they build on it.

Import from the modules: `toy` (a representation without a model), `server` (a faulty OpenAI-compatible server), `clock`.
"""
