"""Ansible callback plugin: stands for the one of this name that ansible-runner brings, and shows what Ansible shows
without it.

Rules: execution environments and projects that were made for ansible-runner name it as their stdout callback. The
events come from ``receptor_runner.py``, whatever the stdout callback is. Loads with ansible-core 2.13 and newer."""

from __future__ import annotations

import os

if os.environ.get("AD_HOC_COMMAND_ID"):
    from ansible.plugins.callback.minimal import CallbackModule as Shown
else:
    from ansible.plugins.callback.default import CallbackModule as Shown

DOCUMENTATION = """
    name: awx_display
    type: stdout
    short_description: The same as without a stdout callback of one's own
    description:
      - Used by receptor-runner, for configurations that name the callback plugin of ansible-runner.
    extends_documentation_fragment:
      - default_callback
      - result_format_callback
"""


class CallbackModule(Shown):
    """Ansible's own, under another name."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "awx_display"
