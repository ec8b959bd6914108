"""The cloud end's tests run in a process of their own: they never import the agent."""

from __future__ import annotations

import sys
from pathlib import Path

# What several tests here share stands beside them.
sys.path.insert(0, str(Path(__file__).parent))
