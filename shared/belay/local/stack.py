"""Builds template.yaml, deploys it to an embedded AWS emulator and talks to it; never reaches a real account.

Only who holds the keys of a run is answered, and the emulator ends with the process that started it (`emulator`).

For example:

    with Stack(Path("build/demo/aws")) as stack:
        stack.deploy()
        stack.client("sqs").send_message(QueueUrl=stack.outputs["IntentsQueueUrl"], ...)
"""

import json
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
from botocore.config import Config

from belay.local.build import build, machine_architecture
from belay.local.port import kept_port, listening, port_file, refuses_strangers
from belay.local.private import private_folder
from belay.local.programs import (
    MINISTACK,
    REGION,
    ROOT,
    SAM,
    STOP_SECONDS,
    StackError,
    environment,
    kill_group,
    run,
    tail,
    tell,
    tool,
)

EMULATOR = Path(__file__).with_name("emulator.py")
STACK_NAME, STAGE = "belay-local", "dev"
START_SECONDS = 60
CLIENT_CONFIG = Config(connect_timeout=5, read_timeout=90, retries={"total_max_attempts": 1}, max_pool_connections=32)


@dataclass(frozen=True)
class Administrator:
    """Who may do everything in one emulator, for as long as that runs."""

    access_key: str
    secret: str = field(repr=False)

    @classmethod
    def random(cls) -> Self:
        return cls(f"AKIA{secrets.token_hex(8).upper()}", secrets.token_hex(32))

    def environment(self) -> dict[str, str]:
        """For a child process: other users see the arguments of a process, not its environment."""
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret}

    def session(self) -> Any:
        """Makes clients of the emulator, where they are given its endpoint."""
        return boto3.session.Session(
            aws_access_key_id=self.access_key, aws_secret_access_key=self.secret, region_name=REGION
        )


class Stack:
    """One emulator process, its state folder and the stack deployed to it.

    `state` keeps the emulator's state, its port, its log and its workers' files; a second start on it finds what
    the first left. `say` receives progress lines (default: standard error). `administrator` is another one for each
    object, and nobody to the emulator of any other.
    """

    def __init__(self, state: Path, say: Callable[[str], None] | None = None) -> None:
        self.state = state.resolve()
        self.log = self.state / "ministack.log"
        self.administrator = Administrator.random()
        self.outputs: dict[str, str] = {}
        self._say = say or tell
        self._port = kept_port(self.state)
        self._process: subprocess.Popen[bytes] | None = None
        self._stored = True

    @property
    def endpoint(self) -> str:
        """The emulator's URL, the same whenever it runs on this state: the queues are stored under their URLs."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def running(self) -> bool:
        """Whether the emulator was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the emulator and wait until it answers. Raises StackError."""
        workers = private_folder(private_folder(self.state) / "workers")
        variables = environment(building=False) | {
            "AUTH": "true",
            "GATEWAY_PORT": str(self._port),
            "HOME": str(workers),
            "IOT_MTLS_ENABLED": "0",
            "MINISTACK_REGION": REGION,
            "PERSIST_STATE": "1",
            "S3_DATA_DIR": str(self.state / "s3"),
            "S3_PERSIST": "1",
            "SFTP_ENABLED": "0",
            "STATE_DIR": str(self.state / "state"),
            "TMPDIR": str(workers),
        }  # fmt: skip
        with listening(self._port) as door, self.log.open("ab") as log:
            port_file(self.state).write_text(str(self._port))
            self._process = subprocess.Popen(  # noqa: S603 a program of ours
                [tool(MINISTACK), "-I", EMULATOR, str(door.fileno())],
                pass_fds=(door.fileno(),),
                cwd=workers,
                env=variables,
                umask=0o077,
                stdin=subprocess.PIPE,  # stays open: its end is the emulator's
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._hand_over(self._process)
            self._wait_until_ready(self._process)
        except BaseException:
            self.stop()
            raise

    def _hand_over(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None  # noqa: S101 it is started with a pipe
        with suppress(BrokenPipeError):  # it has ended, which is told where it is waited for
            process.stdin.write(json.dumps(self.administrator.environment()).encode() + b"\n")
            process.stdin.flush()

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not refuses_strangers(self.endpoint):
            if process.poll() is not None:
                raise StackError(f"the AWS emulator ended with code {process.returncode}\n{tail(self.log)}")
            if time.monotonic() > deadline:
                raise StackError(f"the AWS emulator gave no answer in {START_SECONDS} s\n{tail(self.log)}")
            time.sleep(0.1)

    def stop(self) -> bool:
        """End the emulator, which stores its state, and every worker it started; harmless when stopped.

        Returns whether all of its state was stored, when it was last stopped.
        """
        process, self._process = self._process, None
        if process is None:
            return self._stored
        ended_before = process.poll() is not None
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._say("The AWS emulator did not stop by itself; its state is lost")
        finally:
            kill_group(process.pid)
            process.wait()
            _close(process)
            shutil.rmtree(self.state / "workers", ignore_errors=True)
            self._stored = process.returncode == 0 and not ended_before
        if process.returncode > 0 and not ended_before:
            self._say(f"The AWS emulator could not store its state (log: {self.log})")
        return self._stored

    def restart(self) -> None:
        """Stop and start on the same state and port: every worker is a new process afterwards."""
        self.stop()
        self.start()

    def deploy(self, parameters: Mapping[str, str] | None = None) -> dict[str, str]:
        """Build, `sam deploy`, and return the stack's outputs by name. Raises StackError.

        `parameters` override the local defaults: this machine's architecture, no schedules, short visibility.
        """
        defaults = {
            "Stage": STAGE,
            "Architecture": machine_architecture(),
            "ScheduleState": "DISABLED",
            "VisibilityTimeout": "30",
            "FollowUpsVisibilityTimeout": "60",
        }
        chosen = defaults | dict(parameters or {})
        folder = build(chosen["Architecture"], self._say)
        self._say(f"Deploying to the AWS emulator at {self.endpoint}")
        command: list[str | Path] = [
            tool(SAM), "deploy", "--template-file", folder / "template.yaml", "--stack-name", STACK_NAME,
            "--config-file", ROOT / "samconfig.toml", "--resolve-s3", "--s3-prefix", STACK_NAME,
            "--capabilities", "CAPABILITY_IAM", "--region", REGION, "--no-progressbar",
            "--no-confirm-changeset", "--no-fail-on-empty-changeset",
            "--parameter-overrides", *(f"{name}={value}" for name, value in chosen.items()),
        ]  # fmt: skip
        run(command, self.state / "deploy.log", self._own_environment())
        self.outputs = self.read_outputs()
        return self.outputs

    def read_outputs(self) -> dict[str, str]:
        """The outputs of the stack that is deployed here."""
        stacks = self.client("cloudformation").describe_stacks(StackName=STACK_NAME)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stacks[0]["Outputs"]}

    def client(self, service: str) -> Any:
        """A boto3 client of the emulator, with administrator credentials."""
        return self.administrator.session().client(service, endpoint_url=self.endpoint, config=CLIENT_CONFIG)

    def _own_environment(self) -> dict[str, str]:
        return {**self.administrator.environment(), "AWS_ENDPOINT_URL": self.endpoint}

    def queues_empty(self) -> bool:
        """Whether nothing waits, is delayed or is being worked on in the intents and follow-ups queues."""
        return not any(self.messages_in(queue) for queue in ("IntentsQueueUrl", "FollowUpsQueueUrl"))

    def messages_in(self, output: str) -> int:
        """Messages waiting, delayed or being worked on in the queue whose URL is the named output."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self._sqs.get_queue_attributes(
            QueueUrl=self.outputs[output], AttributeNames=[*names, "ApproximateNumberOfMessagesDelayed"]
        )
        return sum(int(count) for count in answer["Attributes"].values())

    @cached_property
    def _sqs(self) -> Any:
        return self.client("sqs")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _close(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None  # noqa: S101 it is started with a pipe
    with suppress(BrokenPipeError):
        process.stdin.close()
