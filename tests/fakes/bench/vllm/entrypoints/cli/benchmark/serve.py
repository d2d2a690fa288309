"""A stand-in for vLLM's: where its parser is found."""

from argparse import ArgumentParser as FlexibleArgumentParser

__all__ = ["FlexibleArgumentParser"]
