"""The output of `make deploy` and the other playbooks: one line for each change and each failure.

ARGS=-v or ANSIBLE_STDOUT_CALLBACK=default shows Ansible's own output, with every task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible import constants
from ansible.plugins.callback.default import CallbackModule as DefaultCallback

if TYPE_CHECKING:
    from collections.abc import Mapping

DOCUMENTATION = """
    name: fleet
    type: stdout
    short_description: one line for each change and each failure
    description: [One line for each change and each failure.]
    extends_documentation_fragment: [default_callback, result_format_callback]
"""


DEBUG = ("debug", "ansible.builtin.debug")
"""Names of the action that prints a message."""


class CallbackModule(DefaultCallback):  # type: ignore[misc]
    """A line names the device and what was done to it."""

    CALLBACK_NAME = "fleet"

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Print the name of the step."""
        if self._verbose():
            super().v2_playbook_on_play_start(play)
        else:
            self._play = play
            self._display.display(f"\n{play.get_name().strip()}", stderr=True)

    def v2_runner_on_ok(self, result: Any) -> None:
        """Print changes and messages."""
        if self._verbose():
            super().v2_runner_on_ok(result)
        elif result.task.action in DEBUG:
            message = result.result.get("msg", "")
            for line in [message] if isinstance(message, str) else message:
                self._display.display(line)
        elif result.result.get("changed") and not result.task.loop:
            for line in result.result.get("stdout_lines") or [result.task.get_name().strip()]:
                self._line(result, line, constants.COLOR_CHANGED)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Print the reason, in one line."""
        if self._verbose():
            super().v2_runner_on_failed(result, ignore_errors=ignore_errors)
        elif not ignore_errors and not result.task.loop and "censored" not in result.result:
            self._line(result, reason(result.result), constants.COLOR_ERROR)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Print the reason, in one line."""
        if self._verbose():
            super().v2_runner_on_unreachable(result)
        elif "censored" not in result.result:
            self._line(result, reason(result.result), constants.COLOR_UNREACHABLE)

    def v2_runner_item_on_ok(self, result: Any) -> None:
        """Print each change of a loop."""
        if self._verbose():
            super().v2_runner_item_on_ok(result)
        elif result.result.get("changed"):
            label = self._get_item_label(result.result)
            self._line(result, f"{result.task.get_name().strip()}: {label}", constants.COLOR_CHANGED)

    def v2_runner_item_on_failed(self, result: Any) -> None:
        """Print the reason of one item; the whole task fails after it."""
        if self._verbose():
            super().v2_runner_item_on_failed(result)
        elif "censored" not in result.result:
            self._line(result, reason(result.result), constants.COLOR_ERROR)

    def v2_playbook_on_include(self, included_file: Any) -> None:
        """Print nothing: the file of a task is of no interest."""
        if self._verbose():
            super().v2_playbook_on_include(included_file)

    def v2_playbook_on_no_hosts_matched(self) -> None:
        """Print nothing: no device needs this step."""
        if self._verbose():
            super().v2_playbook_on_no_hosts_matched()

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Print how many changes there were."""
        if self._verbose():
            super().v2_playbook_on_stats(stats)
            return
        changed = sorted(host for host, count in stats.changed.items() if count)
        total = sum(stats.changed[host] for host in changed)
        done = f"{total} changes on {len(changed)} devices" if changed else "nothing changed"
        self._display.display(f"\n{done}", stderr=True)

    def _verbose(self) -> bool:
        return bool(self._display.verbosity)

    def _line(self, result: Any, text: str, colour: str) -> None:
        host = "" if result.task.run_once else f"{result.host.get_name()}: "
        self._display.display(f"  {host}{text}", color=colour)


def reason(result: Mapping[str, Any]) -> str:
    """The last line of a failed command, or why it was not run."""
    text = result.get("stderr") or result.get("msg") or "failed and gave no reason"
    return str(text).strip().splitlines()[-1].removeprefix("Task failed: ")
