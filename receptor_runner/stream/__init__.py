"""The stream that the stages exchange.

Here live its messages, the codec, and what reads and writes a stream. What a message means for a job is not known
here."""
