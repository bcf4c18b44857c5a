"""Work for the tests of `jaxmem.app.work`, done in another process, which imports this file."""

import os
import signal
import time
from pathlib import Path

import jaxmem
from jaxmem.app.asked import Begun, Learned, Point

SHIPPED = Path(jaxmem.__file__).parent / "policies" / "shipped"


def count(watched, number):
    """Reports once, hands something over, and gives a result."""
    watched.report("counting", 0.5)
    watched.tell("one")
    return number + 1


def whose(watched):
    """The process that does it."""
    return os.getpid()


def go_on_until(watched, path):
    """Reports until there is a file."""
    while not Path(path).exists():
        watched.report("going on", 0.5)
        time.sleep(0.02)
    return "seen"


def keep(watched):
    """Keeps what it has when it is asked to stop, and takes a while for that."""
    while not watched.stopping:
        watched.report("learning", keeps=True)
        time.sleep(0.02)
    time.sleep(0.6)
    return "kept"


def hang(watched, keeps=False):
    """As if something were being compiled for ever."""
    watched.report("compiling", keeps=keeps)
    time.sleep(3600)


def take_long(watched):
    watched.report("reading …", within=0.3)
    time.sleep(3600)


def divide(watched):
    return 1 / 0


def refuse(watched):
    raise ValueError("too many cells")


def die(watched):
    watched.report("reading …")
    os.kill(os.getpid(), signal.SIGKILL)


def say(watched):
    """Prints, which is for the log and must not be taken for an answer."""
    print("by the way")
    return "said"


def learn(watched, asked, states, seed):
    """As if a network had been trained until somebody stops it."""
    watched.tell(Begun({"first": 7.0}, states))
    watched.tell(Point(states // 2, 5.0))
    watched.report(f"{states // 2:,} of {states:,} steps", 0.5, keeps=True)
    while not watched.stopping:
        time.sleep(0.02)
    policy = SHIPPED.joinpath("geometric.safetensors").read_bytes()
    return Learned(policy, states // 2, 1.0, (), 5.0, "first", 7.0)


def refuse_in_markdown(watched, *arguments):
    raise ValueError("![x](http://a.example/b) <img src=c> :smile: $x$")
