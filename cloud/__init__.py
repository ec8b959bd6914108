"""The far end of the uplink: takes what vehicles send, books it durably, then acknowledges it.

`python -m cloud` is the receiver, `python -m cloud report` prints what its ledger holds. It meets
the vehicle on MQTT only and shares no code with it: the payload is read from `telemetry.proto`.

    batch, decoder, json_format   payload bytes -> a checked Batch (pure, total)
    intervals, dating, acks       sets of seq, boot time -> UTC, what to acknowledge (pure)
    intake                        one MQTT message -> delivery, status or rejection (pure)
    schema, ledger                the books: SQLite, one transaction a group of messages
    session, receiver             MQTT in, commit, acknowledge
    report, __main__              what people and scripts read
"""
