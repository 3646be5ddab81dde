"""receptorctl's client class, without receptorctl's command line.

Rules: this is the only module that loads receptorctl. An import of the package would import its whole command line
(click's completion, dateutil, termios: a third of the time that one of our commands takes to start). So only the one
module that is needed is loaded, from where the package is installed."""

from __future__ import annotations

import importlib.util
import os
from types import ModuleType

from ..errors import ConfigurationError

__all__ = ["ReceptorControl", "shutdown_write"]


def _load() -> ModuleType:
    package = importlib.util.find_spec("receptorctl")
    if package is None or not package.submodule_search_locations:
        raise ConfigurationError("receptorctl is not installed", hint="install receptor-runner again")
    path = os.path.join(package.submodule_search_locations[0], "socket_interface.py")
    spec = importlib.util.spec_from_file_location("receptor_runner.mesh._socket_interface", path)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"receptorctl cannot be loaded from {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_module = _load()
ReceptorControl = _module.ReceptorControl
shutdown_write = _module.shutdown_write
