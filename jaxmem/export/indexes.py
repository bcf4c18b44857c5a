"""What the table of an arena has to keep of holes, for a policy that is compiled beside it."""

from jaxmem.export.exported import Exported, SizeRule
from jaxmem.native.allocator import BY_ADDRESS, BY_LENGTH, LISTED
from jaxmem.recordings.class_rule import CLASS_FITS
from jaxmem.recordings.profiled_policy import ProfiledPolicy


def kept_of(exported: Exported) -> int:
    """Tells what of BY_LENGTH, BY_ADDRESS and LISTED the fits of a policy ask for, together."""
    policy = exported.policy
    if isinstance(policy, SizeRule):
        holes = {place.hole for place in policy.places}
    elif isinstance(policy, ProfiledPolicy):
        rule = policy.rule
        fits = (*rule.fits, *(fit for _, fit in rule.exceptions))
        # What is not foretold goes where best-fit puts it.
        away = () if policy.plan is None else ("last",)  # what has no slot is kept out of the way
        holes = {"best", *away, *(CLASS_FITS[fit].split(",")[0] for fit in fits)}
    else:
        return BY_LENGTH | LISTED
    by_length = BY_LENGTH if holes & {"best", "worst"} else 0
    return by_length | (BY_ADDRESS if holes - {"best", "worst"} else 0)
