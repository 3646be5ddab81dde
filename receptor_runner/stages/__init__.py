"""The stages: transmit, worker, process, and a local run without a stream.

What connects a stream, a guard and sinks into one stage lives here. The parts themselves do not, and no stage calls
another."""
