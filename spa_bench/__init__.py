"""spa-bench: does a language-model agent have an internal world model?"""

__version__ = "0.1.0"
