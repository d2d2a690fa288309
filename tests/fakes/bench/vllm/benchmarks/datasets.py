"""A stand-in for vLLM's: what a request to send is."""

from __future__ import annotations

from types import SimpleNamespace

SampleRequest = SimpleNamespace
