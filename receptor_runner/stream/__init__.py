"""The stream that the stages exchange.

Messages, the codec, readers and writers of a stream live here. What a message means for a job does not.
"""
