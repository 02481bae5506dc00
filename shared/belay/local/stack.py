"""Builds template.yaml, deploys it to an embedded AWS emulator and talks to it; never reaches a real account.

Only who holds the keys of a run is answered, and the emulator ends with the process that started it (`emulator`).

For example:

    with Stack(Path("build/demo/aws")) as stack:
        stack.deploy()
        stack.client("sqs").send_message(QueueUrl=stack.outputs["IntentsQueueUrl"], ...)
"""

import fcntl
import hashlib
import json
import os
import platform
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
from botocore.config import Config

from belay.local.private import private_folder

ROOT = Path(__file__).resolve().parents[3]
SAM = ROOT / ".tools/sam/bin/sam"
MINISTACK = ROOT / ".tools/ministack/bin/python"
EMULATOR = Path(__file__).with_name("emulator.py")
BUILDS = ROOT / ".aws-sam"
# The rooms that the layer does not carry.
NOT_IN_THE_LAYER = frozenset({"cli", "demo", "local", "pages", "replay"})

STACK_NAME = "belay-local"
REGION = "us-east-1"
START_SECONDS = 60
STOP_SECONDS = 30
CLIENT_CONFIG = Config(connect_timeout=5, read_timeout=90, retries={"total_max_attempts": 1}, max_pool_connections=32)
LOG_TAIL_LINES = 40

# What a child process may know of the caller, never an AWS setting: functions run inside the emulator and see
# what it sees; building also needs to find packages.
KEPT_VARIABLES = {"LANG", "LC_ALL", "PATH", "SSL_CERT_DIR", "SSL_CERT_FILE", "TERM"}
KEPT_FOR_BUILDING = {"HOME", "REQUESTS_CA_BUNDLE", "TMPDIR"}
KEPT_PREFIXES_FOR_BUILDING = ("PIP_", "PYENV_", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")


class StackError(Exception):
    """A step of building, starting or deploying failed; the message ends with the tail of its log."""


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


def machine_architecture() -> str:
    """This machine's architecture in Lambda's words, `arm64` or `x86_64`."""
    return "arm64" if platform.machine() in {"aarch64", "arm64"} else "x86_64"


def build(architecture: str | None = None, say: Callable[[str], None] | None = None) -> Path:
    """Run `sam build` for an architecture (default: this machine's); return the folder of the built template.

    Nothing runs when the sources are those of the last build. Raises StackError.
    """
    architecture = architecture or machine_architecture()
    folder = BUILDS / architecture
    with _alone(BUILDS / f"{architecture}.lock"):
        fingerprint = _fingerprint(architecture)
        stamp = BUILDS / f"{architecture}.built"
        if (folder / "template.yaml").exists() and stamp.exists() and stamp.read_text() == fingerprint:
            return folder
        (say or _say)(f"Building functions and layer for {architecture}")
        stamp.unlink(missing_ok=True)
        command: list[str | Path] = [
            _tool(SAM), "build", "--template-file", ROOT / "template.yaml", "--build-dir", folder,
            "--parameter-overrides", f"Architecture={architecture}",
        ]  # fmt: skip
        _run(command, BUILDS / f"{architecture}.log", environment={"PYTHON": sys.executable})
        stamp.write_text(fingerprint)
    return folder


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
        self._say = say or _say
        self._port = _kept_port(self.state)
        self._process: subprocess.Popen[bytes] | None = None

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
        environment = _environment(building=False) | {
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
        with _listening(self._port) as door, self.log.open("ab") as log:
            _port_file(self.state).write_text(str(self._port))
            self._process = subprocess.Popen(  # noqa: S603 a program of ours
                [_tool(MINISTACK), "-I", EMULATOR, str(door.fileno())],
                pass_fds=(door.fileno(),),
                cwd=workers,
                env=environment,
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
        while not _refuses_strangers(self.endpoint):
            if process.poll() is not None:
                raise StackError(f"the AWS emulator ended with code {process.returncode}\n{_tail(self.log)}")
            if time.monotonic() > deadline:
                raise StackError(f"the AWS emulator gave no answer in {START_SECONDS} s\n{_tail(self.log)}")
            time.sleep(0.1)

    def stop(self) -> bool:
        """End the emulator, which stores its state, and every worker it started; harmless when stopped.

        Returns whether all of its state was stored.
        """
        process, self._process = self._process, None
        if process is None:
            return True
        ended_before = process.poll() is not None
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._say("The AWS emulator did not stop by itself; its state is lost")
        finally:
            _kill_group(process.pid)
            process.wait()
            _close(process)
            shutil.rmtree(self.state / "workers", ignore_errors=True)
        return process.returncode == 0 and not ended_before

    def restart(self) -> None:
        """Stop and start on the same state and port: every worker is a new process afterwards."""
        self.stop()
        self.start()

    def deploy(self, parameters: Mapping[str, str] | None = None) -> dict[str, str]:
        """Build, `sam deploy`, and return the stack's outputs by name. Raises StackError.

        `parameters` override the local defaults: this machine's architecture, no schedules, short visibility.
        """
        defaults = {
            "Stage": "dev",
            "Architecture": machine_architecture(),
            "ScheduleState": "DISABLED",
            "VisibilityTimeout": "30",
            "FollowUpsVisibilityTimeout": "60",
        }
        chosen = defaults | dict(parameters or {})
        folder = build(chosen["Architecture"], self._say)
        self._say(f"Deploying to the AWS emulator at {self.endpoint}")
        command: list[str | Path] = [
            _tool(SAM), "deploy", "--template-file", folder / "template.yaml", "--stack-name", STACK_NAME,
            "--config-file", ROOT / "samconfig.toml", "--resolve-s3", "--s3-prefix", STACK_NAME,
            "--capabilities", "CAPABILITY_IAM", "--region", REGION, "--no-progressbar",
            "--no-confirm-changeset", "--no-fail-on-empty-changeset",
            "--parameter-overrides", *(f"{name}={value}" for name, value in chosen.items()),
        ]  # fmt: skip
        _run(command, self.state / "deploy.log", environment=self._own_environment())
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


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _tool(program: Path) -> Path:
    if not program.exists():
        raise StackError(f"{program.relative_to(ROOT)} is missing: run `make setup` in {ROOT}")
    return program


def _environment(*, building: bool) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in KEPT_VARIABLES
        or (building and (name in KEPT_FOR_BUILDING or name.startswith(KEPT_PREFIXES_FOR_BUILDING)))
    }
    # The interpreter's own folder first: SAM looks for python3.13 on PATH.
    return kept | {
        "PATH": f"{Path(sys.executable).parent}:{kept.get('PATH', os.defpath)}",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_DEFAULT_REGION": REGION,
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "SAM_CLI_TELEMETRY": "0",
    }


def _run(command: list[str | Path], log: Path, environment: Mapping[str, str]) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 a program of ours
            command,
            cwd=ROOT,
            env=_environment(building=True) | dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait()
        except BaseException:
            _kill_group(process.pid)
            raise
    if code != 0:
        raise StackError(f"`sam {command[1]}` ended with code {code}\n{_tail(log)}")


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join([*lines[-LOG_TAIL_LINES:], f"(whole log: {log})"])


def _fingerprint(architecture: str) -> str:
    digest = hashlib.sha256(architecture.encode())
    for path in sorted(_sources()):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(ROOT)} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _sources() -> Iterator[Path]:
    """What a build reads: the template, the functions and shared/, without caches and this command line."""
    yield ROOT / "template.yaml"
    for folder in (ROOT / "functions", ROOT / "shared"):
        for path in folder.rglob("*"):
            parts = path.relative_to(ROOT).parts
            cached = "__pycache__" in parts or any(part.endswith(".egg-info") for part in parts)
            if (
                path.is_file()
                and not cached
                and (parts[:2] != ("shared", "belay") or parts[2] not in NOT_IN_THE_LAYER)
                and path.suffix != ".md"
            ):
                yield path


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def leftovers(state: Path) -> list[int]:
    """The processes of an emulator that runs on this state folder, its functions included. Linux only."""
    mark = f"STATE_DIR={state.resolve() / 'state'}".encode()
    return [int(process.name) for process in Path("/proc").glob("[0-9]*") if mark in _environment_of(process)]


def end_leftovers(state: Path) -> bool:
    """End an emulator whose owner was killed; it may still store its state. Returns whether there was one."""
    found = leftovers(state)
    for process in found:
        with suppress(ProcessLookupError):
            if os.getsid(process) == process:  # the emulator itself, which ends its functions
                os.kill(process, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while found and leftovers(state) and time.monotonic() < deadline:
        time.sleep(0.1)
    for process in leftovers(state):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    return bool(found)


def _environment_of(process: Path) -> list[bytes]:
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except OSError:  # someone else's, or it has ended
        return []


def _port_file(state: Path) -> Path:
    return state / "port"


def _kept_port(state: Path) -> int:
    file = _port_file(state)
    return int(file.read_text()) if file.exists() else free_port()


@contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    """The port, taken before the emulator starts: no other program can answer in its place. Raises StackError."""
    with socket.socket() as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # also right after a stop
        door.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            door.bind(("127.0.0.1", port))
            door.listen()
        except OSError:
            problem = f"port {port}, which this stack was deployed with, is in use; try again later"
            raise StackError(problem) from None
        yield door


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _refuses_strangers(url: str) -> bool:
    """Whether the emulator answers yet. Raises StackError where it answers who has no key."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2):
            raise StackError("the AWS emulator answers without a key; it is not used")
    except urllib.error.HTTPError as error:
        with error:
            return error.code == HTTPStatus.FORBIDDEN
    except OSError:
        return False


def _close(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None  # noqa: S101 it is started with a pipe
    with suppress(BrokenPipeError):
        process.stdin.close()


def _kill_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return
