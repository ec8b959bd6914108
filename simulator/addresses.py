"""Source addresses of the simulated bus (SAE J1939-81, preferred ones where there are any)."""

ENGINE = 0x00
TRANSMISSION = 0x03
BRAKES = 0x0B
RETARDER = 0x0F
CLUSTER = 0x17
BODY = 0x21
VEHICLE_CONTROLLER = 0x27
SUSPENSION = 0x2F
DOORS = 0xEC
TACHOGRAPH = 0xEE
GATEWAY = 0xEF
"""Says again what was said last, from the highest address on the bus."""
TRACTION_BATTERY = 0xF3
STALE_DOORS = 0xF5
"""An old door module that was left on the bus (quirk `two_door_senders`)."""
