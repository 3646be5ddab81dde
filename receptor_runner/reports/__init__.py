"""What happened in a job, as a page, a test report, data, or a few lines.

Rules: everything is made from events, so a job of ansible-runner has a report, too. Templates, styles and scripts are
files in ``page/``. Nothing that is shown was not masked."""
