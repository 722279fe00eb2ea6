"""Everything that can go wrong, as one tree.

```
DevClusterError
├── BinaryError        a program is neither found nor buildable
│   └── BuildError     `go build` failed
├── ProcessError       a child did not start, or ended when it should not
├── CommandError       a command (kubectl, promtool) ended with an error
├── ApiError           the API server answered with an error status
└── DeadlineError      a condition did not come true in time
```
"""

from __future__ import annotations


class DevClusterError(Exception):
    """Base of all errors raised here; its text is fit to be shown as it is."""


class BinaryError(DevClusterError):
    """A program could neither be found nor built."""


class BuildError(BinaryError):
    """`go build` failed; the text ends with the end of its output and a hint."""


class ProcessError(DevClusterError):
    """A child process did not start, or ended when it should not have."""


class CommandError(DevClusterError):
    """A command that was run to its end failed.

    Attributes:
        stderr: What the command wrote to its standard error.
        returncode: Its exit status.
    """

    def __init__(self, command: str, returncode: int, stderr: str) -> None:
        """Compose the message from the command and what it complained about."""
        super().__init__(f"{command} ended with {returncode}:\n{stderr.strip()}")
        self.returncode = returncode
        self.stderr = stderr


class ApiError(DevClusterError):
    """The API server refused a request.

    Attributes:
        status: The HTTP status code.
    """

    def __init__(self, method: str, path: str, status: int, body: str) -> None:
        """Compose the message from the request and the answer."""
        super().__init__(f"{method} {path}: {status} {body.strip()}")
        self.status = status


class DeadlineError(DevClusterError):
    """A condition did not come true before its deadline."""
