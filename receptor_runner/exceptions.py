"""Errors by the names that ``ansible_runner.exceptions`` has."""

from __future__ import annotations

from .errors import ConfigurationError, ReceptorRunnerError

__all__ = ["AnsibleRunnerException", "CallbackError", "ConfigurationError"]

AnsibleRunnerException = ReceptorRunnerError
#: A handler that raises makes the result an ``error``. So this stands for any error of ours.
CallbackError = ReceptorRunnerError
