"""Policies learned from runs, in files: what is loaded is what was saved, all else is refused."""

import json
import re

import numpy as np
import pytest
from safetensors.numpy import save_file

from jaxmem.arena.arena import NEVER
from jaxmem.carded_file import POLICY_FILE, PolicyFileError, read_policy_file, write_policy_file
from jaxmem.recordings import Recording
from jaxmem.recordings.class_rule import LONG, SMALL, RuleNumbers
from jaxmem.recordings.hole_scorer import HOLE_FEATURES, PRIOR, HoleScorer
from jaxmem.recordings.policy_file import load_byte_policy
from jaxmem.recordings.profile import CONTEXTS, Profile, contexts_of, profile_of
from jaxmem.recordings.profiled_policy import PROFILED_FORMAT, ProfiledPolicy, save_profiled
from jaxmem.recordings.replay import events_of
from jaxmem.recordings.scorer_file import save_scorer

PROFILE = Profile(np.array([2, 2**63, 2**64 - 1], np.uint64), np.array([1, NEVER, 77], np.int32))
POLICY = ProfiledPolicy(PROFILE, RuleNumbers(300, 64, (0, 1, 2, 3)), {"why": "a test", "runs": [1]})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mine.safetensors"


def assert_same(one: ProfiledPolicy, other: ProfiledPolicy) -> None:
    assert (one.rule, one.training) == (other.rule, other.training)
    for mine, yours in zip(one.profile, other.profile, strict=True):
        assert mine.dtype == yours.dtype
        np.testing.assert_array_equal(mine, yours)


def test_exceptions_come_back_and_tell_requests_by_their_contexts(path):
    run = Recording("x", np.array([4, 5]), np.array([1, 1]))
    profile = profile_of([run])
    exceptions = ((0, 3), (len(profile.key) - 1, 1))
    save_profiled(path, ProfiledPolicy(profile, POLICY.rule._replace(exceptions=exceptions)))
    found = load_byte_policy(str(path))
    assert isinstance(found, ProfiledPolicy)
    assert found.rule.exceptions == exceptions
    events = found.foretold(events_of(run, 1))
    assert events.contexts is not None
    keys = np.stack(contexts_of(run), axis=1)
    np.testing.assert_array_equal(profile.key[events.contexts], keys)
    assert read_policy_file(path, "mine")[1]["exceptions"][0] == [0, "best, high end"]


@pytest.mark.parametrize(
    ("exceptions", "said"),
    [
        ("all", "exceptions are lists of a context, below 3, and a fit; not None"),
        ([[3, "best, low end"]], "below 3, and a fit; not [3, 'best, low end']"),
        ([[-1, "best, low end"]], "not [-1, 'best, low end']"),
        ([[0, "worst"]], "not [0, 'worst']"),
        ([[0.0, "best, low end"]], "not [0.0, 'best, low end']"),
        ([[True, "best, low end"]], "not [True, 'best, low end']"),
        ([7], "not 7"),
        ([[0, "best, low end"]] * 65, "65 exceptions, over 64"),
    ],
)
def test_exceptions_that_there_cannot_be_are_refused(path, exceptions, said):
    save_profiled(path, POLICY)
    arrays, card = read_policy_file(path, "mine")
    write_policy_file(path, arrays, {**card, "exceptions": exceptions})
    with pytest.raises(PolicyFileError, match=re.escape(said)):
        load_byte_policy(str(path))


@pytest.mark.parametrize("long", LONG)
@pytest.mark.parametrize("parts", SMALL)
def test_a_policy_comes_back_exactly(path, long, parts):
    policy = ProfiledPolicy(PROFILE, RuleNumbers(long, parts, (2, 3, 0, 1)), {"seed": 3})
    save_profiled(path, policy)
    found = load_byte_policy(str(path))
    assert isinstance(found, ProfiledPolicy)
    assert_same(found, policy)


def test_a_policy_without_contexts_comes_back_and_foretells_nothing(path):
    nothing = Profile(np.zeros(0, np.uint64), np.zeros(0, np.int32))
    save_profiled(path, ProfiledPolicy(nothing, POLICY.rule))
    found = load_byte_policy(str(path))
    assert isinstance(found, ProfiledPolicy)
    events = found.foretold(events_of(Recording("x", np.array([4, 5]), np.array([1, 1])), 1))
    assert events.foretold is not None
    assert events.foretold.tolist() == [0, 0]


def test_a_run_folder_is_a_policy_and_a_scorer_is_still_one(tmp_path, path):
    save_profiled(tmp_path / POLICY_FILE, POLICY)
    found = load_byte_policy(str(tmp_path))
    assert isinstance(found, ProfiledPolicy)
    assert_same(found, POLICY)
    save_scorer(path, HoleScorer(np.zeros(len(HOLE_FEATURES)), np.zeros(len(PRIOR))), {})
    assert isinstance(load_byte_policy(str(path)), HoleScorer)


def test_the_card_says_in_words_what_the_rule_is(path):
    save_profiled(path, POLICY)
    _, card = read_policy_file(path, path)
    assert isinstance(card, dict)
    assert card["format"] == PROFILED_FORMAT
    assert card["rule"]["fits"] == {
        "short and small": "first, low end",
        "short and large": "last, high end",
        "long and small": "best, low end",
        "long and large": "best, high end",
    }


def write(path, arrays=None, **changes) -> None:
    """Writes a policy whose card or arrays are others."""
    save_profiled(path, POLICY)
    found, card = read_policy_file(path, path)
    assert isinstance(card, dict)
    kept = {name: of for name, of in {**found, **(arrays or {})}.items() if of is not None}
    save_file(kept, path, {"card": json.dumps({**card, **changes})})


FITS = dict.fromkeys(("short and small", "short and large"), "first, low end")
KEY, LIFE = PROFILE
BROKEN = [
    ({"contexts": [24, 6]}, "its contexts are [24, 6]; this version's (24, 6, 1)"),
    ({"contexts": None}, "its contexts are None; this version's"),
    ({"arrays": {"key": None}}, "key and lifetime are not one uint64 and one int32 each"),
    ({"arrays": {"lifetime": None}}, "key and lifetime are not one uint64"),
    ({"arrays": {"key": KEY.astype(np.int64)}}, "key and lifetime are not one uint64"),
    ({"arrays": {"lifetime": LIFE.astype(np.int64)}}, "key and lifetime are not one uint64"),
    ({"arrays": {"lifetime": LIFE[:2]}}, "key and lifetime are not one uint64"),
    ({"arrays": {"key": KEY[:, None], "lifetime": LIFE[:, None]}}, "not one uint64"),
    ({"arrays": {"key": KEY[::-1].copy()}}, "a key out of order"),
    ({"arrays": {"key": KEY[[0, 0, 1]]}}, "a key out of order"),
    ({"arrays": {"lifetime": np.array([1, 0, 3], np.int32)}}, "a lifetime below 1"),
    ({"arrays": {"lifetime": np.array([1, -5, 3], np.int32)}}, "a lifetime below 1"),
    ({"rule": None}, "its card has no rule of this version"),
    ({"rule": {"long": 300, "parts": 64}}, "its card has no rule"),
    ({"rule": {"long": 300, "parts": 64, "fits": []}}, "its card has no rule"),
    ({"rule": {"long": 300, "parts": 64, "fits": FITS}}, "its card has no rule"),
    ({"rule": {"long": 301, "parts": 64}}, "its card has no rule"),
]


@pytest.mark.parametrize(("change", "said"), BROKEN)
def test_a_policy_that_cannot_be_played_by_is_refused_in_a_line(path, change, said):
    write(path, **change)
    with pytest.raises(PolicyFileError, match=re.escape(said)) as raised:
        load_byte_policy(str(path))
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


RULE = {"long": 300, "parts": 64, "fits": dict.fromkeys(("short and small", "short and large",
        "long and small", "long and large"), "first, low end")}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"long": 299},
        {"long": "300"},
        {"long": [300]},
        {"long": None},
        {"parts": 63},
        {"parts": {}},
        {"fits": {**RULE["fits"], "long and large": "worst, low end"}},
        {"fits": {**RULE["fits"], "long and large": ["first, low end"]}},
        {"fits": {**RULE["fits"], "long and large": None}},
    ],
)
def test_a_rule_that_there_is_not_is_refused(path, change):
    write(path, rule=RULE)
    load_byte_policy(str(path))
    write(path, rule={**RULE, **change})
    with pytest.raises(PolicyFileError, match="its card has no rule of this version"):
        load_byte_policy(str(path))


@pytest.mark.parametrize("format", ["jaxmem-profiled-2", None, 3, ["jaxmem-profiled-1"]])
def test_a_policy_of_another_version_is_refused(path, format):
    write(path, format=format)
    said = "its format is 'jaxmem-profiled-2'; this version plays jaxmem-profiled-1"
    said = said if format == "jaxmem-profiled-2" else "no scorer of format"
    with pytest.raises(PolicyFileError, match=rf"mine\.safetensors: {said}"):
        load_byte_policy(str(path))


@pytest.mark.parametrize(
    "junk", [b"", b"{}", b"\x80\x04cos\nsystem\n(S'touch owned'\ntR.", b"\xff" * 40]
)
def test_what_is_no_policy_file_is_refused_and_nothing_in_it_runs(
    tmp_path, path, junk, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    path.write_bytes(junk)
    with pytest.raises(PolicyFileError, match="not a readable policy file"):
        load_byte_policy(str(path))
    (tmp_path / "folder").mkdir()
    with pytest.raises(PolicyFileError, match="folder: this folder holds no policy"):
        load_byte_policy("folder")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["folder", "mine.safetensors"]


def test_what_else_is_in_a_file_changes_nothing(path):
    write(path, arrays={"junk": np.zeros(3)}, junk={"__import__": "os"})
    found = load_byte_policy(str(path))
    assert isinstance(found, ProfiledPolicy)
    assert_same(found, POLICY)
    assert tuple(CONTEXTS) == (24, 6, 1)


def test_a_training_that_is_no_table_is_left_out(path):
    write(path, training=[1, 2])
    found = load_byte_policy(str(path))
    assert isinstance(found, ProfiledPolicy)
    assert found.training == {}
