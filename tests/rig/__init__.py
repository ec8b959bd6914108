"""Hardware in the loop without hardware: the agent in a guest with a kernel of its own.

The guest is User-Mode Linux: an ordinary process, made of Debian packages by `tests/rig/build`.
Killing it is a power cut. docs/rig.md tells what it can show and what a bench has to.
"""
