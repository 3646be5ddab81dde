"""Where results go besides artifacts and handlers: files and services that somebody names by ``--sink KIND:TARGET``.

Rules: a sink lives on the controller, and needs nothing at the node. Each is behind a queue with a bound
(``results/queued_sink.py``), so none can harm a job. All of them get masked events."""
