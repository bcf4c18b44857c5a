"""Command lines of Python are taken apart as Python itself does."""

import sys

import pytest

from jaxmem.commands.python_command import python_command


@pytest.mark.parametrize(
    ("command", "options", "target", "name"),
    [
        ("python a.py -m x", (), ("a.py", "-m", "x"), "a"),
        ("python3.11 -X dev -O dir/a.py", ("-X", "dev", "-O"), ("dir/a.py",), "a"),
        ("python -Im json.tool -h", ("-I",), ("-m", "json.tool", "-h"), "json.tool"),
        ("python -Wd -uc x y", ("-Wd", "-u"), ("-c", "x", "y"), "python"),
        ("python -Werror -mjson.tool", ("-Werror",), ("-m", "json.tool"), "json.tool"),
        ("python -W error a.py", ("-W", "error"), ("a.py",), "a"),
        (
            "/usr/bin/python3 --check-hash-based-pycs always a.py",
            ("--check-hash-based-pycs", "always"),
            ("a.py",),
            "a",
        ),
        ("python", (), (), "python"),
        ("python -", (), (), "python"),
        ("python -OO", ("-OO",), (), "python"),
        ("python --version", ("--version",), (), "python"),
        ("python -X", ("-X",), (), "python"),
        ("python -m", (), ("-m",), ""),
    ],
)
def test_options_of_the_interpreter_end_where_the_program_begins(command, options, target, name):
    words = python_command(command.split())
    assert words is not None
    assert (words.interpreter, words.options, words.target) == (command.split()[0], options, target)
    assert words.name == name


@pytest.mark.parametrize("command", ["a.py -- 1", "-m json.tool"])
def test_a_file_or_module_alone_is_for_this_interpreter(command):
    words = python_command(command.split())
    assert words is not None
    assert words.command == [sys.executable, *command.split()]


@pytest.mark.parametrize("command", ["ls -l", "pythonic", "./python.sh", "python-config", "a.pyc"])
def test_other_programs_are_none_of_python(command):
    assert python_command(command.split()) is None
