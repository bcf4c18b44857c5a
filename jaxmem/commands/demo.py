"""`jaxmem demo`."""

import importlib.util
import os
import socket
from collections.abc import Sequence
from pathlib import Path

import jaxmem
from jaxmem.app import choices
from jaxmem.configuration import UsageError
from jaxmem.extras import how_to_get
from jaxmem.settings.verbs import DemoSettings

PAGE_FILE = Path(jaxmem.__file__).parent / "app" / "page.py"


def run(settings: DemoSettings, command: str) -> int:
    """Serves the page until it is interrupted."""
    del command
    arguments = server_arguments(settings)
    if importlib.util.find_spec("streamlit") is None:
        raise UsageError(f"demo needs streamlit: {how_to_get('demo', 'jaxmem demo')}")
    choices.OFFERED.update(offered(settings.policies))
    check_free(settings.address, settings.port)
    host = "localhost" if settings.address in ("0.0.0.0", "::") else settings.address
    print(f"jaxmem demo: http://{host}:{settings.port} (Ctrl-C ends it)", flush=True)
    # The page and what works for it are several processes: they share an accelerator, if there is
    # one.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    # Imported late: a wrong setting should not wait for it.
    from streamlit.web import cli

    cli.main(["run", str(PAGE_FILE), *arguments], standalone_mode=False)
    return 0


def offered(policies: Sequence[str]) -> dict[str, str]:
    """Returns the paths of policies that visitors may choose, by what the page calls them.

    Raises:
        UsageError: one is no file or run folder of a policy that plays in bytes.
    """
    if not policies:
        return {}
    # They bring JAX, which the page itself does without.
    from jaxmem.commands.byte_policies import check_byte_policies
    from jaxmem.recordings.policy_file import IN_PACKAGE, titled_policies

    for name in policies:
        if name in IN_PACKAGE:
            raise UsageError(f"policies: {name} is on the page already; name files or run folders")
    check_byte_policies(policies)
    return {title: os.path.abspath(name) for title, name in titled_policies(policies).items()}


def server_arguments(settings: DemoSettings) -> list[str]:
    """Returns what Streamlit is told."""
    address, port = settings.address, settings.port
    options = {
        "server.address": address,
        "server.port": port,
        "server.headless": "true",  # opens no window, and asks for no e-mail address
        "server.fileWatcherType": "none",
        "server.maxUploadSize": settings.upload,
        "server.enableStaticServing": "false",
        "browser.gatherUsageStats": "false",
        # Known, so that nobody outside is asked which address this machine has.
        "browser.serverAddress": "localhost" if address in ("0.0.0.0", "::") else address,
        "browser.serverPort": port,
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "logger.hideWelcomeMessage": "true",
        "runner.magicEnabled": "false",
        # Each look at work that goes on is a run, after which Streamlit would search the memory
        # for garbage: seconds with JAX in it, in which nobody gets an answer.
        "runner.postScriptGC": "false",
        "theme.base": "light",
        "theme.primaryColor": "#59636e",
    }
    return [f"--{name}={value}" for name, value in options.items()]


def check_free(address: str, port: int) -> None:
    """Raises UsageError where nothing can listen there."""
    try:
        family, *_, where = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(
            f"nothing can listen on {address} port {port} ({reason}); take another port=N"
        ) from None
