"""Policies as C: every placement of real recordings as JAX has it, and what it knows of each."""

import re
import shutil

import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.arena.arena import NOWHERE
from jaxmem.export.agreement import agreement
from jaxmem.export.c_source import HEADER, SOURCE, c_source, header, write_c
from jaxmem.export.calling import BY_HOLES, REQUEST, CalledPolicy, CSituation
from jaxmem.export.exported import Exported, SizeRule, read_exported
from jaxmem.export.indexes import kept_of
from jaxmem.native.allocator import BY_ADDRESS, BY_LENGTH
from jaxmem.recordings import Recording, alignment_of, family, library_names, load_library
from jaxmem.recordings.class_rule import BEST_FIT_RULE, CLASS_FITS, RuleNumbers
from jaxmem.recordings.hole_scorer import HOLE_FEATURES, PRIOR, HoleScorer
from jaxmem.recordings.plan_search import packed_plan, unpacked_plan
from jaxmem.recordings.profile import CONTEXTS, Profile, profile_of
from jaxmem.recordings.profiled_policy import ProfiledPolicy
from jaxmem.recordings.replay import events_of
from jaxmem.rules import ORDERED

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")
SITUATIONS = 100_000
# Few or many holes, with call sites, with and without keys, and without any.
QUICK = ("torch_cpu_lstm", "xla_cpu_jax_convnet_train")


def called(exported: Exported, folder) -> CalledPolicy:
    write_c(folder, exported)
    return CalledPolicy(folder, options=STRICT)


def exported_rule(name: str, units: np.ndarray) -> Exported:
    """A rule, for which half of the requests are small."""
    return Exported(name, SizeRule(name, int(np.median(units))))


def class_policy(recording: Recording) -> Exported:
    """Every class in another place, by a profile that knows half of a recording."""
    half = recording.requests // 2
    known = Recording("half", recording.size[:half], recording.lifetime[:half])
    return Exported(
        "classes", ProfiledPolicy(profile_of([known]), RuleNumbers(30, 32, (0, 1, 2, 3)))
    )


def checked(policy: CalledPolicy, exported: Exported, recording: Recording, factor: float):
    """The policy along a replay by JAX, after it was seen to place every block as that does."""
    mine = exported.policy
    events = events_of(recording, alignment_of(recording))
    if isinstance(mine, ProfiledPolicy):
        events = mine.foretold(events)
    cells = int(factor * events.peak_live)
    found = agreement(policy, mine, events, cells)
    assert not found.differing, (exported.name, recording.name)
    return events, found.followed


def same_columns(events, found, names) -> None:
    """What is known of every request is what was counted beforehand, bit for bit."""
    known = events.padded(len(events.frees), 0).known
    order = np.argsort(events.request[~events.frees])
    for name in names:
        column = np.asarray(getattr(known, name))[~events.frees][order]
        np.testing.assert_array_equal(found.request[name], column, err_msg=name)


@pytest.mark.parametrize("name", ORDERED)
def test_a_rule_places_as_in_jax_in_bounded_arenas_and_in_those_that_grow(name, tmp_path):
    recording = load_library(QUICK[0])
    exported = exported_rule(name, events_of(recording, alignment_of(recording)).units)
    policy = called(exported, tmp_path)
    assert (policy.name, policy.kind, policy.needs) == (name, 0, 0)
    for factor in (1.05, 0):
        _, found = checked(policy, exported, recording, factor)
        assert (found.fit != BY_HOLES).all()
        assert (found.choice >= 0).sum() > 1000


@pytest.mark.parametrize("name", QUICK)
def test_the_hole_scorer_places_as_in_jax_and_counts_what_it_knows(name, tmp_path):
    exported = read_exported("learned")
    policy = called(exported, tmp_path)
    assert (policy.name, policy.kind, policy.needs) == ("learned", 1, 3)
    events, found = checked(policy, exported, load_library(name), 1.05)
    same_columns(events, found, ("size", "died", "lived", "begins", "usual"))
    assert (found.fit == BY_HOLES).any()
    assert (found.fit == CLASS_FITS.index("best, low end")).any() or len(found.fit) < 1000


@pytest.mark.parametrize("keys", [True, False])
def test_a_class_rule_places_as_in_jax_and_foretells_as_its_profile(keys, tmp_path):
    recording = family("lstm")[1] if keys else load_library(QUICK[0])
    exported = class_policy(recording)
    if keys:
        rule = RuleNumbers(30, 32, (0, 1, 2, 3))
        exported = Exported("classes", ProfiledPolicy(profile_of(family("lstm")[:1]), rule))
    policy = called(exported, tmp_path)
    assert (policy.kind, policy.needs) == (0, 1)
    events, found = checked(policy, exported, recording, 1.05)
    same_columns(events, found, ("size", "foretold"))
    assert set(found.fit.tolist()) == {0, 1, 2, 3}
    unknown = found.request["foretold"] == 0
    assert not unknown.all()
    assert (found.fit[unknown] == CLASS_FITS.index("best, low end")).all()


@pytest.mark.parametrize(
    ("name", "alignment", "margin"),
    [
        ("convnet", 64, 0.0),  # groups that grow together
        ("graph", 256, 0.1),  # whose slots are packed again, since units are larger
        pytest.param("lstm", 64, 0.06, marks=pytest.mark.slow),
        pytest.param("unet", 16, 0.03, marks=pytest.mark.slow),
        pytest.param("autoencoder", 64, 0.08, marks=pytest.mark.slow),
        pytest.param("adversaries", 64, 0.12, marks=pytest.mark.slow),
        pytest.param("translator", 64, 0.06, marks=pytest.mark.slow),
        pytest.param("pipeline", 16, 0.06, marks=pytest.mark.slow),
    ],
)
def test_a_plan_is_followed_as_in_python_and_places_as_in_jax(name, alignment, margin, tmp_path):
    first, second, *others = family(name)[:5]
    plan = packed_plan(unpacked_plan(first, [second], 64), margin)
    rule = RuleNumbers(30, 32, (0, 1, 2, 3))
    mine = ProfiledPolicy(profile_of([first, second]), rule, plan=plan)
    policy = called(Exported("planned", mine), tmp_path)
    assert policy.needs == 5
    slots = missed = 0
    for recording in (first, *others):
        events = mine.foretold(events_of(recording, alignment))
        found = agreement(policy, mine, events, int(1.04 * events.peak_live))
        np.testing.assert_array_equal(found.followed.request["planned"], events.planned)
        assert found.differing == 0
        slots += np.count_nonzero(events.planned >= 0)
        missed += np.count_nonzero(found.start != events.planned)
    assert slots > 500
    assert missed > 100 or name == "convnet"


def test_what_an_index_is_needed_for_counts_exceptions_and_plans():
    recording = family("lstm")[0]
    profile, best = profile_of([recording]), (2, 2, 2, 2)
    plan = packed_plan(unpacked_plan(recording, [], 64), 0.0)
    for rule, made, kept in (
        (RuleNumbers(30, 64, best), None, BY_LENGTH),
        (RuleNumbers(30, 64, best, ((3, 3),)), None, BY_LENGTH),
        (RuleNumbers(30, 64, best, ((3, 3), (5, 1))), None, BY_LENGTH | BY_ADDRESS),
        (RuleNumbers(30, 64, best), plan, BY_LENGTH | BY_ADDRESS),
    ):
        assert kept_of(Exported("mine", ProfiledPolicy(profile, rule, plan=made))) == kept


@pytest.mark.slow
def test_a_hundred_thousand_placements_by_every_kind(tmp_path):
    recordings = [load_library(name) for name in library_names()]
    recordings = [recording for recording in recordings if recording.requests < 30_000]
    assert sum(recording.requests for recording in recordings) > SITUATIONS
    for exported in (read_exported("best"), read_exported("learned"), class_policy(recordings[0])):
        folder = tmp_path / exported.name
        folder.mkdir()
        policy = called(exported, folder)
        for recording in recordings:
            checked(policy, exported, recording, 1.05)


def zero_scorer(**weights: float) -> Exported:
    given = [weights.get(name, 0.0) for name in HOLE_FEATURES]
    return Exported("made", HoleScorer(jnp.array(given), jnp.zeros(len(PRIOR))))


def situation(*holes, size: int = 4, cells: int = 100) -> CSituation:
    request = np.zeros((), REQUEST)
    request["size"] = size
    return CSituation(request, (cells, cells // 2, 1, 0), np.array(holes, np.int32))


def test_of_starts_worth_the_same_the_lowest_is_taken_in_whatever_order_holes_come(tmp_path):
    holes = [(50, 60), (20, 30), (0, 3), (70, 100), (8, 14)]
    policy = called(zero_scorer(), tmp_path)
    for turn in range(len(holes)):
        assert policy.choose(situation(*holes[turn:], *holes[:turn])) == 8
    many = [(10 * at, 10 * at + 5) for at in range(150)]
    assert policy.choose(situation(*many[::-1], cells=1500)) == 0


def test_a_high_end_is_taken_where_it_is_worth_more(tmp_path):
    policy = called(zero_scorer(**{"high end": 1.0}), tmp_path)
    assert policy.choose(situation((50, 60), (20, 30), (0, 3))) == 26
    assert policy.choose(situation((50, 60), (20, 30), size=11)) == NOWHERE
    assert policy.choose(situation()) == NOWHERE


def test_a_table_of_kinds_that_is_full_knows_nothing_of_new_ones(tmp_path, monkeypatch):
    policy = called(read_exported("learned"), tmp_path)
    sizes = np.tile(np.arange(1, 41), 20)
    recording = Recording("made", sizes, np.ones(len(sizes), np.int64))
    events = events_of(recording, 1)
    start = np.full(len(sizes), NOWHERE)
    everything = policy.follow(events, 1000, start).request["died"]
    little = policy.follow(events, 1000, start, room=32).request["died"]
    known = little > 0
    assert (little[known] == everything[known]).all()
    assert len(set(sizes[known].tolist())) == 28


def test_a_profile_knows_no_context_or_all_keys_there_can_be(tmp_path):
    recording = family("lstm")[1]
    rule = RuleNumbers(30, 32, (0, 1, 0, 1))
    ends = np.array([0, 1, 2**63, 2**64 - 1], np.uint64)
    profiles = {
        "none": Profile(np.zeros(0, np.uint64), np.zeros(0, np.int32)),
        "ends": Profile(ends, np.array([1, 2, 3, 2**30], np.int32)),
    }
    for name, profile in profiles.items():
        folder = tmp_path / name
        folder.mkdir()
        exported = Exported(name, ProfiledPolicy(profile, rule))
        events, found = checked(called(exported, folder), exported, recording, 1.05)
        same_columns(events, found, ("foretold",))
        # A call site that is not known has the hash 1.
        assert set(found.request["foretold"].tolist()) == ({0} if name == "none" else {0, 2})


def test_contexts_that_are_excepted_take_their_own_fit(tmp_path):
    first, second = family("lstm")[:2]
    profile = profile_of([first])
    common = np.bincount(profile.places(second)[:, 2]).argsort()[::-1][:6].tolist()
    long = np.bincount(profile.places(second)[:, 0] + 1)[1:].argmax()
    exceptions = (
        (long, 1),
        *((at, number % 4) for number, at in enumerate(common)),
        (common[0], 3),
    )
    rule = RuleNumbers(30, 32, (0, 1, 2, 3), exceptions)
    exported = Exported("classes", ProfiledPolicy(profile, rule))
    _, found = checked(called(exported, tmp_path), exported, second, 1.05)
    excepted = found.request["excepted"]
    assert {0, 3, len(exceptions)} <= set(excepted.tolist())
    assert (found.fit[excepted == len(exceptions)] == 3).all()


def test_a_class_rule_that_is_best_fit_asks_for_nothing(tmp_path):
    profile = Profile(np.array([7], np.uint64), np.array([3], np.int32))
    source = c_source(Exported("mine", ProfiledPolicy(profile, BEST_FIT_RULE)))
    assert "jaxmem_policy_needs = 0;" in source
    assert "JAXMEM_BEST_LOW, LARGE_FIT = JAXMEM_BEST_LOW" in source
    assert "PROFILE" not in source


def test_the_header_says_what_this_version_has():
    assert f"#define JAXMEM_CONTEXT {max(CONTEXTS)} " in header()
    fits = re.findall(r"^    JAXMEM_(\w+_(?:LOW|HIGH)),", header(), re.M)
    words = [name.split(", ")[0] + "_" + name.split()[1] for name in CLASS_FITS]
    assert fits[:4] == [word.upper() for word in words]


@pytest.mark.parametrize("name", ["best", "learned"])
def test_a_source_is_whole_and_holds_nothing_that_it_does_not_need(name):
    source = c_source(read_exported(name))
    assert f'jaxmem_policy_name[] = "{name}"' in source
    assert not re.search(r"#if|#endif", source)
    assert ("sqrtf" in source) == (name == "learned")
    assert (HEADER, SOURCE) == ("jaxmem_policy.h", "jaxmem_policy.c")
