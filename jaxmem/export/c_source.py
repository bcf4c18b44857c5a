"""A policy as one C99 source, beside a header that is the same for all.

The source is `jaxmem/native/policy/jaxmem_policy.c`, of which the parts stay that the policy needs,
behind the policy's own numbers.
"""

from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from jaxmem import native
from jaxmem.export.exported import Exported, SizeRule, only_in_bytes
from jaxmem.recordings import forecast
from jaxmem.recordings.forecast import ForecastPlan
from jaxmem.recordings.hole_scorer import HOLE_FEATURES, PRIOR, SURE, TINY, HoleScorer
from jaxmem.recordings.profile import CONTEXTS, FACTOR, SIZES_AN_OCTAVE, Profile
from jaxmem.recordings.profiled_policy import ProfiledPolicy
from jaxmem.rules import Place
from jaxmem.whole_files import write_whole

HEADER, SOURCE = "jaxmem_policy.h", "jaxmem_policy.c"
# With nothing said of errno and traps, compilers score several holes at a time.
COMPILER_OPTIONS = ("-std=c99", "-O3", "-fno-math-errno", "-fno-trapping-math")
_FITS = {
    Place("first"): "JAXMEM_FIRST_LOW",
    Place("last", high=True): "JAXMEM_LAST_HIGH",
    Place("best"): "JAXMEM_BEST_LOW",
    Place("best", high=True): "JAXMEM_BEST_HIGH",
    Place("worst"): "JAXMEM_WORST_LOW",
    Place("next"): "JAXMEM_NEXT_LOW",
}
_CLASS_FITS = tuple(_FITS.values())[:4]  # in the order of `CLASS_FITS`
# Of `jaxmem.recordings.forecast`, which says what they are.
_WHOLE_OF_PLANS = ("FIXED", "MOST_PACKED", "PACKED_EACH", "OUTLIVES")
_SHARES_OF_PLANS = ("MOST_MISSED", "AS_FORETOLD", "ROUNDING", "EARLY_SHARE")
_PARTS = Path(native.__file__).parent / "policy"


def write_c(folder: Path, exported: Exported) -> None:
    """Writes the header and the source into a folder."""
    write_whole(folder / HEADER, header())
    write_whole(folder / SOURCE, c_source(exported))


def header() -> str:
    """Returns the header, which is the same for all."""
    return (_PARTS / HEADER).read_text()


def c_source(exported: Exported) -> str:
    """Returns the source of a policy.

    Raises:
        PolicyFileError: it plays in cells.
    """
    policy = only_in_bytes(exported, "to=c")
    if isinstance(policy, ProfiledPolicy) and policy.plan is None and policy.rule.is_best_fit:
        policy = SizeRule("best")  # which no lifetime changes
    numbers, kind, needs, parts = _numbers(policy)
    head = (
        f"/* The policy {exported.name}, by jaxmem {version('jaxmem')}; see {HEADER}. Compile it "
        f"with\n * {' '.join(COMPILER_OPTIONS)} and link with -lm. */",
        f'#include "{HEADER}"\n\n#include <math.h>\n#include <stddef.h>\n',
        f'const char jaxmem_policy_name[] = "{exported.name}";',
        f"const int jaxmem_policy_kind = {kind};",
        f"const unsigned jaxmem_policy_needs = {needs};",
        *(() if "PLANS" in parts else ("const size_t jaxmem_policy_memory = 0;",)),
        "",
        *numbers,
    )
    return (
        "\n".join((*head, *_kept_words((_PARTS / SOURCE).read_text().splitlines(), parts))) + "\n"
    )


def _numbers(
    policy: SizeRule | ProfiledPolicy | HoleScorer,
) -> tuple[list[str], str, str, set[str]]:
    """Returns what is a policy's own: its numbers, kind, needs, and the parts of the source."""
    if isinstance(policy, SizeRule):
        small, large = (_FITS[place] for place in policy.places)
        numbers = ["/* In units, of the largest request that is small. */"]
        numbers += [f"enum {{ THRESHOLD = {policy.threshold} }};"]
        numbers += [f"enum {{ SMALL_FIT = {small}, LARGE_FIT = {large} }};"]
        return numbers, "JAXMEM_ORDER", "0", {"BY_SIZE"}
    if isinstance(policy, ProfiledPolicy):
        rule = policy.rule
        fits = [_CLASS_FITS[fit] for fit in rule.fits]
        numbers = [
            *_profile_numbers(policy.profile, rule.exceptions),
            "\n/* Requests, of the longest lifetime that is short; a request that takes more than",
            " * one of so many parts of the arena is large. */",
            f"enum {{ LONG = {rule.long}, PARTS = {rule.parts} }};",
            "static const int CLASS_FIT[2][2] = {",
            f"    {{{fits[0]}, {fits[1]}}}, /* short: small, large */",
            f"    {{{fits[2]}, {fits[3]}}}, /* long: small, large */",
            "};",
        ]
        parts = {"FORETELLS", "BY_CLASS"}
        if rule.exceptions:
            there = [_CLASS_FITS[fit] for _, fit in rule.exceptions]
            numbers += ["/* Of the contexts that are excepted, in their order; the last counts. */"]
            numbers += [f"static const int EXCEPTION_FIT[] = {{{', '.join(there)}}};"]
            parts.add("EXCEPTS")
        needs = "JAXMEM_NEEDS_SITES"
        if policy.plan is not None:
            numbers += _plan_numbers(policy.plan)
            parts.add("PLANS")
            needs += " + JAXMEM_NEEDS_FREES"
        return numbers, "JAXMEM_ORDER", needs, parts
    needs = "JAXMEM_NEEDS_SITES + JAXMEM_NEEDS_HISTORY"
    return _scorer_numbers(policy), "JAXMEM_SCORES", needs, {"REMEMBERS", "SCORES"}


def _profile_numbers(profile: Profile, exceptions: Sequence[tuple[int, int]]) -> list[str]:
    """Returns the profile in ascending order of its keys, and where its runs begin.

    Keys with the same highest bits are a run; there are about as many runs as keys.
    """
    key, lifetime = profile.key, profile.lifetime
    if not len(key):
        key, lifetime = np.zeros(1, np.uint64), np.zeros(1, np.int32)  # C has no empty tables
    bits = max(1, len(key).bit_length())
    shift = 64 - bits
    runs = np.searchsorted(key >> np.uint64(shift), np.arange(2**bits + 1, dtype=np.uint64))
    excepted = np.zeros(len(key), np.int64)
    for number, (context, _) in enumerate(exceptions, 1):
        excepted[context] = number
    entries = zip(key.tolist(), lifetime.tolist(), excepted.tolist(), strict=True)
    gone = [pow(FACTOR, length + 1, 2**64) for length in CONTEXTS]
    return [
        "/* The program's earlier runs: what a context hashes to, and the lifetime in requests",
        " * that followed; sorted, and where each run of keys with the same high bits begins. */",
        "static const struct entry {\n    uint64_t key;\n    uint32_t lifetime;",
        "    uint32_t exception; /* counted from 1; 0: none */\n} PROFILE[] = {",
        *(f"    {{{_hex(at)}, {requests}, {number}}}," for at, requests, number in entries),
        f"}};\nenum {{ PROFILE_SHIFT = {shift} }};\nstatic const uint32_t PROFILE_RUN[] = {{",
        *_table_rows(str(run) for run in runs.tolist()),
        "};\n/* Call sites that a context has, asked in this order. */",
        f"static const uint32_t CONTEXT_LENGTH[3] = {{{', '.join(map(str, CONTEXTS))}}};",
        f"static const uint64_t FACTOR = {_hex(FACTOR)};",
        "/* Powers of it, by which a call site is multiplied that leaves a context. */",
        f"static const uint64_t GONE_FACTOR[3] = {{{', '.join(map(_hex, gone))}}};",
        f"enum {{ SIZES_AN_OCTAVE = {SIZES_AN_OCTAVE} }}; /* that stand for call sites */",
    ]


def _plan_numbers(plan: ForecastPlan) -> list[str]:
    """Returns the forecast, its places by their contexts, and what slots are packed by."""
    columns = zip(plan.size, plan.start, plan.lifetime, plan.group, strict=True)
    whole = {
        "PLACES": len(plan.size),
        "GROUPS": int(plan.group.max()) + 1,
        "HELD": forecast.MOST_HELD * len(plan.size),
        "MOST_ADDRESS": forecast.MOST_ADDRESS,
        **{name: getattr(forecast, name) for name in _WHOLE_OF_PLANS},
    }
    shares = {name: getattr(forecast, name) for name in _SHARES_OF_PLANS}
    lines = [
        "\n/* The plan is an earlier run: of a request the bytes, where its slot starts in bytes,",
        " * the lifetime in requests, and the group that grows and shrinks with it. */",
        f"enum {{ {', '.join(f'{name} = {value}' for name, value in whole.items())} }};",
        f"static const uint64_t PLAN_ALIGNMENT = {plan.alignment};",
        *(
            f"static const double {name} = {float(value).hex()};"
            for name, value in {"MARGIN": plan.margin, **shares}.items()
        ),
        "static const struct forecast {\n    int64_t size, start, lifetime;\n    uint32_t group;",
        "} FORECAST[PLACES] = {",
        *_table_rows((f"{{{', '.join(map(str, row))}}}" for row in columns), 4),
        "};\n/* Its requests by their contexts, of each length. */",
        "static const struct context {\n    uint64_t key;\n    int64_t place;",
        "} CONTEXT[3][PLACES] = {",
    ]
    for keys in plan.context:
        order = np.argsort(keys, kind="stable").tolist()
        rows = (f"{{{_hex(int(keys[place]))}, {place}}}" for place in order)
        lines += ["    {", *_table_rows(rows, 3), "    },"]
    return [*lines, "};"]


def _scorer_numbers(scorer: HoleScorer) -> list[str]:
    """Returns the weights, each under the name of its feature."""
    weights = zip(HOLE_FEATURES, np.asarray(scorer.weights), strict=True)
    prior = zip(PRIOR, np.asarray(scorer.prior), strict=True)
    return [
        "/* Blocks like it that must have died to count as much as what sizes tell. */",
        f"static const float SURE = {_float(SURE)};",
        f"static const float TINY = {_float(TINY)}; /* of the arena */",
        "/* Weights of the logarithm of a lifetime that sizes tell. */",
        *(
            f"static const float PRIOR_{_symbol(name)} = {_float(weight)};"
            for name, weight in prior
        ),
        "/* Weights of the features of a hole, and of products of them. */",
        *(f"static const float {_symbol(name)} = {_float(weight)};" for name, weight in weights),
    ]


def _symbol(feature: str) -> str:
    """Names a feature in C, as in HIGH_END_LIFE."""
    words = feature.replace("^2", " squared").replace("*", " ")
    return "_".join(words.upper().split())


def _float(number: float) -> str:
    mantissa, exponent = float(number).hex().split("p")
    return f"{mantissa.rstrip('0')}p{exponent}f"


def _hex(number: int) -> str:
    return f"UINT64_C(0x{number:016x})"


def _table_rows(numbers: Iterable[str], each: int = 12) -> list[str]:
    """Returns lines of so many numbers each."""
    given = list(numbers)
    rows = (given[at : at + each] for at in range(0, len(given), each))
    return [f"    {', '.join(row)}," for row in rows]


def _kept_words(lines: Iterable[str], parts: set[str]) -> list[str]:
    """Returns lines without those between `#if PART` and `#endif` of parts that are not wanted."""
    kept, wanted = [], True
    for line in lines:
        if line.startswith("#if "):
            wanted = line.removeprefix("#if ") in parts
        elif line == "#endif":
            wanted = True
        elif wanted:
            kept.append(line)
    return kept
