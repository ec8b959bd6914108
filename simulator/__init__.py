"""A whole vehicle at the far end of every wire, and the oracle that judges what became of it.

`world` is a pure, seeded model of a bus on a route. `gnss_receiver` and `j1939_bus` turn it into
the bytes of real devices, `vehicle` merges them into one ordered stream of `Emission`s, `wires`
puts these on pseudo-terminals, and `replay` puts real captures on the same wires. Nothing here
imports the agent or its drivers: a shared codec agrees with itself when it is wrong.
"""
