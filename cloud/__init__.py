"""The far end of the uplink: takes what vehicles send, books it durably, then acknowledges it.

`python -m cloud` is the receiver, `python -m cloud report` prints what its ledger holds. It meets
the vehicle on MQTT only and shares no code with it: the payload is read from `telemetry.proto`.

    batch, structure, decoder, json_format   payload bytes -> a checked Batch (pure, total)
    intervals, dating, acks    sets of seq; boot time -> UTC; what to acknowledge (pure)
    topics, intake             one MQTT message -> delivery, status or rejection (pure)
    schema, rows, boots, spans, notes, ledger   the books in SQLite
    session, receiver          MQTT in, commit, acknowledge
    report, __main__           what people and scripts read

A vehicle keeps a record until it is acknowledged here, so nothing is acknowledged before the commit
that holds it. Whatever comes twice is booked once and acknowledged twice. What cannot be read is
kept aside, counted and not acknowledged.
"""
