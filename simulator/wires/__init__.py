"""The ends of the wires: pseudo-terminals on which simulated devices meet the agent's drivers."""
