"""A task of the Windows Task Scheduler. No Windows machine has run one of these yet."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from xml.sax.saxutils import escape

UNTRIED = "not yet tested on Windows"

_TASK = """\
<?xml version="1.0" encoding="UTF-16"?>
<!-- Untried: {untried}. -->
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Description>{description}</Description>
  </RegistrationInfo>
  <Triggers>
    <LogonTrigger>
      <Enabled>true</Enabled>
    </LogonTrigger>
  </Triggers>
  <Principals>
    <Principal id="Author">
      <LogonType>InteractiveToken</LogonType>
      <RunLevel>LeastPrivilege</RunLevel>
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <StartWhenAvailable>true</StartWhenAvailable>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <RestartOnFailure>
      <Interval>PT1M</Interval>
      <Count>999</Count>
    </RestartOnFailure>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>{program}</Command>
      <Arguments>{arguments}</Arguments>
    </Exec>
  </Actions>
</Task>
"""


def task_xml(description: str, command: Sequence[str]) -> str:
    """Return a task that runs the command from its user's logon on, and again when it ends."""
    program, *arguments = command
    return _TASK.format(
        untried=UNTRIED,
        description=escape(description),
        program=escape(program),
        arguments=escape(subprocess.list2cmdline(arguments)),
    )
